import dataclasses

import numpy as np
import pytest

from mechscope.neuroscope import queries
from mechscope.neuroscope.contents import StoredUnit
from mechscope.neuroscope.full_text import match_expression
from mechscope.neuroscope.statistics import SiteStatistics, bimodality, ranked
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.units import UnitAddress
from mechscope.neuroscope.writing import write_contents
from tests.neuroscope import stores


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with NeuroscopeStore.open(stores.toy_store(tmp_path_factory.mktemp("stores") / "toy")) as opened:
        yield opened


def neuron(unit: int) -> UnitAddress:
    return UnitAddress("toy", "mlp0", unit)


def test_units_that_fire_on_a_token_are_ranked_by_how_many_top_contexts_it_has(store):
    assert queries.find_by_token(store, "cat") == (queries.TokenUnit(neuron(1), 2, 2, 3.5),)
    assert [found.address for found in queries.find_by_token(store, "mat")] == [
        UnitAddress("toy", "attn0.entropy", 1),
        neuron(2),
    ]
    assert queries.find_by_token(store, " cat") == queries.find_by_token(store, "cat")
    assert queries.find_by_token(store, '"') == ()
    with pytest.raises(KeyError, match="toy has no token 'catty'"):
        queries.find_by_token(store, "catty")


def test_units_with_words_in_their_contexts(store):
    found = queries.find_by_text(store, "cat sat")
    assert [(unit.address, unit.contexts, unit.example) for unit in found] == [
        (neuron(1), 1, " the cat sat on")
    ]
    # The whole sequence has these words, but no context shows both.
    assert queries.find_by_text(store, "cat mat") == ()
    assert [unit.address for unit in queries.find_by_text(store, "ma")] == [
        neuron(2),
        UnitAddress("toy", "attn0.entropy", 1),
    ]


@pytest.mark.parametrize("typed", ['cat" OR "b', "cat*", "NOT cat", "text:cat", "(cat", 'b "'])
def test_what_is_typed_is_never_read_as_an_operator(store, typed):
    queries.find_by_text(store, typed)
    store.labels.search(typed)


def test_letters_are_found_as_the_index_has_them(tmp_path):
    # Taken apart like an accented letter, the Russian short i and Korean syllables would be other words in the index.
    texts = ("Здравствуйте, мир", "한국어 문장", "Über das Café")
    sequences = [
        dataclasses.replace(sequence, text=text)
        for sequence, text in zip(stores.SEQUENCES, texts, strict=True)
    ]
    write_contents(tmp_path, stores.contents(sequences=sequences))
    with NeuroscopeStore(tmp_path) as opened, opened.reader.snapshot() as snapshot:

        def found(words: str) -> list[int]:
            sql = "SELECT rowid FROM sequence_text WHERE sequence_text MATCH ?"
            return [number for (number,) in snapshot.connection.execute(sql, [match_expression(words)])]

        for sequence, text in zip(sequences, texts, strict=True):
            for words in (text, text.upper(), text[:4], text.split()[-1]):
                assert found(words) == [sequence.id], words
        assert found("uber") == found("ÜBER cafe") != []


@pytest.mark.parametrize("typed", ["", " ", '""', "*", "_"])
def test_a_search_without_a_word_is_explained(store, typed):
    with pytest.raises(ValueError, match="no word to search for"):
        queries.find_by_text(store, typed)


def test_units_by_a_statistic_across_sites(store):
    found = queries.find_by_statistic(store, "kurtosis")
    assert [unit.value for unit in found] == [2, 0, 0, -2, -2]
    assert queries.find_by_statistic(store, "kurtosis", limit=1, skip=1)[0].value == 0
    assert [unit.address.unit for unit in queries.find_by_statistic(store, "sparse", ["mlp0"])] == [1, 2]
    with pytest.raises(KeyError, match="Did you mean kurtosis"):
        queries.find_by_statistic(store, "kurtois")
    with pytest.raises(KeyError, match="no site 'mpl0'"):
        queries.find_by_statistic(store, "mean", ["mpl0"])


def test_the_bimodality_of_known_distributions():
    def of(skewness, kurtosis):
        zeros = np.zeros(1)
        moments = [np.array([skewness], np.float64), np.array([kurtosis], np.float64)]
        return bimodality(SiteStatistics(np.array([9]), zeros, zeros, zeros, *moments, zeros, zeros))[0]

    rare = np.array([1.0] * 10 + [0.0] * 90)
    centred = (rare - rare.mean()) / rare.std()
    assert of((centred**3).mean(), (centred**4).mean() - 3) == pytest.approx(1)
    assert of(0, -1.2) == pytest.approx(5 / 9)
    assert of(0, 0) == pytest.approx(1 / 3)


def test_units_without_a_value_are_left_out_of_a_ranking():
    numbers = np.array([1.0, np.nan, 3.0])
    statistics = SiteStatistics(np.full(3, 5), *[numbers] * 7)
    order, values = ranked(statistics, "kurtosis")
    assert (order.tolist(), values.tolist()) == ([2, 0], [3, 1])


def test_a_page_of_nothing(tmp_path):
    from mechscope.neuroscope.writing import write_contents

    empty = stores.neurons()
    bare = stores.contents(
        sequences=(),
        site_sizes={"mlp0": 3},
        co_activation=(),
        sites=(
            type(empty)(
                "mlp0",
                "mlp0",
                False,
                0,
                empty.statistics,
                empty.edges,
                empty.counts * 0,
                [StoredUnit(())] * 3,
            ),
        ),
    )
    write_contents(tmp_path, bare)
    with NeuroscopeStore(tmp_path) as store:
        page = store.unit("mlp0/0")
        assert (page.contexts, page.histogram.counts, page.by_weights) == ((), (0,), ())
        assert queries.find_by_text(store, "cat") == ()

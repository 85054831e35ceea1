"""A small harvest of a bundled model, published and compared with brute force."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch

from mechscope.dictionaries.sources.models import model_checksum
from mechscope.neuroscope.checking import check_store
from mechscope.neuroscope.co_activation import CoActivations
from mechscope.neuroscope.export import activation_lines, export_pages, feature_line, read_batch
from mechscope.neuroscope.fire import fire, open_units
from mechscope.neuroscope.harvest_shard import harvest_shard
from mechscope.neuroscope.merge import merge
from mechscope.neuroscope.opening import OpenedModel
from mechscope.neuroscope.plan import HarvestPlan
from mechscope.neuroscope.publish import publish_state, vocabulary_texts
from mechscope.neuroscope.sample_pass import Sample, SiteActivations, read_sample
from mechscope.neuroscope.settings import HarvestSettings, corpus_field
from mechscope.neuroscope.shards import Shard
from mechscope.neuroscope.similarity import most_similar
from mechscope.neuroscope.sinks import calibrated
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.unit_contexts import SampleContexts
from tests.neuroscope.harvests import Chosen

MODEL = "mini-gelu-1l"
WORDS = "length", "name", "size", "start", "end", "type", "kind", "text", "count", "index", "order", "parent"
TEXTS = [
    f"def function_{number}(self, value):\n    '''Return the {word} of a value, or None.'''\n    return value.{word}"
    for number, word in enumerate(WORDS)
]


@dataclasses.dataclass
class Published:
    store: NeuroscopeStore
    opened: OpenedModel
    plan: HarvestPlan
    state: object
    activations: dict
    """(site, sequence) → activations [pos unit], from one pass per sequence."""

    def counted(self, site, sequences):
        """The activations that count, those of all sequences one after another: not the first of a sequence."""
        return np.concatenate([self.activations[site, number][1:] for number in sequences])


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    opened = OpenedModel.open(MODEL, ["mlp0", "attn0.entropy"], torch.device("cpu"))
    documents = [(f"{number}.py", text) for number, text in enumerate(TEXTS)]
    shards = [Shard(0, tuple(documents[:7])), Shard(1, tuple(documents[7:]))]
    settings = HarvestSettings(context=24, top=4, low=2, sample=9, before=4, after=2, batch_tokens=96)
    settings = calibrated(opened.model, settings, shards[0])
    state = merge(*(harvest_shard(opened.model, opened.sites, settings, shard) for shard in shards))
    plan = HarvestPlan(
        model=MODEL, weights=model_checksum(MODEL), device="cpu", sites=("mlp0", "attn0.entropy"),
        corpus=("functions",), field="body", corpus_description="twelve functions", settings=settings,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("published") / "store"
    publish_state(state, plan, opened, folder)
    activations = {}
    for number in state.sequences.ids.tolist():
        _, cache = opened.model.run_with_cache(state.sequences.tokens_of(number)[None].long())
        activations["mlp0", number] = cache["post", 0][0].numpy()
        pattern = cache["pattern", 0][0]
        entropy = torch.special.entr(pattern).sum(-1)
        activations["attn0.entropy", number] = entropy.T.numpy()
    with NeuroscopeStore(folder) as store:
        yield Published(store, opened, plan, state, activations)


def test_the_store_is_whole_and_says_what_it_is_of(published):
    assert check_store(published.store.folder).problems == ()
    about = published.store.about
    assert (about.model, about.corpus, about.documents, about.publication) == (
        MODEL,
        "twelve functions",
        12,
        1,
    )
    assert about.tokens == published.state.tokens
    assert about.settings["top"] == 4 and corpus_field(about.settings) == "body"
    assert [site.left_out for site in published.store.sites()] == [published.state.sequences_read] * 2


def test_statistics_are_those_of_all_activations_that_count(published):
    # All sequences are kept here, since there are few.
    everything = published.state.sequences.ids.tolist()
    assert len(everything) == published.state.sequences_read
    values = published.counted("mlp0", everything).astype(np.float64)
    found = published.store.statistics("mlp0")
    assert found.tokens[0] == len(values)
    np.testing.assert_allclose(found.firing_rate, (values > 0).mean(0))
    np.testing.assert_allclose(found.mean, values.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.variance, values.var(0), rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found.skewness, scipy.stats.skew(values), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.kurtosis, scipy.stats.kurtosis(values), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.maximum, values.max(0), atol=1e-5)
    np.testing.assert_allclose(found.minimum, values.min(0), atol=1e-5)


def _rows(published, unit):
    """A unit's contexts as they are stored: (kind, value, sequence, focus, start, length)."""
    with published.store.reader.snapshot() as snapshot:
        return snapshot.connection.execute(
            "SELECT kind, value, sequence, focus, start, length(activations) / 2 FROM contexts WHERE unit = ?",
            [unit],
        ).fetchall()


@pytest.mark.parametrize(
    ("site", "first", "unit"), [("mlp0", 0, 5), ("mlp0", 0, 201), ("attn0.entropy", 256, 3)]
)
def test_every_window_has_the_activations_of_its_tokens(published, site, first, unit):
    page = published.store.unit(f"{site}/{unit}")
    texts = published.store.vocabulary()
    kinds = set()
    for context, (kind, value, sequence, focus, start, length) in zip(
        page.contexts, _rows(published, first + unit), strict=True
    ):
        own = published.activations[site, sequence][:, unit]
        tokens = published.state.sequences.tokens_of(sequence).tolist()
        assert (start, start + length) == (max(0, focus - 4), min(len(tokens), focus + 3))
        np.testing.assert_allclose(context.values, own[start : start + length], rtol=1e-3, atol=1e-3)
        assert value == pytest.approx(own[focus], rel=1e-4, abs=1e-6)
        assert context.tokens == tuple(texts[token] for token in tokens[start : start + length])
        assert context.focus == focus - start
        kinds.add(kind)
    assert kinds == ({0, 2, 3} if site == "mlp0" else {0, 1, 2, 3})


def test_top_contexts_are_the_highest_of_their_documents(published):
    everything = published.state.sequences.ids.tolist()
    highest = {}
    for number in everything:
        document = published.state.sequences.documents[published.state.sequences.index(number)]
        peak = published.activations["mlp0", number][1:, 9].max()
        highest[document] = max(peak, highest.get(document, peak))
    top = published.store.unit("mlp0/9").contexts_of("top")
    # Contexts with equal last tokens are kept once, so a later one may take the place of a duplicate.
    assert top[0].value == pytest.approx(max(highest.values()), rel=1e-5)
    assert len({context.document for context in top}) == len(top)
    assert [context.value for context in top] == sorted((context.value for context in top), reverse=True)


@pytest.mark.parametrize("site", ["mlp0", "attn0.entropy"])
def test_quantile_contexts_are_at_the_deciles_of_the_activations_above_0(published, site):
    sampled = published.counted(site, sorted(published.state.sample.tolist()))
    often = np.flatnonzero((sampled > 0).sum(0) > 60)[:2].tolist() if site == "mlp0" else (1, 2)
    assert len(often) == 2
    for unit in often:
        values = np.sort(sampled[:, unit])
        contexts = published.store.unit(f"{site}/{unit}").contexts_of("quantile")
        assert len(contexts) == 9, "these units are above 0 often enough for nine different contexts"
        assert [context.value for context in contexts] == sorted(context.value for context in contexts)
        for context in contexts:
            below = (values < context.value - 1e-5).mean(), (values < context.value + 1e-5).mean()
            assert below[0] - 1e-9 <= context.quantile <= below[1] + 1e-9
        above = values[values > 0] if site == "mlp0" else values
        median = contexts[4].value
        # A rank nearby is taken if it is in a document that is not shown yet.
        assert np.quantile(above, 0.3) <= median <= np.quantile(above, 0.7)


def test_contexts_of_a_kind_come_from_different_documents_as_long_as_there_are_any(published):
    sampled = {
        published.state.sequences.documents[published.state.sequences.index(number)]
        for number in published.state.sample.tolist()
    }
    page = published.store.unit("attn0.entropy/0")
    for kind, number in (("quantile", 9), ("random", 5)):
        shown = [each.document for each in page.contexts_of(kind)]
        assert len(shown) == number
        assert len(set(shown)) == min(number, len(sampled))


def test_random_contexts_show_a_unit_as_often_as_it_fires():
    # Half of ten documents have one token at which the unit fires, and the quantile contexts are exactly these tokens.
    sample = Sample(tuple(range(10)), tuple("abcdefghij"), (np.arange(4),) * 10)
    values = torch.zeros(40, 400)
    values[1:20:4] = torch.arange(1, 6)[:, None]
    site = Chosen(400, False, lambda tokens: tokens)
    read = SiteActivations(site, values, torch.ones(40, dtype=torch.bool))
    settings = HarvestSettings(before=1, after=1)
    random = [
        context.value > 0
        for contexts in SampleContexts(sample, read, settings, 0).of_units()
        for context in contexts
        if context.kind == "random"
    ]
    assert len(random) == 5 * 400
    # 5 of 40 tokens; the standard error of 2,000 draws is 0.007.
    assert np.mean(random) == pytest.approx(5 / 40, abs=0.03)


def test_no_unit_shows_the_same_place_twice_for_one_reason(published):
    with published.store.reader.snapshot() as snapshot:
        places = "SELECT count(*) FROM contexts GROUP BY unit, kind, sequence, focus HAVING count(*) > 1"
        assert snapshot.connection.execute(places).fetchall() == []
        rare = (
            "SELECT min(number) FROM (SELECT count(*) AS number FROM contexts WHERE kind = 2 GROUP BY unit)"
        )
        assert snapshot.connection.execute(rare).fetchone()[0] < 9, "no unit is above 0 at a few tokens only"


def test_promoted_tokens_are_those_that_the_weights_promote(published):
    model, unit = published.opened.model, 33
    # The final norm with its scale held fixed: it takes the mean away and multiplies by its weights.
    row = model.W_out[0, unit].detach()
    effects = ((row - row.mean()) * model.ln_final.w.detach()) @ model.W_U.detach()
    effects = effects - effects.mean()
    best = effects.topk(10)
    found = published.store.unit(f"mlp0/{unit}").logit_effects
    vocabulary = published.store.vocabulary()
    assert [token for token, _ in found.promoted] == [vocabulary[token] for token in best.indices.tolist()]
    np.testing.assert_allclose([effect for _, effect in found.promoted], best.values, rtol=1e-4)
    assert found.suppressed[0][1] == pytest.approx(float(effects.min()), rel=1e-4)
    assert published.store.unit("attn0.entropy/0").logit_effects is None


def test_neighbours_by_weights_and_by_activation(published):
    rows = published.opened.model.W_out[0].detach().double()
    cosines = torch.nn.functional.cosine_similarity(rows[7], rows, dim=-1)
    cosines[7] = -2
    page = published.store.unit("mlp0/7")
    assert [near.address.unit for near in page.by_weights] == cosines.topk(10).indices.tolist()
    assert page.by_weights[0].similarity == pytest.approx(float(cosines.max()), rel=1e-4)
    sampled = sorted(published.state.sample.tolist())
    both = np.concatenate(
        [published.counted("mlp0", sampled), published.counted("attn0.entropy", sampled)], 1
    )
    correlations = np.corrcoef(both.T)[7]
    correlations[7] = -2
    assert published.store.about.co_activation_tokens >= len(both)
    near = page.by_activation[0]
    best = int(correlations.argmax())
    assert (near.address.site, near.address.unit) == (
        ("mlp0", best) if best < 256 else ("attn0.entropy", best - 256)
    )
    assert near.similarity == pytest.approx(correlations.max(), rel=1e-3)


def test_a_small_memory_budget_gives_the_same_activations(published):
    settings, state = published.plan.settings, published.state
    chosen = sorted(state.sample.tolist())
    tokens = tuple(state.sequences.tokens_of(number).numpy().astype(np.int64) for number in chosen)
    sample = Sample(tuple(chosen), ("",) * len(chosen), tokens)
    reads = [
        list(read_sample(published.opened.model, published.opened.sites, settings, sample, most_bytes))
        for most_bytes in (1, 10**9)
    ]
    for one, other in zip(*reads, strict=True):
        # Without heads to read, attention is computed in another way.
        assert torch.allclose(one.values, other.values, atol=1e-5)
        assert torch.equal(one.counts, other.counts)
    first = torch.from_numpy(published.activations["mlp0", chosen[0]])
    assert torch.allclose(reads[0][0].values[: len(first)], first, atol=1e-5)


def test_units_that_fire_are_ranked_by_how_unusual_that_is(published):
    store, text = published.store, "def parent(self): return None"
    fired = fire(store, text, opened=open_units(store), limit=300)
    _, cache = published.opened.model.run_with_cache(text)
    values = cache["post", 0][0].numpy()
    everything = published.counted("mlp0", published.state.sequences.ids.tolist())
    shares = [unit.share for unit in fired.units]
    assert shares == sorted(shares)
    assert len(fired.tokens) == len(values)
    for unit in fired.units:
        if unit.address.site == "mlp0":
            own = values[:, unit.address.unit]
            assert unit.position == 1 + own[1:].argmax()
            assert unit.value == pytest.approx(own[unit.position], rel=1e-4)
            exact = (everything[:, unit.address.unit] >= unit.value).mean()
            # The share of the whole bin: activations that are up to a quarter of an octave smaller count too.
            wide = (everything[:, unit.address.unit] >= min(unit.value / 1.26, unit.value - 0.01)).mean()
            assert exact - 1e-9 <= unit.share <= wide + 1e-9
    assert {unit.address.unit for unit in fired.units if unit.address.site == "mlp0"} == set(
        np.flatnonzero(values[1:].max(0) > 0).tolist()
    )


def test_a_text_without_a_token_that_counts_is_explained(published):
    with pytest.raises(ValueError, match="no token that counts"):
        fire(published.store, "", opened=published.opened)
    with pytest.raises(KeyError, match="no site 'mlp7'"):
        fire(published.store, "a", sites=["mlp7"])


def test_a_model_with_other_weights_is_refused(published, monkeypatch):
    monkeypatch.setattr("mechscope.dictionaries.sources.models.model_checksum", lambda name: "f" * 16)
    with pytest.raises(ValueError, match="other weights now .checksum ffff"):
        open_units(published.store)


def test_exported_pages_are_read_back(published, tmp_path):
    files = export_pages(published.store, tmp_path, ["mlp0"], units_per_file=100)
    assert [str(path.relative_to(tmp_path)) for path in files[:3]] == [
        "mlp0/features/batch-0.jsonl.gz", "mlp0/activations/batch-0.jsonl.gz", "mlp0/features/batch-1.jsonl.gz",
    ]  # fmt: skip
    features = [line for path in files[::2] for line in read_batch(path)]
    assert [line["index"] for line in features] == [str(unit) for unit in range(256)]
    page = published.store.unit("mlp0/130")
    assert features[130] == feature_line(page)
    activations = [line for line in read_batch(files[3]) if line["index"] == "130"]
    assert activations == list(activation_lines(page))
    top = activations[0]
    assert (top["tokens"], top["binMin"]) == (list(page.contexts[0].tokens), -1)
    assert top["values"][top["maxValueTokenIndex"]] == top["maxValue"]
    quantiles = [line for line in activations if 0 < line["binContains"] < 1]
    assert sum(line["binContains"] for line in quantiles) == pytest.approx(
        page.contexts_of("quantile")[-1].quantile
    )


def test_an_export_is_not_mixed_with_a_larger_one(published, tmp_path):
    export_pages(published.store, tmp_path, ["attn0.entropy"], units_per_file=2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.gz")}
    with pytest.raises(ValueError, match=r"would not replace \(batch-1\.jsonl\.gz\): choose another folder"):
        export_pages(published.store, tmp_path, ["attn0.entropy"])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.gz")} == before
    assert len(export_pages(published.store, tmp_path, ["attn0.entropy"], units_per_file=2)) == len(before)


def test_a_damaged_export_is_named(tmp_path):
    (tmp_path / "batch-0.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00 not gzip")
    with pytest.raises(ValueError, match=r"batch-0.jsonl.gz' is not a complete gzip file"):
        read_batch(tmp_path / "batch-0.jsonl.gz")


def test_a_state_with_other_sites_is_refused(published, tmp_path):
    opened = OpenedModel(published.opened.model, published.opened.sites[:1])
    with pytest.raises(ValueError, match="has the sites mlp0, attn0.entropy, but mlp0 were opened"):
        publish_state(published.state, published.plan, opened, tmp_path)
    assert not any(tmp_path.iterdir())


def test_similar_rows_without_zeros_and_with_ties_in_order():
    rows = torch.tensor([[1.0, 0], [2, 0], [0, 0], [0, 1], [1, 0]])
    assert list(most_similar(rows, 3)) == [
        [(1, 1.0), (4, 1.0), (3, 0.0)],
        [(0, 1.0), (4, 1.0), (3, 0.0)],
        [],
        [(0, 0.0), (1, 0.0), (4, 0.0)],
        [(0, 1.0), (1, 1.0), (3, 0.0)],
    ]


def test_correlations_leave_out_what_does_not_count_and_units_that_never_change():
    draw = torch.Generator().manual_seed(0)
    first, second = torch.randn(50, 3, generator=draw), torch.randn(50, 2, generator=draw)
    first[:, 1] = 0.3
    second[:, 0] = 2 - first[:, 0]
    second[7, 0] = 100.0
    together = CoActivations({"a": 3, "b": 2}, 50)
    together.add(first, torch.ones(50, dtype=torch.bool))
    together.add(second, torch.arange(50) != 7)
    assert together.tokens == 49
    found = {(each.site, each.unit): each.neighbours for each in together.neighbours()}
    assert found["a", 1] == ()
    assert found["a", 0][-1][:2] == ("b", 0)
    assert found["a", 0][-1][2] == pytest.approx(-1)
    assert all(neighbour[:2] != ("a", 1) for each in found.values() for neighbour in each)


def test_many_units_are_compared_at_every_so_many_tokens(monkeypatch):
    monkeypatch.setattr("mechscope.neuroscope.co_activation.MOST_NUMBERS", 60)
    values = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    together = CoActivations({"a": 3}, 100)
    together.add(values, torch.ones(100, dtype=torch.bool))
    assert together.tokens == 20
    found = next(together.neighbours())
    correlations = np.corrcoef(values[::5].T.numpy())[0]
    assert {unit: value for _, unit, value in found.neighbours} == pytest.approx(
        {1: correlations[1], 2: correlations[2]}, abs=1e-5
    )


def test_tokens_of_an_encoder_get_their_spaces_back(published):
    words = ["[CLS]", "snow", "##boarding", "."]
    encoder = SimpleNamespace(
        cfg=SimpleNamespace(d_vocab=4),
        tokenizer=SimpleNamespace(convert_ids_to_tokens=lambda ids: [words[number] for number in ids]),
    )
    assert "".join(vocabulary_texts(encoder)) == " [CLS] snowboarding ."
    own = vocabulary_texts(published.opened.model)
    assert (len(own), own[published.opened.model.tokenizer.bos_token_id]) == (512, "<|bos|>")


def test_units_that_meet_at_one_token_only_are_no_neighbours():
    values = torch.zeros(100, 5)
    values[7, :2] = 3.0  # units 0 and 1 are active at one token, the same for both
    values[::10, 2:4] = 1.0  # units 2 and 3 at ten tokens
    values[50, 4] = 2.0
    together = CoActivations({"here": 5}, 100)
    together.add(values, torch.ones(100, dtype=torch.bool))
    found = {
        each.unit: [unit for _, unit, similarity in each.neighbours if similarity > 0]
        for each in together.neighbours()
    }
    assert found == {0: [], 1: [], 2: [3], 3: [2], 4: []}

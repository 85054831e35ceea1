import pytest

from mechscope.neuroscope.labels.auto_label import LogOddsLabeller, Material, log_odds, material_of
from mechscope.neuroscope.labels.examples import like_contexts
from mechscope.neuroscope.labels.rules import TokenPatterns
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.units import Context, UnitAddress
from tests.neuroscope.labels import planted_store as planted

BACKGROUND = ((" the", " cat", " sat", " on", " the", " mat", ".", " a", " dog", " ran"),) * 50


def context(*tokens: str) -> Context:
    return Context("top", 1.0, "d", tokens, (0.0,) * len(tokens), len(tokens) - 1)


def material(*contexts: Context, rate: float = 0.1) -> Material:
    return Material(UnitAddress("m", "mlp0", 0), contexts, (), BACKGROUND, rate)


def suggested(*contexts: Context, rate: float = 0.1):
    found = LogOddsLabeller().suggest(material(*contexts, rate=rate))
    return found.rule.patterns if found is not None and isinstance(found.rule, TokenPatterns) else None


def test_the_token_that_all_contexts_share_is_found():
    others = [context(word, " cat") for word in (" the", " a", " my", " no", " one", " his")]
    assert suggested(*others) == ((" cat",),)
    found = LogOddsLabeller().suggest(material(*others))
    assert found is not None and found.label == "fires on ␣cat"


def test_the_token_before_is_found_and_two_patterns_where_there_are_two():
    dogs = [context(" dog", word) for word in (" ran", " sat", " x", " y", " z", " w")]
    assert suggested(*dogs) == ((" dog", None),)
    mats = [context(word, " mat") for word in (" p", " q", " r", " s", " t")]
    assert set(suggested(*dogs, *mats) or ()) == {(" dog", None), (" mat",)}


def test_nothing_is_suggested_without_evidence():
    assert suggested(context(" the", " cat")) is None  # one context is none
    assert suggested(*[context(f"{n}", f" {n}") for n in range(8)]) is None  # nothing in common
    # A frequent token explains nothing for a unit that seldom fires.
    assert suggested(*[context(f"{n}", " the") for n in range(8)], rate=0.0001) is None


def test_log_odds_grow_with_evidence_and_shrink_with_frequency():
    assert log_odds(8, 10, 10, 1000) > log_odds(4, 10, 10, 1000) > log_odds(4, 10, 100, 1000)
    # As frequent as in the sample: no evidence.
    assert log_odds(10, 100, 100, 1000) == pytest.approx(0, abs=0.05)
    # By hand: prior 10 · 10.5 / 1001; (4 + prior) / (20 - 4 - prior) against (10 + prior) / (1000 - prior).
    assert log_odds(4, 10, 10, 1000) == pytest.approx(5.6, abs=0.2)


def test_labels_are_suggested_from_what_the_page_shows(tmp_path):
    with NeuroscopeStore.open(planted.planted_store(tmp_path)) as store:
        found = material_of(store, f"mlp0/{planted.PLANTED}")
        assert [each.tokens[each.focus] for each in found.firing] == [" cat"] * planted.SHOWN
        assert found.quiet == () and len(found.background) == planted.DOCUMENTS
        assert found.firing_rate == pytest.approx(1 / 9, abs=0.03)
        assert material_of(store, f"mlp0/{planted.DEAD}").firing == ()
        rule = like_contexts(store, f"planted/mlp0/{planted.PLANTED}/top")
        assert [example[-1] for example in rule.examples] == [" cat"] * 3 and "3 examples" in rule.in_words
        assert like_contexts(store, "planted/mlp0/0").examples == rule.examples
        with pytest.raises(ValueError, match="fires at none of its top contexts"):
            like_contexts(store, f"planted/mlp0/{planted.DEAD}/top")
        with pytest.raises(ValueError, match="does not name contexts"):
            like_contexts(store, "planted/mlp0/0/best")

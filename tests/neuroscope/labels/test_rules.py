import numpy as np
import pytest

from mechscope.neuroscope.labels.predicates import load_predicate
from mechscope.neuroscope.labels.rules import Like, Regex, TokenPatterns, Words, rule_in_words, rule_of
from mechscope.neuroscope.labels.text_spans import spans_of

TEXT = ("<b>", "im", "port", " os", ";", " imports", " IMPORT", "\n", "\n", "def")


def matched(rule, tokens=TEXT) -> list[int]:
    (scores,) = rule.scores([tokens])
    assert len(scores) == len(tokens)
    return np.flatnonzero(scores > 0).tolist()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Regex("import"), [1, 2, 5]),
        (Regex("import", "first"), [1, 5]),
        (Regex("import", "last"), [2, 5]),
        (Regex("import", "next"), [3, 6]),
        (Regex(r"\n\n(\w)"), [9]),
        (Regex(r"\n\n(\w)|import"), [9]),  # a match without the group marks nothing
        (Regex("^"), []),  # a match without text neither
        (Regex("def$", "next"), []),
        (TokenPatterns(((" os",), ("\n", "\n"))), [3, 8]),
        (TokenPatterns((("im", None, None),)), [3]),
        (TokenPatterns((("\n",) * 11,)), []),
    ],
)
def test_rules_match_tokens(rule, expected):
    assert matched(rule) == expected
    assert rule_of(rule.kind, rule.text) == rule


def test_words_are_whole_and_in_any_case():
    tokens = ("<b>", "im", "port", " os", " imports", " IMPORT", " a->b")
    assert matched(Words(("import",)), tokens) == [1, 2, 5]
    assert matched(Words(("os", "->"), "last"), tokens) == [3, 6]
    assert matched(Words(("import",), "first"), ("im", "port", " x")) == [0]
    assert matched(Words(("OS",), "next"), (" os", " x")) == [1]
    assert rule_of("words, first token", "import, from") == Words(("import", "from"), "first")


def test_examples_match_what_resembles_them():
    texts = [(" the", " cat", " sat", ".") * 20, (" a", " dog", " ran", ".") * 20]
    rule = Like(((" sat", ".", " the", " cat"),) * 2, 0.125)
    scores = rule.scores(texts)
    assert [len(each) for each in scores] == [80, 80]
    assert np.flatnonzero(scores[0] > 0)[1:].tolist() == list(range(5, 80, 4))
    assert not (scores[1] > 0).any()
    stored = rule_of(rule.kind, rule.text)
    assert isinstance(stored, Like) and np.array_equal(stored.scores(texts)[0], scores[0])
    assert "2 examples" in rule.in_words


def test_a_regular_expression_that_goes_astray_is_stopped():
    with pytest.raises(ValueError, match=r"took longer than 0.3 seconds for 41 characters.*\(a\+\)\+"):
        spans_of("(a+)+b", ["a" * 40 + "c"], deadline=0.3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Regex("("), "cannot be read: missing"),
        (lambda: Regex("a" * 2000), "2,000 characters; at most 1,000"),
        (lambda: Regex(""), "is empty"),
        (lambda: Words(()), "at least one word"),
        (lambda: Words((" ",)), "no empty ones"),
        (lambda: Words("cat"), r"must be several, such as \('cat',\), and not one text"),
        (lambda: TokenPatterns(((None,),)), "at least one token"),
        (lambda: TokenPatterns((" the",)), "must be runs of tokens, such as"),
        (lambda: Like(((" a",),), 0.0), "between 0 and 1, not 0"),
        (lambda: rule_of("wards", "a"), "no kind of rule 'wards'. Did you mean words?"),
        (lambda: rule_of("words, middle token", "a"), "one of all, first, last, next, not 'middle'"),
        (lambda: rule_of("", ""), "has no rule"),
        (lambda: rule_of("tokens", "[["), "cannot be read"),
        (lambda: rule_of("like", "{}"), "cannot be read"),
        (lambda: rule_of("predicate", "f.py:g 0123"), "stores keep no programs.*--predicate"),
    ],
)
def test_mistakes_are_explained(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_rules_are_written_for_readers():
    assert rule_in_words("tokens", '[["\\n", null], [" the"]]') == r"tokens: \n + any or ␣the"
    assert rule_in_words("predicate", "f.py:g 01") == "predicate: f.py:g 01"
    assert rule_in_words("", "") == ""


def test_a_python_function_sees_the_text_around_a_token(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "def second(before, token, after):\n"
        "    return before == 'a' and after == 'c'\n"
        "def score(before, token, after):\n    return len(before) - 1.5\n"
        "def wrong(before, token, after):\n    return token\n"
        "def broken(before, token, after):\n    return 1 / 0\n"
    )
    assert matched(load_predicate(f"{path}:second"), ("a", "b", "c")) == [1]
    assert matched(load_predicate(f"{path}:score"), ("a", "b", "c")) == [2]
    for name, words in (
        ("wrong", "returned 'a'"),
        ("broken", "mine.py:broken at the token 'a'.*ZeroDivisionError"),
    ):
        with pytest.raises(ValueError, match=words):
            load_predicate(f"{path}:{name}").scores([("a",)])
    with pytest.raises(KeyError, match="no function secnd. Did you mean second"):
        load_predicate(f"{path}:secnd")
    with pytest.raises(FileNotFoundError, match="no file"):
        load_predicate(f"{tmp_path}/none.py:f")
    with pytest.raises(ValueError, match="write FILE:FUNCTION"):
        load_predicate("mine.py")
    path.write_text("import nothing_of_this_name")
    with pytest.raises(ValueError, match="cannot be run: ModuleNotFoundError"):
        load_predicate(f"{path}:second")
    other = tmp_path / "mine.txt"
    other.write_text("")
    with pytest.raises(ValueError, match="must end in .py"):
        load_predicate(f"{other}:second")

import pytest

from mechscope.neuroscope.units import Context, Histogram, UnitAddress, UnitPage, UnitStatistics


def test_an_address_survives_being_written_and_read_even_with_a_slash_in_the_models_name():
    address = UnitAddress("EleutherAI/pythia-70m", "attn3.entropy", 5)
    assert UnitAddress.parse(str(address)) == address


@pytest.mark.parametrize("text", ["", "mlp0/17", "mini-gelu-1l/mlp0/", "mini-gelu-1l/mlp0/-3"])
def test_text_that_is_no_address_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="MODEL/SITE/UNIT"):
        UnitAddress.parse(text)


def test_a_page_gives_the_contexts_of_one_kind_in_their_order():
    contexts = tuple(
        Context(kind, value, "a", ("x",), (value,), 0)
        for kind, value in [("top", 3.0), ("top", 2.0), ("random", 0.5)]
    )
    page = UnitPage(
        UnitAddress("m", "mlp0", 0),
        UnitStatistics(10, 0.5, 0.1, 1.0, 0.0, 0.0, 3.0, 0.0),
        Histogram((0.0, 1.0), (10,)),
        contexts,
        None,
        (),
        (),
    )
    assert [context.value for context in page.contexts_of("top")] == [3.0, 2.0]

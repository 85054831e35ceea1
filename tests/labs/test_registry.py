"""Labs are found by number and by name; the listing agrees with the labs themselves."""

from __future__ import annotations

import re

import pytest

from mechscope.labs import LABS, all_labs, find_entry, find_lab
from mechscope.labs.lab import BUDGETS
from mechscope.pages.markdown import figures_placed, to_mathml


@pytest.mark.parametrize("name", ["00", "0", "mnist-templates", "MNIST_templates", "00-mnist-templates"])
def test_many_spellings(name: str) -> None:
    assert find_entry(name).slug == "mnist-templates"
    assert find_lab(name).slug == "mnist-templates"


@pytest.mark.parametrize(
    ("name", "near"), [("inducton", "did you mean induction"), ("07", "Steps: 00 mnist-templates")]
)
def test_an_unknown_name_says_what_there_is(name: str, near: str) -> None:
    with pytest.raises(KeyError, match=near):
        find_entry(name)


def test_the_listing_agrees_with_the_labs() -> None:
    labs = all_labs()
    assert [(lab.step, lab.slug) for lab in labs] == [(entry.step, entry.slug) for entry in LABS]
    assert [lab.step for lab in labs] == sorted(lab.step for lab in labs)


@pytest.mark.parametrize("slug", [entry.slug for entry in LABS])
def test_claims_and_lesson_are_fit_to_print(slug: str) -> None:
    lab = find_lab(slug)
    ids = [claim.id for claim in lab.claims]
    assert len(set(ids)) == len(ids)
    assert all(claim_id.split(".")[0] == str(int(lab.step)) for claim_id in ids)
    assert set(lab.configs) == set(lab.seeds) == set(BUDGETS)
    assert lab.seeds["full"] > 1
    for claim in lab.claims:
        assert claim.statement.endswith((".", "!", "?"))
        assert claim.paper
        assert claim.source
        assert claim.how.endswith(".")
    text = lab.lesson.read_text(encoding="utf-8")
    assert "## What this does not show" in text
    assert "## Open questions" in text
    assert len(set(figures_placed(text))) == len(figures_placed(text)) > 0
    for formula in re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL):
        to_mathml(re.sub(r"\{\{.*?\}\}", "1", formula))

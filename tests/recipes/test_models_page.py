from pathlib import Path

from mechscope.checkpoints.registry import bundled_names, toy_model_names
from mechscope.recipes.models_page import page
from mechscope.subjects import subject_names

DOCS = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_page_is_what_the_files_beside_the_models_say():
    hint = "write it anew: python -m mechscope.recipes.models_page docs/models.md"
    assert DOCS.read_text(encoding="utf-8") == page(), hint


def test_every_bundled_model_is_on_it():
    text = page()
    assert [
        name for name in (*bundled_names(), *toy_model_names(), *subject_names()) if f"`{name}`" not in text
    ] == []
    # The card of a model in a package quotes a template.
    ours, packaged = text.split("## Models in packages")
    assert "{" not in ours.replace("mini-{attn-only, gelu, solu}-{1, 2, 3, 4}l", "")
    assert "### smollm2-135m" in packaged

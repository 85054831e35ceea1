"""Cards of models: what a model is, its licence, what was measured of it."""

from __future__ import annotations

from pathlib import Path

from mechscope.checkpoints.packaged_models import PACKAGED
from mechscope.checkpoints.registry import BUNDLED, bundled_names, toy_model_names
from mechscope.near_names import did_you_mean_clause
from mechscope.subjects.bundled_folders import BUNDLED as BUNDLED_SUBJECTS
from mechscope.subjects.bundled_folders import subject_names

CARDS = Path(__file__).parent / "cards"
"""Cards of packaged models, which come with mechscope although the weights do not."""
FILE = "card.md"


def carded_names() -> list[str]:
    """Models with a card: the bundled ones and those in packages."""
    packaged = (name for name in PACKAGED if card_path(name).is_file())
    return [*bundled_names(), *toy_model_names(), *subject_names(), *packaged]


def card_path(name: str) -> Path:
    """Where the card of a model is, or would be."""
    folder = CARDS if name in PACKAGED else BUNDLED_SUBJECTS if name in subject_names() else BUNDLED
    return folder / name / FILE


def read_card(name: str) -> str:
    """The card of a model as Markdown.

    >>> read_card("induction-2l").splitlines()[0]
    '# induction-2l'

    Raises:
        KeyError: for a model without a card, with the nearest names.
    """
    names = carded_names()
    if name not in names:
        hint = (
            did_you_mean_clause(name.lower(), names, n=2) or "bundled models and those in packages have one."
        )
        raise KeyError(f"there is no card for {name!r}; {hint}")
    return card_path(name).read_text(encoding="utf-8")

"""A problem of the catalogue, read from its folder without loading torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mechscope.near_names import did_you_mean
from mechscope.pages.front_matter import read_front_matter

CATALOGUE = Path(__file__).parent / "catalogue"
AREAS = {
    "language-models": "Toy language models",
    "circuits": "Circuits in the wild",
    "algorithmic": "Algorithmic problems",
    "superposition": "Polysemanticity and superposition",
    "training": "Training dynamics",
    "techniques": "Techniques, tooling and automation",
    "features": "Learned features in language models",
    "images": "Image models",
    "reinforcement": "Reinforcement learning",
}
"""Folder → title, in the order of the catalogue."""
RATINGS = {
    "A": "a weekend",
    "B": "one to two weeks",
    "C": "needs a new technique or infrastructure",
    "D": "a research bet",
}
"""Rating → how much work it is."""
STATUSES = {
    "open": "nobody has published an answer that we know of",
    "partly solved": "a part of the answer is published",
    "solved": "the answer is published: replicate it",
}
"""Status → what it means."""
COMPUTE = {
    "laptop": "a laptop's processor is enough",
    "free notebook": "a free notebook with a small GPU is enough",
    "one GPU": "needs a GPU for hours",
    "cluster": "needs several GPUs",
}
"""Compute class → what it means."""
HEADINGS = (
    "The question",
    "What is known",
    "The baseline",
    "What would prove the obvious answer wrong",
    "First steps",
)
TEXTS = ("title", "rating", "status", "compute", "unit", "reviewed")
LISTS = ("models", "glossary", "after", "sources")
OF_A_COPY = ("id", "area")
"""Keys that the copy in a started folder has as well, because its folder has a name of the reader's choice."""
LONGEST_TITLE = 80
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_HEADING = re.compile(r"^## +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Problem:
    """One question, with a script that measures where the work starts."""

    slug: str
    """Its id, unique in the catalogue: "which-heads-does-mini-gelu-2l-need"."""
    area: str
    """A key of `AREAS`."""
    title: str
    """The question in one line."""
    rating: str
    """A key of `RATINGS`."""
    status: str
    """A key of `STATUSES`."""
    compute: str
    """A key of `COMPUTE`: what the whole problem needs. The starter always runs on a laptop."""
    models: tuple[str, ...]
    """What the starter runs: names for `load_model`, `load_toy_models` or `load_subject`, bundled dictionaries, or
    planted/NAME."""
    unit: str
    """The unit of the course that prepares for it."""
    glossary: tuple[str, ...]
    """Slugs of entries that explain its terms."""
    after: tuple[str, ...]
    """Slugs of problems to work on first."""
    sources: tuple[str, ...]
    """The publications that the text cites: "Author et al. (2023), Title: what it showed"."""
    reviewed: date
    """When somebody last checked what is known."""
    text: str
    """Markdown with the headings of `HEADINGS`."""
    folder: Path
    """Where its files are."""

    @property
    def parts(self) -> Mapping[str, str]:
        """Heading → Markdown below it."""
        pieces = _HEADING.split(self.text)[1:]
        return dict(zip(pieces[::2], (piece.strip() for piece in pieces[1::2]), strict=True))

    @property
    def starter(self) -> Path:
        """The script that measures the baseline."""
        return self.folder / "starter.py"

    @property
    def file(self) -> Path:
        """The file with the text."""
        return self.folder / "problem.md"


def read_problem(folder: Path) -> Problem:
    """Read a folder of the catalogue.

    Raises:
        FileNotFoundError: if it has no problem.md.
        ValueError: names the file, the key and what was expected.
    """
    slug, area, path = folder.name, folder.parent.name, folder / "problem.md"
    if not _SLUG.fullmatch(slug):
        raise ValueError(f"{folder}: a problem's folder is named in lower case with hyphens.")
    if area not in AREAS:
        question = did_you_mean(area, AREAS)
        raise ValueError(f"{folder}: {area!r} is no area.{question} Areas: {', '.join(AREAS)}.")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no problem.md; write one, or remove the folder.")
    return _parse(path, slug, area)


def read_copy(folder: Path) -> Problem:
    """Read the problem.md that `start` copied into a folder.

    Raises:
        OSError: if it cannot be read.
        ValueError: names the file, the key and what was expected.
    """
    return _parse(folder / "problem.md", "", "")


def _parse(path: Path, slug: str, area: str) -> Problem:
    texts, lists, text = read_front_matter(
        path.read_text(encoding="utf-8"),
        path,
        texts=TEXTS if slug else (*OF_A_COPY, *TEXTS),
        lists=LISTS,
        what="a problem",
    )
    choices = {"rating": RATINGS, "status": STATUSES, "compute": COMPUTE, "area": AREAS}
    for key, known in choices.items():
        if key in texts and texts[key] not in known:
            question = did_you_mean(texts[key], known)
            raise ValueError(f"{path}: {key} is {', '.join(known)}; found {texts[key]!r}.{question}")
    if len(texts["title"]) > LONGEST_TITLE:
        raise ValueError(
            f"{path}: the title has {len(texts['title'])} characters; at most {LONGEST_TITLE} fit."
        )
    for key in ("glossary", "after"):
        for other in lists[key]:
            if not _SLUG.fullmatch(other):
                raise ValueError(f"{path}: {key} lists ids such as induction-head, not {other!r}.")
    try:
        reviewed = date.fromisoformat(texts["reviewed"])
    except ValueError as error:
        raise ValueError(f"{path}: reviewed is a date such as 2026-11-30 ({error}).") from error
    found = tuple(_HEADING.findall(text))
    if found != HEADINGS:
        raise ValueError(
            f"{path}: expected the headings {', '.join(f'## {heading}' for heading in HEADINGS)}, in this order; "
            f"found {', '.join(f'## {heading}' for heading in found) or 'none'}."
        )
    return Problem(
        slug=slug or texts["id"],
        area=area or texts["area"],
        title=texts["title"],
        rating=texts["rating"],
        status=texts["status"],
        compute=texts["compute"],
        unit=texts["unit"],
        reviewed=reviewed,
        text=text,
        folder=path.parent,
        **lists,
    )

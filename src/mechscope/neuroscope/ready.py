"""Make the stores of bundled models, all with one command:

    python -m mechscope.neuroscope.ready                         # every bundled model of source code
    python -m mechscope.neuroscope.ready mini-gelu-2l            # only this one
    python -m mechscope.neuroscope.ready --packaged              # the store that comes with mechscope
    python -m mechscope.neuroscope.ready --labels                # only its labels

Stores are written into the user's folder, or into the folder that --out names. Models that have a store there are left
out, unless they are named.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from mechscope.neuroscope.connections import FILE
from mechscope.neuroscope.corpus import Corpus
from mechscope.neuroscope.corpus.documents import Document, cut_into_documents
from mechscope.neuroscope.corpus.opening import Report
from mechscope.neuroscope.folders import READY, store_folder
from mechscope.neuroscope.harvest import harvest
from mechscope.neuroscope.label_file import LABEL_FILE
from mechscope.neuroscope.labels.rules import Regex, Rule, TokenPatterns, Words
from mechscope.neuroscope.labels.scoring import Scorer
from mechscope.neuroscope.publish import publish
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.reading import read_text
from mechscope.recipes.registry import MODULES
from mechscope.storage.files import replacing_folder


def _ignore(problem: str) -> None:
    """A report that nobody reads."""


PACKAGED_MODEL = "mini-gelu-1l"
"""The model whose store comes with the package."""
PACKAGED = HarvestSettings(context=64, top=12, low=6, sample=256, before=16, after=6)
"""Fewer and shorter contexts than usual, so that the store takes up less than 2 MB."""
PACKAGED_LABELS: tuple[tuple[str, str, Rule], ...] = (
    ("mlp0/241", "a space that is a token of its own", TokenPatterns(((" ",),))),
    ("mlp0/19", "commas", Regex(",")),
    ("mlp0/1", "the words of, in and with", Words(("of", "in", "with"))),
    ("mlp0/236", "the end of a line", TokenPatterns((("\n",), ("\n\n",)))),
    ("mlp0/114", "words that begin with s, t or w", Regex(r"(?<=\s)[stw]")),
)
"""Labels that come with it, as examples: some hold, others do not."""
HEADS = ("attn.entropy", "attn.distance", "attn.norm")
TOKENS = 300_000
"""About how many tokens each model reads."""


class OwnSource(Corpus):
    """The source code of mechscope, so that the package contains no text of others."""

    def __init__(self) -> None:
        super().__init__(("mechscope's own source code",))

    @property
    def description(self) -> str:
        return f"{self.names[0]}, version {version('mechscope')}"

    def documents(self, report: Report = _ignore) -> Iterator[Document]:
        package = Path(__file__).parents[1]
        names = [path.relative_to(package).as_posix() for path in package.rglob("*.py")]
        # In the order of a hash, the beginning is a fair sample of the whole.
        for name in sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest()):
            yield from cut_into_documents(name, read_text(package / name))

    def check(self) -> None:
        """There is always text."""


def ready_models() -> list[str]:
    """The bundled models that were trained on source code."""
    return [name for name, module in MODULES.items() if module == "mechscope.recipes.family"]


def make_store(
    model: str,
    folder: Path,
    settings: HarvestSettings | None = None,
    max_tokens: int = TOKENS,
    corpus: str | Corpus = "library",
) -> Path:
    """Harvest a corpus with all neurons and heads of a bundled model, and publish it.

    Args:
        folder: the folder of the store.
        settings: what is kept; the default settings if not given.

    Raises:
        NotKeptError: if the disk is full.
    """
    sites = HEADS if "attn-only" in model else ("mlp", *HEADS)
    with tempfile.TemporaryDirectory(prefix="mechscope-harvest-") as temporary:
        found = harvest(
            model,
            Path(temporary) / "work",
            sites=sites,
            corpus=corpus,
            settings=settings,
            max_tokens=max_tokens,
            device="cpu",
        )
        publish(found.folder, folder)
    finish_store(folder)
    return folder


def finish_store(folder: Path) -> None:
    """Make the file of a store small, and readable without the two files that SQLite keeps beside it for writers."""
    connection = sqlite3.connect(folder / FILE, isolation_level=None)
    try:
        connection.execute("INSERT INTO sequence_text (sequence_text) VALUES ('optimize')")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = DELETE")
    finally:
        connection.close()


def write_labels(folder: Path) -> None:
    """Give the store that is to be packaged its labels, and test them."""
    with NeuroscopeStore(folder) as store:
        scorer = Scorer(store)
        for address, label, rule in PACKAGED_LABELS:
            scorer.keep(store.labels.add(address, label, rule.kind, rule.text))


def main(arguments: list[str] | None = None) -> None:
    """Make the stores that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m mechscope.neuroscope.ready",
        description="Make the neuroscope's stores of bundled models.",
    )
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="only these (default: all without a store)"
    )
    parser.add_argument("--out", type=Path, help="a folder for the stores, instead of the user's")
    parser.add_argument("--tokens", type=int, default=TOKENS, help=f"tokens to read per model ({TOKENS:,})")
    parser.add_argument(
        "--packaged", action="store_true", help="make the store that comes with mechscope anew"
    )
    parser.add_argument(
        "--labels", action="store_true", help="test the labels of the store that comes with mechscope anew"
    )
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.models) - set(ready_models())):
        parser.error(f"{', '.join(unknown)}: give some of {', '.join(ready_models())}.")
    if options.packaged or options.labels:
        with tempfile.TemporaryDirectory(prefix="mechscope-store-") as temporary:
            # Elsewhere, because a label of a store in its place would go to the user's copy.
            made = Path(temporary) / PACKAGED_MODEL
            if options.packaged:
                make_store(PACKAGED_MODEL, made, PACKAGED, options.tokens, OwnSource())
            else:
                shutil.copytree(READY / PACKAGED_MODEL, made, ignore=shutil.ignore_patterns(LABEL_FILE))
            write_labels(made)
            with replacing_folder(READY / PACKAGED_MODEL) as new:
                shutil.copytree(made, new, dirs_exist_ok=True)
        _say(f"{READY / PACKAGED_MODEL}")
        return
    for model in options.models or ready_models():
        folder = store_folder(model) if options.out is None else options.out / model
        if not options.models and (folder / FILE).exists():
            _say(f"{folder} is already there")
            continue
        make_store(model, folder, max_tokens=options.tokens)
        _say(f"{folder}")


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

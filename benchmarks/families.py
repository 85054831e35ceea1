"""Load a tiny random model of every family and compare it with transformers; write docs/families.md.

    python -m benchmarks.families

The models of tests/checkpoints/tiny_models.py are built by transformers with random parameters, saved to a folder,
and loaded by us from there. Each number is the largest difference divided by the largest reference value, over every
variant of the family.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from tests.checkpoints.tiny_encoders import encoder_batch, encoder_logits, tiny_bert
from tests.checkpoints.tiny_models import (
    CONTEXT,
    TINY,
    Tiny,
    reference_logits,
    relative_error,
    saved,
    token_ids,
)
from transformers.utils import logging as transformers_logging

from mechscope.checkpoints.adapters import FAMILIES
from mechscope.checkpoints.load import load_model
from mechscope.pages.tables import markdown_table
from mechscope.pages.text_template import fill_page
from mechscope.storage.files import check_file, write_atomically

OUTPUT = Path(__file__).parent.parent / "docs" / "families.md"
PROMISED = 1e-4
COLUMNS = ("as stored", "processed", "padded batch", "short and full context")


@dataclass
class Row:
    """One family: its worst error in each column."""

    name: str
    architectures: tuple[str, ...]
    special: str
    variants: list[str] = field(default_factory=list)
    worst: dict[str, float] = field(default_factory=dict)

    def add(self, column: str, error: float) -> None:
        self.worst[column] = max(error, self.worst.get(column, 0.0))


def padded_batch(side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [3, 11] and their mask, with 0, 3 and 6 positions of padding."""
    tokens = token_ids(3, 11)
    mask = torch.ones_like(tokens)
    for row, padding in enumerate((0, 3, 6)):
        mask[row, slice(0, padding) if side == "left" else slice(11 - padding, None)] = 0
    return tokens, mask


@torch.no_grad()
def measure(row: Row, name: str, tiny: Tiny) -> None:
    """Add a variant's errors to its family's row."""
    with tempfile.TemporaryDirectory() as folder:
        theirs, path = saved(tiny, Path(folder))
        raw, processed, short = load_model(path, process=False), load_model(path), load_model(path, n_ctx=9)
        tokens = token_ids(2, CONTEXT)
        expected = reference_logits(theirs, tokens)
        row.add("as stored", relative_error(raw(tokens), expected))
        row.add("processed", relative_error(processed(tokens).log_softmax(-1), expected.log_softmax(-1)))
        for length, model in ((1, processed), (9, short), (CONTEXT, processed)):
            tokens = token_ids(1, length)
            expected = reference_logits(theirs, tokens).log_softmax(-1)
            row.add("short and full context", relative_error(model(tokens).log_softmax(-1), expected))
        for side in ("left", "right"):
            tokens, mask = padded_batch(side)
            real = mask.bool()
            expected = reference_logits(theirs, tokens, mask)[real].log_softmax(-1)
            for model in (raw, processed):
                found = model(tokens, attention_mask=mask)[real].log_softmax(-1)
                row.add("padded batch", relative_error(found, expected))
    row.variants.append(name)


@torch.no_grad()
def measure_encoder(row: Row) -> None:
    """The same for BERT, whose weights are never processed."""
    with tempfile.TemporaryDirectory() as folder:
        theirs = tiny_bert("BertForMaskedLM")
        theirs.save_pretrained(folder)
        for length in (1, 9, CONTEXT):
            tokens = token_ids(1, length)
            model = load_model(folder, n_ctx=length)
            error = relative_error(model(tokens), theirs(tokens).logits)
            row.add("short and full context", error)
            row.add("as stored", error)
        inputs = encoder_batch()
        real = inputs["attention_mask"].bool()
        found = encoder_logits(load_model(folder), inputs)[real]
        row.add("padded batch", relative_error(found, theirs(**inputs).logits[real]))
    row.variants.append("bert")


def measured_rows(report: Callable[[str], None]) -> list[Row]:
    """Every family's row, in the order of the adapters."""
    rows = [Row(family.name, family.architectures, family.special) for family in FAMILIES]
    by_name = {row.name: row for row in rows}
    for name, tiny in TINY.items():
        report(f"  {name}")
        measure(by_name[tiny.family], name, tiny)
    measure_encoder(by_name["BERT"])
    return rows


def markdown(rows: list[Row]) -> str:
    """The page."""
    heads = ["family", "`architectures`", "what sets it apart", *COLUMNS]
    cells: list[list[str]] = []
    for row in rows:
        figures = [f"{row.worst[column]:.0e}" if column in row.worst else "–" for column in COLUMNS]
        architectures = ", ".join(f"`{name}`" for name in row.architectures)
        cells.append([row.name, architectures, row.special, *figures])
    return fill_page(
        Path(__file__).with_suffix(".md"),
        torch=torch.__version__,
        transformers=transformers.__version__,
        variants=sum(len(row.variants) for row in rows),
        promised=f"{PROMISED:.0e}",
        worst=f"{max(value for row in rows for value in row.worst.values()):.0e}",
        table=markdown_table(heads, cells, align="lll" + "r" * len(COLUMNS)),
    )


def main() -> None:
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    check_file(OUTPUT)
    rows = measured_rows(print)
    worst = max(value for row in rows for value in row.worst.values())
    write_atomically(OUTPUT, markdown(rows))
    print(f"wrote {OUTPUT.name}: {len(rows)} families, worst relative error {worst:.1e}")
    if worst > PROMISED:
        sys.exit(f"the worst error exceeds the promised {PROMISED:.0e}")


if __name__ == "__main__":
    main()

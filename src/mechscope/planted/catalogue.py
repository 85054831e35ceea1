"""The library of programs as a table."""

from __future__ import annotations

import pandas as pd

from mechscope.arguments import checked_arguments
from mechscope.pages.tables import markdown_table
from mechscope.planted.library import PROGRAMS, STEADY_NOISE, load


@checked_arguments
def catalogue() -> pd.DataFrame:
    """One row per program at its default sizes: model shape, size of the true circuit, what it computes."""
    rows: list[dict[str, object]] = []
    for name in PROGRAMS:
        planted = load(name)
        cfg = planted.model.cfg
        rows.append(
            {
                "program": name,
                "attention": cfg.attention_dir,
                "layers": cfg.n_layers,
                "heads": len(planted.true_heads),
                "MLPs": sum(node.startswith("m") for node in planted.notes),
                "d_model": cfg.d_model,
                "neurons": 0 if cfg.attn_only else cfg.d_mlp,
                "true edges": len(planted.true_edges),
                "fixed edges": len(planted.fixed_edges),
                "noise": STEADY_NOISE[name],
                "computes": planted.description,
            }
        )
    return pd.DataFrame(rows).set_index("program")


def page() -> str:
    """The catalogue as a Markdown table."""
    table = catalogue().reset_index()
    return markdown_table(list(table.columns), table.astype(str).values.tolist())

"""The page of the bundled models. Its numbers come from the models' own files.

`python -m mechscope.recipes.models_page docs/models.md` writes it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mechscope.checkpoints.cards import carded_names, read_card
from mechscope.checkpoints.packaged_models import PACKAGED
from mechscope.checkpoints.registry import BUNDLED, bundled_names, toy_model_names
from mechscope.dictionaries.bundled_folders import BUNDLED as BUNDLED_DICTIONARIES
from mechscope.dictionaries.bundled_folders import bundled_dictionary_names
from mechscope.pages.tables import markdown_table
from mechscope.pages.text_template import fill_page
from mechscope.reading import read_json_object
from mechscope.recipes.registry import KINDS, find_recipe
from mechscope.recipes.store import TRANSFORMER
from mechscope.storage.files import write_atomically
from mechscope.subjects.bundled_folders import BUNDLED as BUNDLED_SUBJECTS
from mechscope.subjects.bundled_folders import subject_names

TEMPLATE = Path(__file__).with_suffix(".md")


def page() -> str:
    """The whole page, in Markdown."""
    files = [path for folder in (BUNDLED, BUNDLED_SUBJECTS) for path in folder.rglob("*") if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    family = {name: _read(name) for name in _members()}
    return fill_page(
        TEMPLATE,
        megabytes=f"{megabytes:.1f}",
        family=_family(family) if family else None,
        others=[_other(name) for name in (*bundled_names(), *toy_model_names()) if name not in family],
        subjects=[_other(name) for name in subject_names()],
        dictionaries=[_other(name) for name in bundled_dictionary_names()],
        packaged=[_deeper(read_card(name)) for name in PACKAGED if name in carded_names()],
    )


def _members() -> list[str]:
    names = [f"mini-{kind}-{layers}l" for kind in KINDS for layers in (1, 2, 3, 4)]
    return [name for name in names if name in bundled_names()]


def _read(name: str) -> dict[str, Any]:
    if name in bundled_dictionary_names():
        folder = BUNDLED_DICTIONARIES
    else:
        folder = BUNDLED_SUBJECTS if name in subject_names() else BUNDLED
    return read_json_object(folder / name / "figures.json")


def _family(family: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    first = next(iter(family.values()))
    rows = [
        [
            f"`{name}`",
            member["words"]["parameters"],
            f"{member['figures']['loss_books']:.2f}",
            f"{member['figures']['loss_code']:.2f}",
            f"{member['figures']['prefix']:.2f}",
            f"{member['figures']['gain']:.2f}",
            member["words"]["induction_heads"],
            member["words"]["previous_heads"],
            f"{_tokens(member) / 1e6:.1f} million",
            f"{member['seconds'] / 60:.0f}",
        ]
        for name, member in family.items()
    ]
    titles = ["model", "parameters", "books", "code", "prefix score", "gain", "induction heads"]
    titles += ["previous-token heads", "tokens", "minutes to train"]
    orders = ["unigram", "bigram", "trigram"]
    ngrams = [
        [order, *(f"{first['figures'][f'{order}_{kind}']:.2f}" for kind in ("books", "code"))]
        for order in orders
    ]
    kept = {name: member["checkpoints"] for name, member in family.items() if member["checkpoints"]}
    watch = [
        f"`ms.load_model({name!r}, checkpoint_value={steps[len(steps) // 2]})` loads one of its {len(steps)} training "
        f"checkpoints: steps {', '.join(f'{step:,}' for step in steps)}."
        for name, steps in kept.items()
    ]
    return {
        "members": "`mini-{attn-only, gelu, solu}-{1, 2, 3, 4}l`",
        "d_vocab": first["config"]["d_vocab"],
        "n_ctx": first["config"]["n_ctx"],
        "table": markdown_table(titles, rows),
        "ngrams": markdown_table(["", "books", "code"], ngrams),
        "conditions": _conditions(family),
        "watch": "\n".join(watch),
    }


def _tokens(member: Mapping[str, Any]) -> int:
    config = member["config"]
    sequences = (
        config["first_steps"] * config["first_batch"] + config["second_steps"] * config["second_batch"]
    )
    return sequences * config["n_ctx"]


def _conditions(family: Mapping[str, Mapping[str, Any]]) -> str:
    by_layers: dict[str, list[str]] = {}
    for member in family.values():
        words = "; ".join(f"{one['what']} {one['wanted']}" for one in member["conditions"])
        layers = member["config"]["n_layers"]
        by_layers.setdefault(words, []).append(str(layers))
    return "\n".join(
        f"- with {' or '.join(dict.fromkeys(layers))} layer{'s' if layers[-1] != '1' else ''}: {words}"
        for words, layers in by_layers.items()
    )


def _other(name: str) -> str:
    lines = [f"## `{name}`", ""]
    found = _read(name)
    recipe = find_recipe(name)
    lines += [
        f"{recipe.summary[0].upper()}{recipe.summary[1:].rstrip('.')}. {found['words']['shape']}; "
        f"{found['words']['parameters']} numbers. `{found['command']}` (seed {found['seed']}, "
        f"{_duration(found['seconds'])}).{_loaded(recipe.store.loader, name)}",
        "",
        markdown_table(
            ["what must hold", "wanted", "measured"],
            [[one["what"], one["wanted"], f"{one['measured']:.4g}"] for one in found["conditions"]],
        ),
    ]
    if found["checkpoints"]:
        steps = ", ".join(f"{step:,}" for step in found["checkpoints"])
        lines += ["", f"Training checkpoints: {steps}."]
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _deeper(card: str) -> str:
    """A card with its headings two levels deeper, to stand inside a page."""
    return re.sub(r"(?m)^#", "###", card).strip()


def _loaded(loader: str, name: str) -> str:
    if loader == TRANSFORMER.loader:
        return ""
    return f" `ms.{loader}({name!r})` loads it; its card says what is in it."


if __name__ == "__main__":
    write_atomically(sys.argv[1], page())

"""The page of the bundled models, written from the files that lie beside them.

`python -m mechscope.recipes.models_page docs/models.md` writes it anew; no number in it is typed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mechscope.checkpoints.registry import BUNDLED, bundled_names, toy_model_names
from mechscope.pages.tables import markdown_table
from mechscope.reading import read_json_object
from mechscope.recipes.registry import KINDS, find_recipe
from mechscope.recipes.store import TRANSFORMER
from mechscope.storage.files import write_atomically

HEAD = """# Bundled models

These models come with mechscope and load without a network: `ms.load_model("mini-gelu-2l")`; where another function
loads them, it is named below. They are small on purpose, {megabytes} MB in all. Each lies in
`src/mechscope/checkpoints/bundled/` with a card (`card.md`: data, licence, tokens, losses, what is known inside it, the
command that made it) and its figures (`figures.json`). Weights are float16 safetensors.

`mechscope models train NAME` makes one again from scratch into `runs/models/NAME`. A training that was killed goes on
where it was when the same command is given again. What comes out is read back from disk, measured, and held against the
conditions of its recipe; it is put in place only if it passes. Tests measure every bundled model again.

This page is written by `python -m mechscope.recipes.models_page docs/models.md` from the figures beside the models.
"""

FAMILY = """## The family: {members}

Twelve small language models, one to four layers of attention alone, with GELU neurons or with SoLU neurons. All share a
byte-level tokenizer of {d_vocab} tokens, contexts of {n_ctx}, their data and its order. A first phase on random blocks
that come over and over makes induction heads form; a second phase teaches a little prose and Python. In so little text
alone none would form (that is what trials showed before), so take these models for what they are: induction was
trained in, on purpose, and then kept in use. MLPs are added after the first phase; where they learnt from its
start, no induction head had formed by its end.

The books are in the public domain and are read from `text/classic_books.tar.xz` in the folder that `MECHSCOPE_DATA`
names; the code is the standard library of the Python that runs (Python Software Foundation License), so another Python
gives a slightly different model, and says so.

Losses are in nats a token on text that no member was trained on. Prefix score and gain are measured on a block of
random tokens and its copy: the attention of the best head from a token to the one after its first occurrence, and how
much lower the loss is on the copy. One layer cannot do that, two can. Minutes are wall time on one core, whatever else
the machine did.

{table}

Beside them, n-grams counted on the same training text:

{ngrams}

What holds for each of them, or it would not be here:

{conditions}

{watch}
"""


def page() -> str:
    """The whole page, in Markdown."""
    files = [path for path in BUNDLED.rglob("*") if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    family = {name: _read(name) for name in _members()}
    parts = [HEAD.format(megabytes=f"{megabytes:.1f}")]
    if family:
        parts.append(_family(family))
    parts += [_other(name) for name in (*bundled_names(), *toy_model_names()) if name not in family]
    return "\n".join(parts)


def _members() -> list[str]:
    names = [f"mini-{kind}-{layers}l" for kind in KINDS for layers in (1, 2, 3, 4)]
    return [name for name in names if name in bundled_names()]


def _read(name: str) -> dict[str, Any]:
    return read_json_object(BUNDLED / name / "figures.json")


def _family(family: Mapping[str, Mapping[str, Any]]) -> str:
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
    return FAMILY.format(
        members="`mini-{attn-only, gelu, solu}-{1, 2, 3, 4}l`",
        d_vocab=first["config"]["d_vocab"],
        n_ctx=first["config"]["n_ctx"],
        table=markdown_table(titles, rows),
        ngrams=markdown_table(["", "books", "code"], ngrams),
        conditions=_conditions(family),
        watch="\n".join(watch),
    )


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
        f"{found['seconds'] / 60:.0f} minutes).{_loaded(recipe.store.loader, name)}",
        "",
        markdown_table(
            ["what must hold", "wanted", "measured"],
            [[one["what"], one["wanted"], f"{one['measured']:.4g}"] for one in found["conditions"]],
        ),
    ]
    if found["checkpoints"]:
        steps = ", ".join(f"{step:,}" for step in found["checkpoints"])
        lines += ["", f"Training checkpoints: {steps}."]
    return "\n".join(lines) + "\n"


def _loaded(loader: str, name: str) -> str:
    if loader == TRANSFORMER.loader:
        return ""
    return f" `ms.{loader}({name!r})` loads it; its card says what is in it."


if __name__ == "__main__":
    write_atomically(sys.argv[1], page())

"""Make the mistakes that the classic interface accepted, and record what happens; write docs/misuse.md.

    python -m benchmarks.misuse

Each row shows a call that was made, the error that it raised, and what the classic library does with the same call
(made too, if that library is installed).
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import torch  # noqa: E402

import mechscope  # noqa: E402
from mechscope.pages.tables import markdown_table  # noqa: E402
from mechscope.pages.text_template import fill_page  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
FIELDS: dict[str, Any] = {
    "n_layers": 2,
    "d_model": 16,
    "n_ctx": 8,
    "d_head": 8,
    "n_heads": 2,
    "d_vocab": 20,
    "act_fn": "gelu",
    "seed": 0,
}


@dataclass(frozen=True)
class Misuse:
    """One mistake, as a call on a model and the library that it came from."""

    mistake: str
    code: str
    call: Callable[[Any, Any], object]


def tokens(length: int = 5) -> torch.Tensor:
    """A batch of two rows."""
    return torch.arange(2 * length).reshape(2, length) % 20


def edit_in_place(model: Any, library: Any) -> object:
    """Zero an activation inside a hook and look at the one cached just before it, which must not change.

    Raises AssertionError where it did: the silent mistake that a copy for each hook prevents.
    """
    del library
    clean = model.run_with_cache(tokens())[1]["blocks.0.hook_resid_post"].clone()

    def zero(resid: torch.Tensor, hook: object) -> None:
        resid[:, 0] = 0

    with model.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", zero)]):
        cache = model.run_with_cache(tokens())[1]
    changed = not torch.equal(cache["blocks.0.hook_resid_post"], clean)
    return "the cached output of block 0 was rewritten too" if changed else "only what comes after changed"


def patch_lengths(model: Any, library: Any) -> object:
    """Patch between runs of different lengths."""
    import importlib

    patching = importlib.import_module(f"{library.__name__}.patching")
    clean = model.run_with_cache(tokens(6))[1]
    with contextlib.redirect_stderr(io.StringIO()):
        return patching.get_act_patch_resid_pre(model, tokens(4), clean, lambda logits: logits[0, -1, 0])


def patch_with(metric: Callable[[torch.Tensor], Any]) -> Callable[[Any, Any], object]:
    """Patch with some metric, between runs that fit."""

    def call(model: Any, library: Any) -> object:
        import importlib

        patching = importlib.import_module(f"{library.__name__}.patching")
        clean = model.run_with_cache(tokens(5).flip(1))[1]
        with contextlib.redirect_stderr(io.StringIO()):
            return patching.get_act_patch_resid_pre(model, tokens(5), clean, metric)

    return call


MISUSES = (
    Misuse(
        "a misspelt name in names_filter",
        'names_filter="blocks.0.hook_resid_pst"',
        lambda m, _: m.run_with_cache(tokens(), names_filter="blocks.0.hook_resid_pst"),
    ),
    Misuse(
        "the same inside a list",
        'names_filter=["hook_embed", "blocks.0.hook_resid_pst"]',
        lambda m, _: m.run_with_cache(tokens(), names_filter=["hook_embed", "blocks.0.hook_resid_pst"]),
    ),
    Misuse(
        "a predicate that matches nothing",
        'fwd_hooks=[(lambda name: "patern" in name, fn)]',
        lambda m, _: m.run_with_hooks(
            tokens(), fwd_hooks=[(lambda name: "patern" in name, lambda x, hook: x)]
        ),
    ),
    Misuse(
        "a misspelt keyword",
        "run_with_cache(tokens, name_filter=…)",
        lambda m, _: m.run_with_cache(tokens(), name_filter="hook_embed"),
    ),
    Misuse(
        "a hook where this model has no such activation",
        '"blocks.0.attn.hook_rot_q" (positions are not rotary)',
        lambda m, _: m.run_with_hooks(tokens(), fwd_hooks=[("blocks.0.attn.hook_rot_q", lambda x, hook: x)]),
    ),
    Misuse(
        "an intervention that never fires",
        'stop_at_layer=1, hook on "blocks.1.hook_resid_post"',
        lambda m, _: m.run_with_hooks(
            tokens(), stop_at_layer=1, fwd_hooks=[("blocks.1.hook_resid_post", lambda x, hook: x * 0)]
        ),
    ),
    Misuse(
        "a hook that returns the wrong shape",
        "return resid[:, -1:]",
        lambda m, _: m.run_with_hooks(
            tokens(), fwd_hooks=[("blocks.0.hook_resid_post", lambda x, hook: x[:, -1:])]
        ),
    ),
    Misuse(
        "a hook that returns the wrong type of number",
        "return resid.double()",
        lambda m, _: m.run_with_hooks(
            tokens(), fwd_hooks=[("blocks.0.hook_mlp_out", lambda x, hook: x.double())]
        ),
    ),
    Misuse("patching between runs of different lengths", "6 clean positions, 4 corrupted", patch_lengths),
    Misuse(
        "a metric that gives a vector", "lambda logits: logits[:, -1, 0]", patch_with(lambda x: x[:, -1, 0])
    ),
    Misuse(
        "a metric that is NaN",
        "lambda logits: (logits[0, -1, 0] - 99).log()",
        patch_with(lambda x: (x[0, -1, 0] - 99).log()),
    ),
    Misuse("text without a tokenizer", 'model.to_tokens("hello")', lambda m, _: m.to_tokens("hello")),
    Misuse("a context longer than n_ctx", "9 tokens, n_ctx=8", lambda m, _: m(tokens(9))),
    Misuse("a token id out of range", "token 20 of 20", lambda m, _: m(tokens() + 15)),
    Misuse(
        "an unknown config field",
        "n_layer=2",
        lambda _, library: library.HookedTransformerConfig.from_dict({**FIELDS, "n_layer": 2}),
    ),
    Misuse("an in-place edit inside a hook", "resid[:, 0] = 0", edit_in_place),
)


def outcome(misuse: Misuse, model: Any, library: Any) -> str:
    """What came of it, in a line."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            result = misuse.call(model, library)
    except Exception as error:
        message = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
        return f"{type(error).__name__}: {' '.join(message.split())}"
    return result if isinstance(result, str) else "no error"


def rows() -> list[tuple[str, str, str, str]]:
    """(mistake, code, ours, classic) for every misuse."""
    ours = mechscope.HookedTransformer(FIELDS)
    try:
        import transformer_lens as classic
    except ImportError:
        classic = None
    theirs = (
        None
        if classic is None
        else classic.HookedTransformer(classic.HookedTransformerConfig(**FIELDS, device="cpu"))
    )
    result = []
    for misuse in MISUSES:
        other = "not installed" if classic is None else outcome(misuse, theirs, classic)
        if theirs is not None:
            theirs.reset_hooks()
        result.append((misuse.mistake, misuse.code, outcome(misuse, ours, mechscope), other))
    return result


def by_kind() -> dict[str, list[tuple[str, str]]]:
    """The result of every mistake in the tests' corpus: kind → (mistake, error)."""
    from tests.misuse.corpus import corpus

    found: dict[str, list[tuple[str, str]]] = {}
    for mistake in corpus():
        call = Misuse(mistake.code, mistake.code, lambda _model, _library, mistake=mistake: mistake.call())
        with contextlib.redirect_stderr(io.StringIO()):
            found.setdefault(mistake.kind, []).append((mistake.code, outcome(call, None, mechscope)))
    return found


def main() -> None:
    """Write the page."""

    def short(text: str, limit: int = 300) -> str:
        return text if len(text) <= limit else text[: limit - 1] + "…"

    compared = [
        [mistake, f"`{short(code)}`", short(ours), short(other, 120)] for mistake, code, ours, other in rows()
    ]
    from tests.misuse.calls import calls

    kinds, n_functions = by_kind(), len(calls())
    text = fill_page(
        Path(__file__).with_suffix(".md"),
        count=sum(len(found) for found in kinds.values()),
        functions=n_functions,
        compared=markdown_table(["mistake", "in code", "mechscope says", "classic"], compared),
        kinds=[
            (
                f"{kind[:1].upper()}{kind[1:]}",
                markdown_table(
                    ["mistake", "mechscope says"], [[short(code), short(said)] for code, said in found]
                ),
            )
            for kind, found in kinds.items()
        ],
    )
    target = ROOT / "docs" / "misuse.md"
    target.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

"""The card of a model that a package contains: measured on this machine, written into the package.

    python -m mechscope.recipes.packaged_card smollm2-135m

It takes about two minutes on one core. The numbers of the card are measurements of the file that `mechscope models get`
fetches; a test measures a part of them again.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from mechscope.checkpoints.cards import card_path
from mechscope.checkpoints.gguf_file import GgufFile
from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.packaged_models import find_packaged, packaged_file
from mechscope.model.transformer import HookedTransformer
from mechscope.pages.tables import markdown_table
from mechscope.pages.text_template import fill_page
from mechscope.recipes.family.measures import token_losses
from mechscope.recipes.family.package_files import KINDS_OF_TEXT, held_out, shared_tokenizer
from mechscope.storage.files import write_atomically
from mechscope.tasks import docstring, gendered_pronoun, ioi, subject_verb_agreement
from mechscope.tasks.task import Task
from mechscope.techniques.head_detectors import detect_heads

TEMPLATE = Path(__file__).with_suffix(".md")
ROWS, FEW_ROWS = 96, 12
"""Pieces of each held-out text that losses are measured on, and how many of them the test measures again."""
COMPARED_WITH = "mini-gelu-4l"
"""A bundled model whose loss on the same text stands beside it."""
NAMED_FROM = 0.5
"""A head with this score or more is named on the card."""
PATTERNS = ("induction", "previous", "duplicate")
TASKS = {
    "indirect objects": ioi,
    "docstrings": docstring,
    "gendered pronouns": gendered_pronoun,
    "agreement of subject and verb": subject_verb_agreement,
}
PROMPTS = 32
"""Pairs of prompts of each task."""


def text_losses(model: HookedTransformer, kind: str, rows: int) -> tuple[float, float]:
    """Loss on the first pieces of a held-out text: (nats per token, bits per byte).

    A piece is about 128 bytes, with nothing before it but the begin token, if the model's texts have one. Bits are
    those of the predicted tokens per byte of these tokens, so that models with other tokenizers can be compared.

    Args:
        model: a model with a tokenizer.
        kind: "books" or "code".
        rows: how many pieces.
    """
    nats = n_tokens = n_bytes = 0.0
    tokenizer = shared_tokenizer()
    for row in held_out().rows[kind][:rows]:
        text = tokenizer.decode(row[1:].tolist())
        tokens = model.to_tokens(text)
        losses = token_losses(model, tokens)
        nats += float(losses.sum())
        n_tokens += losses.numel()
        n_bytes += len(str(model.to_string(tokens[0, 1:])).encode())
    return nats / n_tokens, nats / math.log(2) / n_bytes


def right_answers(model: HookedTransformer, task: Task) -> tuple[float, float]:
    """Share of prompts on which the right answer is likelier than the wrong ones, and the mean logit difference."""
    with torch.no_grad():
        difference = task.measure(task.logits(model, task.clean))
    return float((difference > 0).float().mean()), float(difference.mean())


def stored_types(file: Path) -> dict[str, dict[str, float]]:
    """Type of a GGUF file's tensors → how many there are, and their megabytes."""
    from gguf import GGUFReader

    tensors = GGUFReader(file).tensors
    counts = Counter(tensor.tensor_type.name for tensor in tensors)
    return {
        kind: {
            "tensors": count,
            "megabytes": sum(int(tensor.n_bytes) for tensor in tensors if tensor.tensor_type.name == kind)
            / 1e6,
        }
        for kind, count in counts.most_common()
    }


def measure(name: str) -> dict[str, Any]:
    """Everything that a card says in numbers, as values that JSON can hold."""
    packaged = find_packaged(name)
    file = packaged_file(packaged)
    model, small = load_model(name), load_model(COMPARED_WITH)
    cfg = model.cfg
    metadata = GgufFile(file).metadata
    losses = {
        who: {kind: text_losses(each, kind, ROWS) for kind in KINDS_OF_TEXT}
        for who, each in ((name, model), (COMPARED_WITH, small))
    }
    detected = detect_heads(model, None, PATTERNS, seeds=(0, 1), batch_size=4)
    heads = {
        pattern: {
            f"a{layer}.h{head}": float(detected.of(pattern).values[layer, head])
            for layer, head in detected.heads(pattern, NAMED_FROM)
        }
        for pattern in PATTERNS
    }
    tokens = model.to_tokens(shared_tokenizer().decode(held_out().rows["books"][0][1:].tolist()))
    _, cache = model.run_with_cache(tokens)
    norms = torch.stack([cache["resid_pre", layer][0].norm(dim=-1) for layer in range(cfg.n_layers)])
    ratios = norms[:, 0] / norms[:, 1:].median(1).values
    return {
        "shape": {
            "layers": cfg.n_layers,
            "heads": cfg.n_heads,
            "key_value_heads": cfg.n_kv_heads,
            "d_model": cfg.d_model,
            "d_mlp": cfg.d_mlp,
            "d_vocab": cfg.d_vocab,
            "n_ctx": cfg.n_ctx,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "begin_token": bool(cfg.default_prepend_bos),
        },
        "types": stored_types(file),
        "chat_template": str(metadata.get("tokenizer.chat_template", "")),
        "losses": losses,
        "few_rows": text_losses(model, "books", FEW_ROWS),
        "heads": heads,
        "tasks": {
            words: right_answers(model, make(model, n=PROMPTS, seed=0)) for words, make in TASKS.items()
        },
        "massive": {
            "first_layer": int((ratios > 50).nonzero()[0]),
            "largest_ratio": float(ratios.max()),
            "layer_of_largest": int(ratios.argmax()),
        },
    }


def card(name: str, figures: dict[str, Any]) -> str:
    """The card as Markdown."""
    packaged = find_packaged(name)
    kinds = [
        [kind, f"{one['tensors']:.0f}", f"{one['megabytes']:.1f}"] for kind, one in figures["types"].items()
    ]
    losses = [
        [f"`{who}`", *(f"{value:.2f}" for kind in KINDS_OF_TEXT for value in by_kind[kind])]
        for who, by_kind in figures["losses"].items()
    ]
    titles = [
        "model",
        "books, nats per token",
        "books, bits per byte",
        "code, nats per token",
        "code, bits per byte",
    ]
    heads = [
        [pattern, ", ".join(f"{head} ({score:.2f})" for head, score in named.items()) or "none"]
        for pattern, named in figures["heads"].items()
    ]
    tasks = [
        [words, f"{share:.0%}", f"{difference:.2f}"]
        for words, (share, difference) in figures["tasks"].items()
    ]
    about = held_out().about
    return fill_page(
        TEMPLATE,
        model=packaged,
        shape=figures["shape"],
        massive=figures["massive"],
        types=markdown_table(["type", "tensors", "MB"], kinds),
        losses=markdown_table(titles, losses),
        heads=markdown_table(["looks at", "heads with their share of attention"], heads),
        tasks=markdown_table(["task", "right", "logit difference"], tasks),
        chat_template=figures["chat_template"],
        compared_with=COMPARED_WITH,
        rows=ROWS,
        prompts=PROMPTS,
        named_from=f"{NAMED_FROM:g}",
        books=about["books"].replace(", ", "; ").replace("__", ", ").replace("_", " "),
        code=about["code"],
    )


def main(name: str) -> None:
    """Measure a model, and write its card and the measurements."""
    figures = measure(name)
    path = card_path(name)
    write_atomically(path.with_name("figures.json"), json.dumps(figures, indent=1) + "\n")
    write_atomically(path, card(name, figures))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m mechscope.recipes.packaged_card NAME")
    main(sys.argv[1])

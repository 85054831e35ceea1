"""The card of a member: what it is, what it was trained on, how well it does, what is known inside it."""

from __future__ import annotations

import torch
from torch import Tensor

from mechscope.model.transformer import HookedTransformer
from mechscope.recipes.family.config import FamilyConfig
from mechscope.recipes.family.corpus import Corpus
from mechscope.recipes.family.measures import NAMED_FROM, name_heads
from mechscope.recipes.family.package_files import held_out
from mechscope.recipes.family.training import loss_by_stretches

CARD = """# {name}

A small language model, {kind_words}. {family}
It is meant for studying its internals; the text that it writes is not worth reading.

- Made by: `{command}` (seed {seed}; {minutes} on {device} with {made_on}).
- Shape: {shape}; LayerNorm, positions added to
  queries and keys only (shortformer). {parameters} numbers, stored in float16.
- Tokenizer: byte-level BPE of {d_vocab} tokens, trained on the same text; texts should start with token 0, `<|bos|>`.
- Data, first phase ({first_tokens} tokens): repeated blocks of {shortest} to {longest} random tokens.
  So little text does not make induction heads form by itself; the blocks are there to make them form.{resting}
- Data, second phase ({second_tokens} tokens): books {books_share}, Python code {code_share},
  repeated random blocks {repeated_share}. The books are the beginnings of {n_books} public-domain books, the
  code comes from {n_modules} modules of the standard library of Python {corpus_python};
  checksum of their tokens {corpus_checksum}.
- Licences: the books are in the public domain; the code is under the Python Software Foundation License; the
  weights are under MIT, like mechscope.
- Training loss, by steps: {training_losses} nats.
{checkpoint_line}
Loss on held-out text, in nats per token, compared with n-grams counted on the same training text:

| text | this model | unigram | bigram | trigram | last quarter of a context minus the first |
|---|---|---|---|---|---|
| books | {loss_books:.2f} | {unigram_books:.2f} | {bigram_books:.2f} | {trigram_books:.2f} | {in_context_books:+.2f} |
| code | {loss_code:.2f} | {unigram_code:.2f} | {bigram_code:.2f} | {trigram_code:.2f} | {in_context_code:+.2f} |

Held-out books: {held_books}.
Held-out modules: {held_code}.

On a block of {half} random tokens followed by its copy:

- Loss on the first copy {loss_first_copy:.2f} nats, on the second {loss_second_copy:.2f}: context is worth
  {gain:.2f} nats.
- Prefix score (attention from a token to the one after its first occurrence) of the best head: {prefix:.2f}.
  Attention to the previous token of the best head: {previous:.2f}.
- Induction heads (prefix score of {named_from} or more): {induction_heads}.
- Previous-token heads ({named_from} or more): {previous_heads}.
"""

FAMILY = """One of a family of twelve that
share a tokenizer, their data and its order."""

OTHER_SEED = """It is {sibling} once more with
other initial weights and another order of the same data, so that one can ask what both of them have."""

RESTING = """
  The MLPs are added after this phase: where they learnt from the start, no such head formed."""


def card_words(
    config: FamilyConfig, model: HookedTransformer, corpus: Corpus, losses: Tensor, seconds: float
) -> dict[str, str]:
    """What the card says besides the figures and what every card says."""
    seed = 0 if model.cfg.seed is None else model.cfg.seed
    layers = "one layer" if config.n_layers == 1 else f"{config.n_layers} layers"
    inside = {
        "attn-only": "of attention and nothing else",
        "gelu": "of attention and GELU neurons",
        "solu": "of attention and SoLU neurons (softmax linear units, followed by a LayerNorm)",
    }
    first = config.first_steps * config.first_batch * config.n_ctx
    rows = config.second_batch
    kept = ", ".join(f"{step:,}" for step in (*config.keep, config.steps))
    line = (
        f"- Training checkpoints at steps {kept}: `load_model({config.name(seed)!r}, checkpoint_value=…)`.\n"
        if config.keep
        else ""
    )
    about = held_out().about
    stretches = loss_by_stretches(losses, config.first_steps)
    return {
        "kind_words": f"{layers} {inside[config.kind]}",
        "family": FAMILY if seed == 0 else OTHER_SEED.format(sibling=config.name(0)),
        "seed": str(seed),
        "minutes": _minutes(seconds),
        "device": _device(losses),
        "d_vocab": str(config.d_vocab),
        "first_tokens": f"{first:,}",
        "second_tokens": f"{config.tokens - first:,}",
        "resting": "" if config.kind == "attn-only" else RESTING,
        "shortest": str(config.shortest),
        "longest": str(config.longest),
        "books_share": f"{(rows - config.code_rows - config.repeated_rows) / rows:.0%}",
        "code_share": f"{config.code_rows / rows:.0%}",
        "repeated_share": f"{config.repeated_rows / rows:.0%}",
        "n_books": str(corpus.n_books),
        "n_modules": str(corpus.n_modules),
        "corpus_python": corpus.python,
        "corpus_checksum": corpus.checksum,
        "training_losses": ", ".join(f"{steps}: {loss:.2f}" for steps, loss in stretches),
        "checkpoint_line": line,
        "held_books": about["books"].replace(", ", "; ").replace("__", ", ").replace("_", " "),
        "held_code": about["code"],
        "half": str((config.n_ctx - 1) // 2),
        "named_from": str(NAMED_FROM),
        **name_heads(model),
    }


def _minutes(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "less than a minute" if seconds < 60 else "a minute" if minutes == 1 else f"{minutes} minutes"


def _device(losses: Tensor) -> str:
    if losses.device.type != "cpu":
        return "a GPU"
    threads = torch.get_num_threads()
    return "one CPU core" if threads == 1 else f"{threads} CPU cores"

"""The tokenizer that a GGUF file carries in its metadata: byte-level pairs (GPT-2, Llama 3, Qwen) or SentencePiece's.

The file names the rule by which text is split before pairs are merged (`tokenizer.ggml.pre`). llama.cpp has these rules
built in; they are written out here. An unknown rule is an error, because guessing would silently give other tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from mechscope.arguments import first_line, shown
from mechscope.data._merges import merge_in_line, merges_by_score
from mechscope.data.tokenizer import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Kinds of tokens in `tokenizer.ggml.token_type`."""
SPACE = "\u2581"
"""How SentencePiece writes a space."""

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_AFTER_NUMBERS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_AFTER_NUMBERS}"
_QWEN2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_AFTER_NUMBERS}"


@dataclass(frozen=True)
class _Rule:
    """How text is split before byte pairs are merged."""

    pattern: str = ""
    """A regular expression; empty for GPT-2's own."""
    single_digits: bool = False
    """Whether every digit is a token of its own."""
    whole_words: bool = False
    """Whether a word that is a token stays whole even if no merges lead to it."""
    adds_bos: bool = False
    """Whether a text begins with BOS if the file does not say."""
    composed: bool = False
    """Whether characters are first composed (Unicode's NFC)."""


RULES: dict[str, _Rule] = {
    "default": _Rule(),
    "gpt-2": _Rule(),
    "phi-2": _Rule(),
    "smollm": _Rule(single_digits=True),
    "llama-bpe": _Rule(_LLAMA3, whole_words=True, adds_bos=True),
    "llama3": _Rule(_LLAMA3, whole_words=True, adds_bos=True),
    "qwen2": _Rule(_QWEN2, composed=True),
}
"""`tokenizer.ggml.pre` → the rule."""


def tokenizer_from_gguf(metadata: Mapping[str, Any], where: str) -> Tokenizer | None:
    """The tokenizer in a GGUF file's metadata; None if it has none.

    Args:
        metadata: key → value, as the file has them.
        where: the file, for messages.

    Raises:
        ValueError: for a kind of tokenizer or a rule that is not supported, and for damaged lists; says how to load the
            model with another tokenizer.
    """
    kind = metadata.get("tokenizer.ggml.model", "none")
    if kind in ("none", "no_vocab"):
        return None
    spellings = _strings(metadata, "tokenizer.ggml.tokens", where)
    if len(set(spellings)) < len(spellings):
        raise ValueError(f"{where!r}: its list of tokens has the same token twice.")
    kinds = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(spellings)
    if len(kinds) != len(spellings):
        raise ValueError(f"{where!r}: it has {len(spellings):,} tokens but {len(kinds):,} kinds of tokens.")
    try:
        if kind == "gpt2":
            rule = _rule(metadata, where)
            backend, adds_bos = _byte_pairs(metadata, spellings, rule, where), rule.adds_bos
        elif kind == "llama":
            backend, adds_bos = _sentence_piece(metadata, spellings, kinds, where), True
        else:
            raise ValueError(
                f"{where!r}: its tokenizer is of the kind {kind!r}; mechscope reads gpt2 and llama. Pass "
                "tokenizer=, the folder of the original model's tokenizer."
            )
    except (KeyboardInterrupt, SystemExit, ValueError):
        raise
    except BaseException as error:  # the tokenizers library raises bare Exception, or panics
        raise ValueError(f"{where!r}: its tokenizer cannot be read: {first_line(error)}") from error
    _add_special(backend, spellings, kinds)
    special = _special_tokens(metadata, spellings, where)
    bos = special.get("bos_token")
    if metadata.get("tokenizer.ggml.add_bos_token", adds_bos) and bos is not None:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, spellings.index(bos))]
        )
    return Tokenizer(
        backend,
        bos_token=special.get("bos_token"),
        eos_token=special.get("eos_token"),
        unk_token=special.get("unk_token"),
        pad_token=special.get("pad_token"),
        name_or_path=where,
    )


def _rule(metadata: Mapping[str, Any], where: str) -> _Rule:
    name = metadata.get("tokenizer.ggml.pre", "default")
    if name not in RULES:
        raise ValueError(
            f"{where!r}: its tokenizer splits text by the rule {name!r}, which mechscope does not have (it has "
            f"{', '.join(RULES)}). Pass tokenizer=, the folder of the original model's tokenizer."
        )
    return RULES[name]


def _byte_pairs(
    metadata: Mapping[str, Any], spellings: Sequence[str], rule: _Rule, where: str
) -> tokenizers.Tokenizer:
    vocab = {spelling: index for index, spelling in enumerate(spellings)}
    lines = _strings(metadata, "tokenizer.ggml.merges", where)
    merges = [merge_in_line(line, vocab, f"{where!r}: merge {number}") for number, line in enumerate(lines)]
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=rule.whole_words))
    if rule.composed:
        backend.normalizer = normalizers.NFC()
    steps: list[Any] = []
    if rule.single_digits:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    if rule.pattern:
        steps.append(pre_tokenizers.Split(Regex(rule.pattern), behavior="isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not rule.pattern))
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)
    backend.decoder = decoders.ByteLevel()
    return backend


def _sentence_piece(
    metadata: Mapping[str, Any], spellings: Sequence[str], kinds: Sequence[int], where: str
) -> tokenizers.Tokenizer:
    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(spellings):
        raise ValueError(f"{where!r}: its tokenizer needs one score per token, and has none or too few.")
    vocab = {spelling: index for index, spelling in enumerate(spellings)}
    unknown = next(
        (spelling for spelling, kind in zip(spellings, kinds, strict=True) if kind == UNKNOWN), None
    )
    pieces = (
        (index, spelling, score)
        for index, (spelling, score, kind) in enumerate(zip(spellings, scores, kinds, strict=True))
        if kind in (NORMAL, USER_DEFINED)
    )
    merges = merges_by_score(pieces, vocab)
    backend = tokenizers.Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=BYTE in kinds)
    )
    begins_with_space = metadata.get("tokenizer.ggml.add_space_prefix", True)
    prefix = [normalizers.Prepend(SPACE)] if begins_with_space else []
    backend.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", SPACE)])
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(content=" ", left=1)] if begins_with_space else []),
        ]
    )
    return backend


def _add_special(backend: tokenizers.Tokenizer, spellings: Sequence[str], kinds: Sequence[int]) -> None:
    # In one call each: the library sorts all of them anew with every call, and Gemma has 6,000.
    special = [
        AddedToken(spelling, special=True, normalized=False)
        for spelling, kind in zip(spellings, kinds, strict=True)
        if kind in (CONTROL, UNKNOWN)
    ]
    ordinary = [
        AddedToken(spelling, special=False, normalized=False)
        for spelling, kind in zip(spellings, kinds, strict=True)
        if kind == USER_DEFINED
    ]
    backend.add_special_tokens(special)
    backend.add_tokens(ordinary)


def _special_tokens(metadata: Mapping[str, Any], spellings: Sequence[str], where: str) -> dict[str, str]:
    keys = {
        "bos_token": "bos",
        "eos_token": "eos",
        "unk_token": "unknown",
        "pad_token": "padding",
    }
    found: dict[str, str] = {}
    for role, key in keys.items():
        index = metadata.get(f"tokenizer.ggml.{key}_token_id")
        if index is None:
            continue
        if not isinstance(index, int) or not 0 <= index < len(spellings):
            raise ValueError(
                f"{where!r}: its {role} has the id {shown(index)}, but there are {len(spellings):,} tokens."
            )
        found[role] = spellings[index]
    return found


def _strings(metadata: Mapping[str, Any], key: str, where: str) -> list[str]:
    found = metadata.get(key)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"{where!r}: its tokenizer has no list {key}.")
    return found

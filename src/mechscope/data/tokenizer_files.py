"""Read a tokenizer's vocabulary and settings from a folder in any of the usual file layouts.

These are: `tokenizer.json`; `vocab.json` with `merges.txt`; GPT-2's original `encoder.json` with
`vocab.bpe`; a WordPiece `vocab.txt`; llama2.c's `tok*.bin`. The special tokens come from
`tokenizer_config.json`, `special_tokens_map.json` and the ids in `config.json`, in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from mechscope.arguments import first_line, not_of_kind, shown
from mechscope.data._merges import merge_in_line
from mechscope.data._special_tokens import SPECIAL_NAMES
from mechscope.data._tokenizer_llama2c import read_llama2c
from mechscope.reading import MAX_TEXT_BYTES, check_name, read_json_object, read_text, regular_file

T = TypeVar("T")

BYTE_PAIR_FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
GPT2_END_OF_TEXT = "<|endoftext|>"
NO_LENGTH_LIMIT = 10**9  # tokenizer_config.json writes "no limit" as a huge number


def has_tokenizer(folder: str | Path) -> bool:
    """Whether the folder contains files that `read_tokenizer` can read."""
    folder = Path(folder)
    sets = (("tokenizer.json",), ("vocab.txt",), *BYTE_PAIR_FILES)
    whole = any(all((folder / name).exists() for name in names) for names in sets)
    return whole or any(folder.glob("tok*.bin"))


def read_tokenizer(folder: str | Path) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """The vocabulary in a folder, and the settings with which `Tokenizer` wraps it.

    Raises:
        FileNotFoundError: if the folder has no tokenizer; lists the file names that were tried.
        ValueError: for a file whose content does not match its name.
    """
    folder = check_name(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {str(folder)!r} to read a tokenizer from.")
    settings = _settings(folder / "tokenizer_config.json")
    llama2c = sorted(folder.glob("tok*.bin"))
    if (folder / "tokenizer.json").exists():
        backend = _read(folder / "tokenizer.json", _backend_from_file)
    elif pair := next((p for p in BYTE_PAIR_FILES if all((folder / name).exists() for name in p)), None):
        backend = _byte_pair(folder / pair[0], folder / pair[1], settings)
    elif (folder / "vocab.txt").exists():
        backend = _word_piece(folder / "vocab.txt", settings)
    elif llama2c:
        return read_llama2c(llama2c[0])
    else:
        hint = (
            " Its tokenizer.model is SentencePiece's own format: convert it to tokenizer.json."
            if (folder / "tokenizer.model").is_file()
            else ""
        )
        raise FileNotFoundError(
            f"{str(folder)!r} contains no tokenizer: looked for tokenizer.json, vocab.json with merges.txt, "
            f"encoder.json with vocab.bpe, vocab.txt and tok*.bin.{hint}"
        )
    special = _special_tokens(folder, settings, backend)
    byte_pair_bos = settings.get("add_bos_token") and not (folder / "tokenizer.json").exists()
    if byte_pair_bos and "bos_token" in special:
        _prepend(backend, special["bos_token"])
    limit = settings.get("model_max_length")
    return backend, {
        **special,
        "padding_side": settings.get("padding_side", "right"),
        "model_max_length": None if limit is None or limit >= NO_LENGTH_LIMIT else int(limit),
        "drops_space_after_bos": settings.get("drops_space_after_bos", False),
        "name_or_path": str(folder),
    }


def _merges(path: Path, ids: Mapping[str, int]) -> list[tuple[str, str]]:
    """The merges in order of priority."""
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line or line.startswith("#version"):
            continue
        pairs.append(merge_in_line(line, ids, f"{str(path)!r}: line {number}"))
    return pairs


_SETTINGS: dict[str, Any] = {
    "add_bos_token": bool, "add_prefix_space": bool, "do_lower_case": bool, "strip_accents": bool,
    "tokenize_chinese_chars": bool, "drops_space_after_bos": bool, "padding_side": str,
}  # fmt: skip
"""The settings read from tokenizer_config.json, besides the special tokens and the maximum length."""


def _settings(path: Path) -> dict[str, Any]:
    """Read a tokenizer_config.json and check the types of its settings; null counts as absent."""
    found = {name: value for name, value in _json_if_there(path).items() if value is not None}
    for name, kind in _SETTINGS.items():
        if name in found and (words := not_of_kind(found[name], kind)) is not None:
            raise ValueError(f"{str(path)!r}: {name} must be {words}, not {shown(found[name])}.")
    limit = found.get("model_max_length", 1)
    if not_of_kind(limit, float) is not None or limit < 1:
        raise ValueError(
            f"{str(path)!r}: model_max_length must be a number of at least 1, not {shown(limit)}."
        )
    _check_special(path, found)
    side = found.get("padding_side", "right")
    if side not in ("left", "right"):
        raise ValueError(f"{str(path)!r}: padding_side must be 'left' or 'right', not {side!r}.")
    return found


def _byte_pair(vocab: Path, merges: Path, settings: dict[str, Any]) -> tokenizers.Tokenizer:
    ids = read_json_object(vocab)
    if wrong := [
        token for token, index in ids.items() if not_of_kind(index, int) is not None or not 0 <= index < 2**31
    ]:
        raise ValueError(
            f"{str(vocab)!r} must give {shown(wrong[0])} a whole number as its id, not {shown(ids[wrong[0]])}."
        )
    pairs = _merges(merges, ids)
    backend = tokenizers.Tokenizer(_read(vocab, lambda _: models.BPE(vocab=ids, merges=pairs)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=settings.get("add_prefix_space", False))
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    added = _json_if_there(vocab.parent / "added_tokens.json")
    if wrong := [token for token, index in added.items() if not_of_kind(index, int) is not None]:
        raise ValueError(
            f"{str(vocab.parent / 'added_tokens.json')!r} must give {wrong[0]!r} a whole number as its id, not "
            f"{shown(added[wrong[0]])}."
        )
    for token, index in sorted(added.items(), key=lambda item: item[1]):
        backend.add_tokens([token])  # pyright: ignore[reportUnknownMemberType]
        if backend.token_to_id(token) != index:
            raise ValueError(
                f"{str(vocab.parent / 'added_tokens.json')!r} gives {token!r} the id {index}, but the next free one is "
                f"{backend.token_to_id(token)}: an entry is missing."
            )
    return backend


def _word_piece(vocab: Path, settings: dict[str, Any]) -> tokenizers.Tokenizer:
    usual = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names = {name: _spelling(settings.get(name)) or spelling for name, spelling in usual.items()}

    def read(path: Path) -> models.WordPiece:
        unknown = names["unk_token"]
        return models.WordPiece.from_file(str(path), unk_token=unknown)  # pyright: ignore[reportUnknownMemberType]

    def with_id(name: str) -> tuple[str, int]:
        index = backend.token_to_id(names[name])
        if index is None:
            raise ValueError(f"{str(vocab)!r} has no {names[name]!r}, which a BERT tokenizer needs.")
        return names[name], index

    backend = tokenizers.Tokenizer(_read(vocab, read))
    with_id("unk_token")
    backend.normalizer = normalizers.BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.BertProcessing(with_id("sep_token"), with_id("cls_token"))
    return backend


def _prepend(backend: tokenizers.Tokenizer, bos: str) -> None:
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, backend.token_to_id(bos))]
    )


def _special_tokens(folder: Path, settings: dict[str, Any], backend: tokenizers.Tokenizer) -> dict[str, str]:
    """Role → spelling, for the roles that some file defines."""
    found: dict[str, str] = {}
    mapped = _json_if_there(folder / "special_tokens_map.json")
    _check_special(folder / "special_tokens_map.json", mapped)
    for described in (settings, mapped):
        for name in SPECIAL_NAMES:
            token = _spelling(described.get(name))
            # A token outside the vocabulary would get an id past the end of the model's embedding.
            if token is not None and backend.token_to_id(token) is not None:
                found.setdefault(name, token)
    ids = _json_if_there(folder / "config.json")
    for name in ("bos_token", "eos_token", "pad_token"):
        index: Any = ids.get(f"{name}_id")
        if not_of_kind(index, int | list[int] | None) is not None:
            where = str(folder / "config.json")
            raise ValueError(
                f"{where!r}: {name}_id must be a whole number or a list of them, not {shown(index)}."
            )
        if isinstance(index, list):  # several end tokens: use the first
            index = next(iter(cast("list[Any]", index)), None)
        token = backend.id_to_token(index) if isinstance(index, int) and 0 <= index < 2**32 else None
        if token is not None:
            found.setdefault(name, token)
    for name, spelling in (("unk_token", "[UNK]"), ("cls_token", "[CLS]"), ("sep_token", "[SEP]"),
                           ("pad_token", "[PAD]"), ("mask_token", "[MASK]")):  # fmt: skip
        if isinstance(backend.model, models.WordPiece) and backend.token_to_id(spelling) is not None:
            found.setdefault(name, spelling)
    if "eos_token" not in found and backend.token_to_id(GPT2_END_OF_TEXT) is not None:
        found["eos_token"] = GPT2_END_OF_TEXT
    return found


def _check_special(path: Path, described: Mapping[str, Any]) -> None:
    """Raise ValueError unless a special token is a string, an object with one, null or false."""
    for name in SPECIAL_NAMES:
        found = described.get(name)
        if found is not None and found is not False and _spelling(found) is None:
            raise ValueError(f"{str(path)!r}: {name} must be a token's spelling, not {shown(found)}.")


def _spelling(described: Any) -> str | None:
    token: Any = (
        cast("dict[str, Any]", described).get("content") if isinstance(described, dict) else described
    )
    return token if isinstance(token, str) else None


def _json_if_there(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.exists() else {}


def _backend_from_file(path: Path) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(path))


def _read(path: Path, read: Callable[[Path], T]) -> T:
    regular_file(path, at_most=MAX_TEXT_BYTES)
    try:
        return read(path)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the tokenizers library raises bare Exception, or panics
        raise ValueError(f"{str(path)!r} cannot be read as {path.name}: {first_line(error)}") from error

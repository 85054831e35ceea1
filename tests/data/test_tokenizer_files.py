"""Real vocabularies: GPT-2's as OpenAI published it, and llama2.c's 512 tokens."""

from __future__ import annotations

import json
import os
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechscope.data._tokenizer_llama2c import read_llama2c
from mechscope.data.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("MECHSCOPE_DATA")
    if not folder:
        pytest.skip("MECHSCOPE_DATA is not set: this test reads real data from that folder")
    return Path(folder)


@pytest.fixture(scope="module")
def gpt2(data: Path) -> Tokenizer:
    return Tokenizer.from_folder(data / "gpt2_tokenizer")


@pytest.fixture(scope="module")
def llama2c(data: Path) -> Tokenizer:
    return Tokenizer.from_folder(data / "stories260k")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello world", [15496, 995]),
        (" Mary", [5335]),
        ("", []),
        ("<|endoftext|>", [50256]),
        ("Hello<|endoftext|>world", [15496, 50256, 6894]),
        ("\n\n", [628]),
        ("日本", [33768, 98, 17312, 105]),
    ],
)
def test_gpt2_splits_as_openai_does(gpt2: Tokenizer, text: str, ids: list[int]):
    assert gpt2.encode(text) == ids
    assert gpt2.decode(ids) == text


def test_gpt2_special_tokens(gpt2: Tokenizer):
    assert len(gpt2) == gpt2.vocab_size == 50257
    assert gpt2.bos_token_id == gpt2.eos_token_id == gpt2.pad_token_id == 50256
    assert not gpt2.prepends_bos
    assert gpt2.convert_ids_to_tokens([5335, 262]) == ["ĠMary", "Ġthe"]
    assert gpt2.token_texts([5335, 262]) == [" Mary", " the"]


def test_gpt2_splits_the_names_of_the_ioi_task_into_single_tokens(gpt2: Tokenizer, data: Path):
    reference = json.loads((data / "ioi" / "ioi_reference.json").read_text())
    names = next(
        value for key, value in reference.items() if "name" in key.lower() and isinstance(value, list)
    )
    assert len(names) == 99
    assert {len(gpt2.encode(f" {name}")) for name in names} == {1}


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_gpt2_round_trip(gpt2: Tokenizer, text: str):
    assert gpt2.decode(gpt2.encode(text)) == text


def test_llama2c_special_tokens(llama2c: Tokenizer):
    assert len(llama2c) == 512
    assert (llama2c.bos_token_id, llama2c.eos_token_id, llama2c.unk_token_id) == (1, 2, 0)
    assert llama2c.prepends_bos
    assert llama2c.encode("") == [1]


def test_llama2c_drops_the_space_it_added_and_no_other(llama2c: Tokenizer):
    ids = llama2c.encode("Once upon a time")
    assert ids == [1, 403, 407, 261, 378]
    assert llama2c.decode(ids) == "<s>Once upon a time"
    assert llama2c.decode(ids, skip_special_tokens=True) == "Once upon a time"
    assert llama2c.decode(ids[2:]) == " upon a time"  # a slice keeps its space
    assert llama2c.token_texts(ids) == ["<s>", " Once", " upon", " a", " time"]
    twice = llama2c.decode([*ids, *ids], skip_special_tokens=True)
    assert twice == "Once upon a timeOnce upon a time"


def reference_ids(pieces: list[tuple[str, float]], text: str) -> list[int]:
    """llama2.c's own procedure: characters, then the best-scored adjacent pair until none is left."""
    known = {piece: i for i, (piece, _) in enumerate(pieces)}
    ids = [] if not text else [known[" "]]
    for character in text:
        ids += [known[character]] if character in known else [byte + 3 for byte in character.encode()]
    while True:
        joined = [known.get(pieces[a][0] + pieces[b][0]) for a, b in pairwise(ids)]
        best = max(
            (at for at, token in enumerate(joined) if token is not None),
            key=lambda at: pieces[joined[at]][1],  # type: ignore[index]
            default=None,
        )
        if best is None:
            return ids
        ids[best : best + 2] = [joined[best]]  # type: ignore[list-item]


@pytest.fixture(scope="module")
def pieces(data: Path) -> list[tuple[str, float]]:
    content = (data / "stories260k" / "tok512.bin").read_bytes()
    found, position = [], 4
    while position < len(content):
        score, length = struct.unpack_from("<fi", content, position)
        found.append((content[position + 8 : position + 8 + length].decode(), score))
        position += 8 + length
    return found


def test_llama2c_splits_stories_as_llama2c_does(
    llama2c: Tokenizer, pieces: list[tuple[str, float]], data: Path
):
    stories = json.loads((data / "text" / "tinystories" / "tinystories_1000.json").read_text())[:8]
    for story in stories:
        ids = llama2c.encode(story)
        assert ids[1:] == reference_ids(pieces, story)
        assert llama2c.decode(ids, skip_special_tokens=True) == story


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.sampled_from(" \n\tabcdehinortuvwyAOT.,'\"“é日"), max_size=40))
def test_llama2c_splits_anything_as_llama2c_does(
    llama2c: Tokenizer, pieces: list[tuple[str, float]], text: str
):
    ids = llama2c.encode(text)
    assert ids == [1, *reference_ids(pieces, text)]
    assert llama2c.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize(
    ("cut", "said"), [(-3, "declares"), (2000, "ends in the middle|declares|more than 259")]
)
def test_llama2c_vocabulary_cut_short(data: Path, tmp_path: Path, cut: int, said: str):
    path = tmp_path / "tok512.bin"
    path.write_bytes((data / "stories260k" / "tok512.bin").read_bytes()[:cut])
    with pytest.raises(ValueError, match=said):
        read_llama2c(path)
    with pytest.raises(ValueError, match=r"tok512\.bin"):
        Tokenizer.from_folder(tmp_path)

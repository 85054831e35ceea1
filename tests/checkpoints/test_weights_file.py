"""Files of weights: whole, in shards, cut short, of another kind; every problem told at once."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mechscope.checkpoints import weights_file
from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.save import save_model
from mechscope.checkpoints.weights_file import DictSource, open_weights, read_pickle
from tests.checkpoints.tiny_models import CONTEXT, reference_logits, relative_error, token_ids
from tests.model.tiny import tiny_model

Tiny = Callable[[str], tuple[Any, Path]]


@pytest.fixture
def gpt2(tiny: Tiny, tmp_path: Path) -> tuple[Any, Path]:
    """transformers' GPT-2 and a folder of it that a test may spoil."""
    theirs, folder = tiny("gpt2")
    return theirs, Path(shutil.copytree(folder, tmp_path / "gpt2"))


def assert_same_model(theirs: Any, folder: Path) -> None:
    tokens = token_ids(1, CONTEXT)
    ours = load_model(folder, process=False)
    assert relative_error(ours(tokens), reference_logits(theirs, tokens)) < 1e-5


def test_pytorch_model_bin(gpt2: tuple[Any, Path]):
    theirs, folder = gpt2
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert_same_model(theirs, folder)


def test_old_pickle_layout(gpt2: tuple[Any, Path]):
    """Before torch 1.6 a file was not a zip archive, and cannot be mapped into memory."""
    theirs, folder = gpt2
    state = load_file(folder / "model.safetensors")
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    (folder / "model.safetensors").unlink()
    assert_same_model(theirs, folder)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards(gpt2: tuple[Any, Path], kind: str):
    theirs, folder = gpt2
    split_in_two(folder, kind)
    assert_same_model(theirs, folder)


def split_in_two(folder: Path, kind: str) -> list[Path]:
    """Replace a model's one file by two shards and their index."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(state)
    stem = "model" if kind == "safetensors" else "pytorch_model"
    weight_map, shards = {}, []
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        shard = folder / f"{stem}-0000{number}-of-00002.{kind}"
        tensors = {name: state[name] for name in part}
        if kind == "safetensors":
            save_file(tensors, shard)
        else:
            torch.save(tensors, shard)
        weight_map |= dict.fromkeys(part, shard.name)
        shards.append(shard)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / f"{stem}.{kind}.index.json").write_text(json.dumps(index))
    return shards


def test_a_missing_shard_is_named(gpt2: tuple[Any, Path]):
    _, folder = gpt2
    shard = split_in_two(folder, "safetensors")[1]
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=shard.name):
        load_model(folder)


def test_an_index_that_promises_more_than_the_shards_hold(gpt2: tuple[Any, Path]):
    _, folder = gpt2
    split_in_two(folder, "safetensors")
    index = folder / "model.safetensors.index.json"
    described = json.loads(index.read_text())
    described["weight_map"]["h.9.ln_1.weight"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(described))
    with pytest.raises(ValueError, match=r"h\.9\.ln_1\.weight"):
        load_model(folder)


def test_prefix_masks_and_tied_head_of_published_files(gpt2: tuple[Any, Path]):
    """The published GPT-2 has no prefix, and carries the causal masks."""
    theirs, folder = gpt2
    state = load_file(folder / "model.safetensors")
    plain = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
    for layer in range(3):
        plain[f"h.{layer}.attn.bias"] = torch.ones(1, 1, CONTEXT, CONTEXT).tril()
        plain[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    plain["lm_head.weight"] = plain["wte.weight"].clone()
    save_file(plain, folder / "model.safetensors")
    assert_same_model(theirs, folder)


@pytest.mark.parametrize("kept", [0, 5, 100, 0.5, -1])
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_file_cut_short(gpt2: tuple[Any, Path], kept: float, kind: str):
    _, folder = gpt2
    path = folder / "model.safetensors"
    if kind == "bin":
        torch.save(load_file(path), folder / "pytorch_model.bin")
        path.unlink()
        path = folder / "pytorch_model.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=path.name):
        load_model(folder)


def test_a_header_that_announces_more_than_there_is(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes((2**40).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        open_weights(path)


def test_a_pickle_that_runs_code_is_not_loaded(tmp_path: Path):
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "was-run",))

    path = tmp_path / "weights.pt"
    path.write_bytes(pickle.dumps({"w": Harmful()}))
    with pytest.raises(ValueError, match="never run"):
        read_pickle(path)
    torch.save({"w": Harmful()}, path)
    with pytest.raises(ValueError, match="never run"):
        read_pickle(path)
    assert not (tmp_path / "was-run").exists()


def test_state_dicts_inside_a_checkpoint(tmp_path: Path):
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": {"w": torch.ones(2)}}, path)
    assert read_pickle(path).keys() == {"w"}
    torch.save({"w": torch.ones(2), "epoch": 3}, path)
    with pytest.raises(ValueError, match="epoch"):
        read_pickle(path)
    torch.save([torch.ones(2)], path)
    with pytest.raises(ValueError, match="list"):
        read_pickle(path)


def test_every_wrong_tensor_is_listed_at_once(gpt2: tuple[Any, Path]):
    _, folder = gpt2
    state = load_file(folder / "model.safetensors")
    del state["transformer.h.1.attn.c_proj.bias"]
    del state["transformer.wpe.weight"]
    state["transformer.h.2.surprise"] = torch.ones(3)
    state["transformer.h.0.mlp.c_fc.weight"] = torch.ones(21, 7)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match="2 missing") as caught:
        load_model(folder)
    message = str(caught.value)
    for part in (
        "h.1.attn.c_proj.bias",
        "wpe.weight",
        "1 unexpected: transformer.h.2.surprise",
        "transformer.h.0.mlp.c_fc.weight [21, 7] instead of [21, 84]",
    ):
        assert part in message


def test_one_tensor_under_two_names(gpt2: tuple[Any, Path]):
    _, folder = gpt2
    state = load_file(folder / "model.safetensors")
    state["wte.weight"] = state["transformer.wte.weight"] + 1
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match="which are the same tensor"):
        load_model(folder)


def test_copies_are_made_once_and_keep_their_layout():
    fused = torch.arange(6.0).view(2, 3).T
    source = DictSource({"w": fused}, "memory", copy=True)
    first, second = source.get("w"), source.get("w")
    assert first.data_ptr() == second.data_ptr() != fused.data_ptr()
    assert first.stride() == fused.stride()


def test_a_folder_without_weights_says_what_it_found(gpt2: tuple[Any, Path]):
    _, folder = gpt2
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"found .*config\.json"):
        load_model(folder)


def test_a_config_that_is_not_json(gpt2: tuple[Any, Path]):
    _, folder = gpt2
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        load_model(folder)


def repacked(path: Path, change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """A zip file packed again, its checksums right."""
    with zipfile.ZipFile(path) as archive:
        content = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, change(name, data))
    return path


@pytest.fixture
def two_tensors(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file whose tensors share nothing, and one of them a part of a larger storage."""
    draw = torch.Generator().manual_seed(0)
    tensors = {"a": torch.randn(30, 4, generator=draw), "b": torch.randn(9, generator=draw)}
    tensors["part"] = torch.randn(8, 8, generator=draw)[2:5, ::2]
    torch.save(tensors, tmp_path / "w.pt")
    return tmp_path / "w.pt", tensors


def assert_equal_tensors(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_compressed_file_has_the_same_numbers(two_tensors: tuple[Path, dict[str, torch.Tensor]]) -> None:
    """torch would map the compressed bytes as if they were numbers."""
    path, tensors = two_tensors
    assert_equal_tensors(read_pickle(path), tensors)
    assert_equal_tensors(read_pickle(repacked(path, lambda _, data: data, zipfile.ZIP_DEFLATED)), tensors)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("change", [lambda data: data[:-4], lambda data: data[:8], lambda data: b""])
def test_an_entry_cut_short(
    two_tensors: tuple[Path, dict[str, torch.Tensor]], method: int, change: Callable[[bytes], bytes]
) -> None:
    """torch would read on into what lies behind it."""
    path, _ = two_tensors
    repacked(path, lambda name, data: change(data) if name.endswith("data/0") else data, method)
    with pytest.raises(ValueError, match=r"w\.pt"):
        read_pickle(path)


def test_every_changed_bit_of_a_number_is_noticed(two_tensors: tuple[Path, dict[str, torch.Tensor]]) -> None:
    path, tensors = two_tensors
    whole = path.read_bytes()
    begin = whole.index(tensors["a"].numpy().tobytes())
    for place in (0, 17, 30 * 4 * 4 - 1):
        path.write_bytes(
            whole[: begin + place] + bytes([whole[begin + place] ^ 1]) + whole[begin + place + 1 :]
        )
        with pytest.raises(ValueError, match="checksum"):
            read_pickle(path)


def test_a_small_file_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mechscope.reading.MAX_UNPACKED_BYTES", 2**20)
    path = tmp_path / "w.pt"
    torch.save({"w": torch.zeros(1)}, path)
    repacked(path, lambda name, data: bytes(2**21) if name.endswith("data/0") else data, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"w\.pt.*would unpack"):
        read_pickle(path)
    torch.save({"w": torch.zeros(1).expand(2**40)}, path)  # one number, repeated
    with pytest.raises(ValueError, match=r"w\.pt.*would unpack"):
        read_pickle(path)
    torch.save({"w": torch.zeros(3).expand(5, 3)}, path)
    assert read_pickle(path)["w"].shape == (5, 3)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize(
    "outside", ["../outside.{}", "/outside.{}", "..", "sub/model.{}", "..\\outside.{}", "a\0b", ""]
)
def test_an_index_names_nothing_outside_its_folder(gpt2: tuple[Any, Path], kind: str, outside: str) -> None:
    _, folder = gpt2
    shard = split_in_two(folder, kind)[1]
    shard.rename(folder.parent / f"outside.{kind}")
    index = next(folder.glob("*.index.json"))
    described = json.loads(index.read_text())
    names = described["weight_map"]
    described["weight_map"] = {
        name: outside.format(kind) if file == shard.name else file for name, file in names.items()
    }
    index.write_text(json.dumps(described))
    with pytest.raises(ValueError, match="weight files must be next to their index"):
        load_model(folder)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_tensor_in_two_shards(gpt2: tuple[Any, Path], kind: str) -> None:
    _, folder = gpt2
    first, second = split_in_two(folder, kind)
    read, write = (load_file, save_file) if kind == "safetensors" else (torch.load, torch.save)
    both = read(second)
    name, tensor = next(iter(read(first).items()))
    write({**both, name: tensor + 1}, second)
    with pytest.raises(ValueError, match=rf"{name}.* in both {first.name} and {second.name}"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.index_fill(0, torch.tensor([1]), torch.nan), "has 21 of 441 values that are not finite"),
        (lambda t: t * torch.inf, "not finite"),
        (lambda t: t.to(torch.int32), "is int32, but weights must be floating point"),
        (lambda t: t > 0, "is bool, but weights must be floating point"),
    ],
)
@pytest.mark.parametrize("kind", ["safetensors", "bin", "classic", "memory"])
def test_what_is_no_weight_is_refused(
    gpt2: tuple[Any, Path], kind: str, change: Callable[[torch.Tensor], torch.Tensor], said: str
) -> None:
    _, folder = gpt2
    path, name = folder / "model.safetensors", "transformer.h.1.attn.c_proj.weight"
    state = load_file(path)
    state[name] = change(state[name])
    source: Any = folder
    options: dict[str, Any] = {}
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "bin":
        path.unlink()
        torch.save(state, folder / "pytorch_model.bin")
    elif kind == "memory":
        source, options = state, {"cfg": json.loads((folder / "config.json").read_text())}
    else:
        model = load_model(folder, process=False)
        classic = model.state_dict()
        name = "blocks.1.attn.W_O"
        classic[name] = change(classic[name].reshape(21, 21)).reshape(classic[name].shape)
        source = folder / "classic.pt"
        torch.save(classic, source)
        options = {"cfg": model.cfg}
    for process in (True, False):
        with pytest.raises(ValueError) as caught:
            load_model(source, process=process, **options)
        assert name in str(caught.value) and said in str(caught.value)
    if kind != "memory":
        assert folder.name in str(caught.value)


def test_layers_that_are_not_kept_are_not_read(gpt2: tuple[Any, Path]) -> None:
    """A damaged third layer does not matter to the first."""
    _, folder = gpt2
    state = load_file(folder / "model.safetensors")
    state["transformer.h.2.ln_1.bias"] *= torch.nan
    save_file(state, folder / "model.safetensors")
    assert load_model(folder, first_n_layers=1).cfg.n_layers == 1


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.safetensors", "model"])
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="named pipe"):
        load_model(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="is a device"):
        load_model(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.to_sparse(), "sparse or quantized"),
        (lambda t: t.to("meta"), "have no numbers"),
    ],
)
def test_tensors_in_memory_that_are_not_ordinary(
    change: Callable[[torch.Tensor], torch.Tensor], said: str
) -> None:
    model = tiny_model("plain")
    state = dict(model.state_dict())
    state["blocks.0.attn.b_O"] = change(state["blocks.0.attn.b_O"])
    with pytest.raises(ValueError, match=rf"blocks.0.attn.b_O.*({said})"):
        load_model(state, cfg=model.cfg, process=False)


# Reading once --------------------------------------------------------------------------------------


def mappings_of(path: Path) -> int:
    """How many mappings of a file this process has."""
    return Path("/proc/self/maps").read_text().count(str(path))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads Linux's list of mapped files")
def test_what_is_read_once_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "model.safetensors"
    stored = {f"w{number}": torch.randn(50, 50) for number in range(20)}
    save_file(stored, path)
    source = open_weights(path)
    opened = mappings_of(path)
    monkeypatch.setattr(weights_file, "PEEKED_AT_ONCE", 25_000)
    most = 0
    for name in source.names():
        assert torch.equal(source.peek(name), stored[name])
        most = max(most, mappings_of(path) - opened)
    kept = source.peek("w0")  # a tensor that somebody keeps stays readable
    for name in source.names():
        source.peek(name)
    assert torch.equal(kept, stored["w0"])
    assert 1 <= most <= 2  # the library's own and torch's
    del source, kept
    assert mappings_of(path) == 0


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(3), "b": torch.zeros(3)}, path)
    source = open_weights(path)
    monkeypatch.setattr(weights_file, "PEEKED_AT_ONCE", 0)
    source.peek("a")
    save_file({"a": torch.ones(3), "b": torch.ones(3)}, tmp_path / "new")
    (tmp_path / "new").replace(path)
    with pytest.raises(ValueError, match="changed while it was being read. Load it again"):
        source.peek("b")


@pytest.mark.parametrize("process", [False, True])
@pytest.mark.parametrize("form", ["classic", "gpt2"])
def test_a_processed_model_keeps_no_file_open(tiny: Tiny, tmp_path: Path, process: bool, form: str):
    if form == "gpt2":
        folder = tiny("gpt2")[1]
    else:
        folder = tmp_path / "own"
        save_model(tiny_model("plain"), folder)
    model = load_model(folder, process=process)
    if Path("/proc/self/maps").exists():
        assert (mappings_of(folder / "model.safetensors") == 0) is process
    # And what is edited in memory stays there.
    with torch.no_grad():
        model.embed.W_E.zero_()
    assert load_model(folder, process=process).embed.W_E.any()

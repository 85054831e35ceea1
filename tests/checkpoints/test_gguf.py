"""Models in GGUF files equal the models that they were made from; every damaged file is one clear error."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import mechscope as ms
from mechscope.checkpoints.gguf_file import GgufFile

gguf = pytest.importorskip("gguf", reason="needs the gguf package: pip install 'mechscope[gguf]'")

from tests.checkpoints import gguf_files  # noqa: E402
from tests.checkpoints.gguf_files import ARCHITECTURES, tiny, write  # noqa: E402
from tests.checkpoints.tiny_models import reference_logits, relative_error, token_ids  # noqa: E402


def agree(path: Path, model: Any) -> None:
    """Every weight, every setting, and what is computed."""
    ours, from_memory = ms.load_model(path, process=False), ms.load_model(model, process=False)
    theirs = from_memory.state_dict()
    assert {*ours.state_dict()} == {*theirs}
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    same = {"model_name": "", "eps": 0.0, "original_architecture": ""}
    assert dataclasses.replace(ours.cfg, **same) == dataclasses.replace(from_memory.cfg, **same)
    assert ours.cfg.eps == pytest.approx(from_memory.cfg.eps, rel=1e-6)  # the file has it in float32
    tokens = token_ids(2, 13)
    with torch.no_grad():
        assert relative_error(ours(tokens), reference_logits(model, tokens)) < 2e-5


@pytest.mark.parametrize("kind", ["F32", "F16"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_equals_the_model_that_was_written(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    agree(path, write(tiny(name).build(seed=3), name, path, kind))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K"])
@pytest.mark.parametrize("name", ["llama", "qwen2.5-tied", "gemma-2", "phi-3", "gpt2"])
def test_quantised_models_equal_their_unpacked_weights(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    agree(path, write(tiny(name, blocked=True).build(seed=4), name, path, kind))


@pytest.mark.parametrize("name", ["llama", "qwen2.5-tied", "phi-3", "gpt2"])
def test_transformers_reads_the_same_from_the_same_file(name: str, tmp_path: Path) -> None:
    """Gemma is left out: transformers reads neither its soft caps nor the scale of its scores from a GGUF file."""
    path = tmp_path / "model.gguf"
    written = write(tiny(name, blocked=True).build(seed=5), name, path, "Q8_0")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        # Its own reading of the settings leaves some out (the number of GPT-2's positions).
        tmp_path, gguf_file=path.name, dtype=torch.float32, config=written.config
    )  # fmt: skip
    tokens = token_ids(2, 13)
    with torch.no_grad():
        ours = ms.load_model(path, process=False)(tokens)
    assert relative_error(ours, reference_logits(theirs, tokens)) < 2e-5


def test_a_processed_model_and_a_narrow_type_predict_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write(tiny("llama", blocked=True).build(seed=6), "llama", path, "Q8_0")
    plain = ms.load_model(path, process=False)
    tokens = token_ids(2, 13)
    with torch.no_grad():
        expected = plain(tokens).log_softmax(-1)
        assert relative_error(ms.load_model(path)(tokens).log_softmax(-1), expected) < 2e-5
        narrow = ms.load_model(path, process=False, dtype="bfloat16")
        assert narrow.W_E.dtype == torch.bfloat16
        assert relative_error(narrow(tokens).float().log_softmax(-1), expected) < 0.05


@pytest.mark.parametrize("says", [True, False, None])
def test_whether_texts_begin_with_bos_is_the_files_to_say(says: bool | None, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    extra = {} if says is None else {"tokenizer.ggml.add_bos_token": says}
    write(tiny("llama").build(), "llama", path, **extra)
    expected = True if says is None else says  # Llama's default is True
    assert ms.load_model(path, process=False).cfg.default_prepend_bos == expected
    assert (
        ms.load_model(path, process=False, default_prepend_bos=not expected).cfg.default_prepend_bos
        != expected
    )


def test_a_folder_with_one_file_is_loaded_and_with_two_is_an_error(tmp_path: Path) -> None:
    write(tiny("gpt2").build(seed=7), "gpt2", tmp_path / "a.gguf")
    (tmp_path / "README.md").write_text("A model.")
    assert ms.load_model(tmp_path, process=False).cfg.n_layers == 3
    # As in repositories that keep the config of the original.
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert ms.load_model(tmp_path, process=False).cfg.n_layers == 3
    with pytest.raises(ValueError, match="contains its own config"):
        ms.load_model(tmp_path, cfg={"n_layers": 1})
    write(tiny("gpt2").build(seed=8), "gpt2", tmp_path / "b.GGUF")
    with pytest.raises(FileNotFoundError, match=r"contains 2 models, a\.gguf, b\.GGUF: give the path of one"):
        ms.load_model(tmp_path)


def test_a_folder_without_a_model_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "model.gguf.part").write_bytes(b"GGUF")
    with pytest.raises(
        FileNotFoundError, match=r"neither a config\.json nor a \.gguf .*found model\.gguf\.part"
    ):
        ms.load_model(tmp_path)


def test_a_folder_of_the_data_folder_may_hold_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    write(tiny("llama").build(seed=7), "llama", tmp_path / "models" / "mine" / "model.gguf")
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    assert ms.load_model("mine", process=False).cfg.model_name == "mine"


def test_editing_a_loaded_weight_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write(tiny("llama").build(seed=9), "llama", path)
    before = path.read_bytes()
    model = ms.load_model(path, process=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert path.read_bytes() == before


# Bad input ------------------------------------------------------------------------------------------


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.gguf"
    write(tiny("llama").build(seed=1), "llama", path)
    return path


def test_every_truncation_is_one_clear_error(good: Path, tmp_path: Path) -> None:
    content = good.read_bytes()
    for size in (0, 3, 20, 60, 400, len(content) // 2, len(content) - 64):
        short = tmp_path / "short.gguf"
        short.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"short\.gguf' (is too short|is damaged or truncated)"):
            ms.load_model(short)


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_header_never_ends_in_a_raw_error(good: Path, tmp_path: Path, seed: int) -> None:
    content = bytearray(good.read_bytes())
    generator = np.random.default_rng(seed)
    for place in generator.integers(4, 500, 6):
        content[place] = generator.integers(0, 256)
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(content)
    try:
        ms.load_model(damaged)
    except ValueError as error:
        assert "damaged.gguf" in str(error) or "config.json" in str(error)


def test_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("a text that is long enough to be looked into")
    with pytest.raises(ValueError, match="does not begin with “GGUF”"):
        ms.load_model(path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        GgufFile(tmp_path / "missing.gguf")


def test_an_unknown_architecture_lists_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "mamba")
    writer.add_tensor("token_embd.weight", np.zeros((3, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match="architecture 'mamba'; mechscope reads llama, qwen2"):
        ms.load_model(path)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"split.count": 3}, "one of 3 parts of a model: merge them"),
        (
            {"llama.rope.scaling.type": "longrope", "llama.rope.scaling.factor": 2.0},
            "'longrope', which mechscope does not",
        ),
        ({"llama.expert_count": 8}, "mixture of experts"),
    ],
)
def test_what_is_not_supported_is_said(extra: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write(tiny("llama").build(), "llama", path, **extra)
    with pytest.raises(ValueError, match=message):
        ms.load_model(path)


def test_keys_and_values_of_different_widths_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.gguf"
    monkeypatch.setattr(
        gguf.GGUFWriter,
        "add_value_length",
        lambda self, n: self.add_uint32("llama.attention.value_length", 12),
    )
    write(tiny("llama").build(), "llama", path)
    with pytest.raises(ValueError, match="different widths"):
        ms.load_model(path)


def test_factors_of_another_rotary_scaling_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.gguf"
    monkeypatch.setattr(gguf_files, "_llama3_factors", lambda config: np.linspace(1, 8, 16, dtype=np.float32))
    write(tiny("llama-3").build(), "llama-3", path)
    with pytest.raises(ValueError, match="factors that are not those of Llama 3"):
        ms.load_model(path)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_without_the_package_the_error_says_how_to_get_it(
    what: str, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ImportError, match=r"pip install 'mechscope\[gguf\]'"):
        ms.load_model(good if what == "file" else good.parent)


def test_a_config_given_beside_the_file_is_refused(good: Path) -> None:
    with pytest.raises(ValueError, match="contains its own config"):
        ms.load_model(good, cfg={"n_layers": 1})


def test_a_tensor_too_many_or_too_few_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.gguf"
    monkeypatch.setitem(gguf_files.LLAMA, r"model\.layers\.(\d+)\.self_attn\.o_proj", r"blk.\1.attn_out")
    write(tiny("llama").build(), "llama", path)
    with pytest.raises(ValueError, match=r"does not have: blk\.0\.attn_out\.weight"):
        ms.load_model(path)

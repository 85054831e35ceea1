"""Where activations come from: text that is held out, rows of tokens, known features."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.save import save_model
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.dictionaries import TopKConfig, build, transcoder
from mechscope.dictionaries.sources import models
from mechscope.dictionaries.sources.config import SourceConfig, source_from_dict
from mechscope.dictionaries.sources.models import MINILM, open_model, token_rows
from mechscope.dictionaries.sources.opening import ModelSource, open_source, with_seed
from mechscope.dictionaries.sources.texts import docstrings, read_texts
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.encoder import HookedEncoder

HOOK = "blocks.0.mlp.hook_post"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(40):
        (tmp_path / f"{number:02d}.txt").write_text(f"document {number} begins here. " * 40)
    return tmp_path


@pytest.mark.parametrize("seed", [0, 3])
def test_what_is_held_out_is_not_learnt_from(folder: Path, seed: int) -> None:
    texts = read_texts(str(folder), seed)
    assert len(texts.held_out) == 4
    assert not set(texts.held_out) & set(texts.train)
    assert len(texts.train) == 36
    assert read_texts(str(folder), seed) == texts
    assert read_texts(str(folder), seed + 1).held_out != texts.held_out


def test_one_file_is_cut_into_pieces(tmp_path: Path) -> None:
    file = tmp_path / "all.txt"
    whole = "".join(chr(97 + index % 26) for index in range(1000))
    file.write_text(whole)
    texts = read_texts(str(file), 0)
    assert len(texts.held_out) == 2
    assert sum(map(len, texts.train + texts.held_out)) == 1000
    assert all(piece in whole for piece in texts.train)


def test_of_the_library_the_modules_are_held_out_that_no_bundled_model_saw() -> None:
    texts = read_texts("library", 0)
    library = read_standard_library()
    assert texts.held_out == tuple(library[name] for name in HELD_OUT_CODE)
    assert not any(
        piece[:2000] in held for piece in texts.train for held in texts.held_out if len(piece) > 2000
    )


def test_docstrings_of_a_module() -> None:
    source = (
        '"""Top."""\nclass A:\n    """An A."""\n    def f(self):\n        "Does f."\n    def g(self): pass\n'
    )
    assert docstrings(source) == "Top.\n\nAn A.\n\nDoes f."


def test_rows_begin_with_bos_and_run_end_to_end() -> None:
    model = load_model("mini-gelu-1l")
    pieces = ["def f(x):\n    return x\n" * 5, "class A:\n    pass\n" * 8]
    rows = token_rows(model, pieces, 10, 10_000)
    bos = model.tokenizer.bos_token_id
    assert (rows[:, 0] == bos).all()
    ids = [token for piece in pieces for token in model.tokenizer.encode(piece, add_special_tokens=False)]
    assert rows[:, 1:].flatten().tolist() == ids[: len(rows) * 9]
    assert len(ids) - len(rows) * 9 < 9
    assert len(token_rows(model, pieces, 10, 20)) == 2
    with pytest.raises(ValueError, match="do not fill one row"):
        token_rows(model, ["x"], 10, 100)


def test_a_model_source_evaluates_inside_the_model_and_remembers_itself(folder: Path) -> None:
    config = SourceConfig(
        model="mini-gelu-1l", hook=HOOK, text=str(folder), tokens=2000, held_out=200, batch_size=32
    )
    assert source_from_dict(config.to_dict()) == config
    source = open_source(config)
    assert isinstance(source, ModelSource)
    found = source.evaluate(build(TopKConfig(d_in=256, d_sae=16, k=3), 0))
    assert found.splice is not None
    assert found.examples == source.held_out_tokens.numel() - len(source.held_out_tokens)
    assert source.metadata()["hook_name"] == HOOK
    assert with_seed(config, 5) == config
    # What was held out is the model's activations there, whatever was trained before.
    again = open_source(config)
    next(again.stream(3))
    assert torch.equal(source.held_out(50).x, again.held_out(50).x)


def test_what_was_stored_is_what_the_model_gives(folder: Path, tmp_path: Path) -> None:
    config = SourceConfig(
        model="mini-gelu-1l", hook=HOOK, text=str(folder), tokens=2000, held_out=200, batch_size=32
    )
    source = open_source(config)
    assert isinstance(source, ModelSource)
    stored = source.stored_stream(1, tmp_path / "stored", 4)
    fresh = source.stream(config.seed)
    kept = torch.cat([next(stored).x for _ in range(4)])
    made = torch.cat([next(fresh).x for _ in range(4)])
    # The same activations in another order.
    assert torch.allclose(kept.sum(0), made.sum(0), atol=1e-3)
    assert not torch.equal(kept, made)


def test_a_target_makes_pairs(folder: Path) -> None:
    config = SourceConfig(
        model="mini-gelu-1l",
        hook="blocks.0.ln2.hook_normalized",
        target_hook="blocks.0.hook_mlp_out",
        text=str(folder),
        tokens=2000,
        held_out=200,
        batch_size=32,
    )
    source = open_source(config)
    assert (source.d_in, source.d_out) == (64, 64)
    assert source.evaluate(build(transcoder(TopKConfig(d_in=64, d_sae=16, k=3)), 0)).splice is not None


@pytest.mark.parametrize("seed", [0, 7])
def test_known_features_are_drawn_anew_for_each_seed(seed: int) -> None:
    config = SourceConfig(synthetic="sharkey-small", seed=seed, held_out=100)
    first, again = open_source(config), open_source(config)
    assert torch.equal(first.held_out(100).x, again.held_out(100).x)
    other = open_source(with_seed(config, seed + 1))
    assert not torch.equal(first.held_out(100).x, other.held_out(100).x)
    recovery = first.evaluate(build(TopKConfig(d_in=64, d_sae=16, k=3), 0)).recovery
    assert recovery is not None


@pytest.fixture(scope="module")
def own_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder of three layers in a folder."""
    torch.manual_seed(0)
    cfg = HookedTransformerConfig(
        n_layers=3,
        d_model=8,
        n_ctx=16,
        d_head=4,
        n_heads=2,
        d_mlp=16,
        d_vocab=30,
        act_fn="gelu",
        normalization_type="LN",
        device="cpu",
    )
    return save_model(HookedEncoder(cfg), tmp_path_factory.mktemp("encoder") / "model")


@pytest.mark.parametrize(
    ("hooks", "layers"),
    [
        (["blocks.0.hook_mlp_out"], 1),
        (["blocks.1.hook_mlp_out", "blocks.0.hook_mlp_out"], 2),
        (["blocks.2.hook_mlp_out"], 3),
        # What comes after the last layer needs all of them.
        (["pooler.hook_pooler_out"], 3),
        (["blocks.0.hook_mlp_out", "pooler.hook_pooler_out"], 3),
        ([], 3),
    ],
)
def test_an_encoder_is_loaded_once_and_as_far_as_it_is_read(
    hooks: list[str], layers: int, own_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []

    def counting(*arguments: Any, **options: Any) -> Any:
        loaded.append(options)
        return load_model(*arguments, **options)

    monkeypatch.setattr(models, "load_model", counting)
    model = open_model(str(own_encoder), torch.device("cpu"), hooks)
    assert model.cfg.n_layers == layers
    assert len(loaded) == 1


def test_a_layer_that_an_encoder_lacks_is_named_with_those_it_has(own_encoder: Path, folder: Path) -> None:
    config = SourceConfig(model=str(own_encoder), hook="blocks.7.hook_mlp_out", text=str(folder))
    with pytest.raises(KeyError, match=r"blocks.7.hook_mlp_out.*blocks.2.hook_mlp_out"):
        open_source(config)


def test_too_little_text_says_of_what(folder: Path) -> None:
    options: dict[str, Any] = {"model": "mini-gelu-1l", "hook": HOOK, "text": str(folder)}
    with pytest.raises(ValueError, match=r"the held-out part of .* has 20 tokens, .*a shorter context"):
        open_source(SourceConfig(**options, held_out=20))
    source = open_source(SourceConfig(**options, tokens=200, held_out=200))
    with pytest.raises(ValueError, match=r"the training part of .* fewer than one batch of 1,024"):
        source.stream(0)


def test_an_encoder_is_read_up_to_the_hook_point(folder: Path) -> None:
    if importlib.util.find_spec(MINILM.replace("-", "_")) is None:
        pytest.skip(f"the package {MINILM} (test extra) is not installed")
    config = SourceConfig(
        model=MINILM,
        hook="blocks.1.hook_normalized_resid_post",
        text=str(folder),
        tokens=300,
        held_out=60,
        context=20,
        batch_size=16,
    )
    source = open_source(config)
    assert isinstance(source, ModelSource)
    assert source.model.cfg.n_layers == 2
    assert source.d_in == 384
    ends = source.model.tokenizer
    assert (source.held_out_tokens[:, 0] == ends.cls_token_id).all()
    assert (source.held_out_tokens[:, -1] == ends.sep_token_id).all()
    found = source.evaluate(build(TopKConfig(d_in=384, d_sae=16, k=3), 0))
    assert found.splice is None
    assert found.examples == source.held_out_tokens.numel() - len(source.held_out_tokens)

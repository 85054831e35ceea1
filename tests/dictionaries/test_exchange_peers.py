"""The tools themselves as oracles: what they write we read, what we write SAELens reads, and outputs are equal.

SAELens and sparsify are in the `peers` extra. dictionary_learning brings a dozen packages that nothing here needs; its
tests run where somebody has installed it, and its formulas are tested in `test_exchange.py` everywhere.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mechscope.dictionaries import (
    BatchTopKConfig,
    DictionaryConfig,
    GatedConfig,
    JumpReluConfig,
    MatryoshkaConfig,
    ReluConfig,
    TopKConfig,
    build,
    transcoder,
)
from mechscope.dictionaries.exchange import (
    load_dictionary,
    load_dictionary_learning,
    load_saelens,
    load_sparsify,
    save_saelens,
)
from tests.dictionaries import exchange_files as files

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

TOLERANCE = 1e-5


def same(ours: Tensor, theirs: Tensor, tolerance: float = TOLERANCE) -> None:
    ours, theirs = ours.detach(), theirs.detach()
    assert ours.shape == theirs.shape
    assert float(theirs.float().std()) > 0.1
    assert float((ours - theirs).abs().max()) < tolerance


def peer(name: str) -> Any:
    by_hand = name.startswith("dictionary_learning")
    how = "pip install dictionary-learning" if by_hand else "see the `peers` extra"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed ({how})")


@pytest.mark.parametrize("case", files.SAELENS)
def test_saelens_writes_and_we_read(tmp_path: Path, case: str) -> None:
    sae_lens = peer("sae_lens")
    architecture, settings = files.SAELENS[case]
    first = files.saelens_folder(tmp_path / "first", architecture, 2, **settings)
    theirs = sae_lens.SAE.load_from_disk(first)
    theirs.save_model(tmp_path / "again")
    ours = load_saelens(tmp_path / "again")
    x = files.inputs()
    same(ours(x), theirs(x))
    same(ours.encode(x), theirs.encode(x))


def trained_looking(cfg: DictionaryConfig, seed: int) -> Any:
    dictionary = build(cfg, seed).eval()
    with torch.no_grad():
        for number, (name, parameter) in enumerate(dictionary.named_parameters()):
            parameter.copy_(files.numbers(*parameter.shape, seed=seed + number))
            if name == "threshold":
                parameter.abs_()
    if cfg.architecture in ("batch_topk", "matryoshka"):
        dictionary.threshold.fill_(0.9)
    if cfg.normalize == "none" and not cfg.transcodes:
        dictionary.set_scale(1.4)
    return dictionary


SHARED: dict[str, Any] = {"d_in": files.D_IN, "d_sae": files.D_SAE, "decoder_norm": "free"}
OURS: dict[str, DictionaryConfig] = {
    "relu": ReluConfig(**SHARED),
    "relu, nothing subtracted": ReluConfig(**SHARED, subtract_b_dec=False),
    "relu, layer norm": ReluConfig(**SHARED, normalize="layer_norm"),
    "relu, constant norm": ReluConfig(**SHARED, normalize="constant_norm"),
    "topk": TopKConfig(**SHARED, k=4),
    "topk, rescaled": TopKConfig(**SHARED, k=4, rescale_by_decoder_norm=True),
    "batch_topk": BatchTopKConfig(**SHARED, k=4),
    "batch_topk, rescaled": BatchTopKConfig(**SHARED, k=4, rescale_by_decoder_norm=True),
    "matryoshka": MatryoshkaConfig(**SHARED, k=4, widths=(6, files.D_SAE)),
    "jumprelu": JumpReluConfig(**SHARED),
    "gated": GatedConfig(**SHARED),
    "transcoder": transcoder(ReluConfig(**SHARED), 7),
    "skip transcoder": transcoder(ReluConfig(**SHARED), 7, skip=True),
    "jumprelu transcoder": transcoder(JumpReluConfig(**SHARED), 7),
    "batch_topk skip transcoder": transcoder(BatchTopKConfig(**SHARED, k=4), 7, skip=True),
}


@pytest.mark.parametrize("case", OURS)
@pytest.mark.parametrize("seed", [0, 11])
def test_we_write_and_saelens_reads(tmp_path: Path, case: str, seed: int) -> None:
    sae_lens = peer("sae_lens")
    ours = trained_looking(OURS[case], seed)
    ours.metadata["hook_name"] = "blocks.1.hook_resid_post"
    theirs = sae_lens.SAE.load_from_disk(save_saelens(ours, tmp_path))
    x = files.inputs(seed)
    same(ours(x), theirs(x))
    assert theirs.cfg.metadata.hook_name == "blocks.1.hook_resid_post"


@pytest.mark.parametrize(
    ("architecture", "rescale"),
    [
        ("batchtopk", False),
        ("batchtopk", True),
        ("matryoshka_batchtopk", False),
        ("matryoshka_batchtopk", True),
        ("topk", False),
        ("topk", True),
        ("jumprelu", False),
        ("gated", False),
    ],
)
def test_saelens_training_classes_saved_both_ways(tmp_path: Path, architecture: str, rescale: bool) -> None:
    peer("sae_lens")
    from sae_lens.registry import get_sae_training_class

    kind, cfg_kind = get_sae_training_class(architecture)
    settings: dict[str, Any] = {"d_in": files.D_IN, "d_sae": files.D_SAE}
    if "topk" in architecture:
        settings |= {"k": 4, "rescale_acts_by_decoder_norm": rescale}
    if "matryoshka" in architecture:
        settings["matryoshka_widths"] = [6, files.D_SAE]
    theirs = kind(cfg_kind(**settings))
    with torch.no_grad():
        for number, (name, parameter) in enumerate(theirs.named_parameters()):
            parameter.copy_(files.numbers(*parameter.shape, seed=number))
            if name == "threshold":
                parameter.abs_()
    if "batchtopk" in architecture:
        theirs.topk_threshold.fill_(0.6)
    theirs.save_inference_model(tmp_path / "inference")
    theirs.save_model(tmp_path / "training")
    x = files.inputs()
    from sae_lens import SAE

    expected = SAE.load_from_disk(tmp_path / "inference")(x)
    same(load_dictionary(tmp_path / "inference")(x), expected)
    same(load_dictionary(tmp_path / "training")(x), expected)


def test_older_flat_folders_as_saelens_reads_them(tmp_path: Path) -> None:
    sae_lens = peer("sae_lens")
    flat = {
        "model_name": "gpt2-small",
        "hook_point": "blocks.8.hook_resid_pre",
        "hook_point_layer": 8,
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 4},
        "d_in": files.D_IN,
        "d_sae": files.D_SAE,
        "dtype": "torch.float32",
        "device": "cpu",
        "normalize_activations": "layer_norm",
        "apply_b_dec_to_input": False,
    }
    state = files.saelens_state("topk", 5)
    files.write(tmp_path, ("cfg.json", flat), "sae_weights.safetensors", state)
    theirs = sae_lens.SAE.load_from_disk(tmp_path)
    ours = load_saelens(tmp_path)
    x = files.inputs()
    same(ours(x), theirs(x))
    assert ours.metadata["hook_name"] == theirs.cfg.metadata.hook_name
    # Saved again it is a folder of today, and what it says of the model is kept.
    again = sae_lens.SAE.load_from_disk(save_saelens(ours, tmp_path / "again"))
    same(again(x), theirs(x))
    assert again.cfg.metadata.hook_name == ours.metadata["hook_name"]


def test_gemma_scope_weights_as_saelens_runs_them(tmp_path: Path) -> None:
    sae_lens = peer("sae_lens")
    state = files.gemma_state(4)
    files.write(tmp_path / "gemma", None, "params.npz", state)
    # What SAELens makes of params.npz: a jumprelu dictionary that does not subtract b_dec.
    config = files.saelens_config("jumprelu", apply_b_dec_to_input=False)
    files.write(tmp_path / "lens", ("cfg.json", config), "sae_weights.safetensors", state)
    x = files.inputs()
    same(load_dictionary(tmp_path / "gemma")(x), sae_lens.SAE.load_from_disk(tmp_path / "lens")(x))


@pytest.mark.parametrize("case", files.SPARSIFY)
@pytest.mark.parametrize("seed", [0, 8])
def test_sparsify_writes_and_we_read(tmp_path: Path, case: str, seed: int) -> None:
    sparsify = peer("sparsify")
    first = files.sparsify_folder(tmp_path / "first", seed, **files.SPARSIFY[case])
    theirs = sparsify.SparseCoder.load_from_disk(first)
    theirs.save_to_disk(tmp_path / "layers.3")
    ours = load_sparsify(tmp_path / "layers.3")
    x = files.inputs()
    same(ours(x), theirs(x).sae_out)
    found = theirs.encode(x)
    written_out = torch.zeros(len(x), theirs.num_latents).scatter(-1, found.top_indices, found.top_acts)
    same(ours.encode(x), written_out)


CLASS_HOMES = {
    "AutoEncoder": "dictionary_learning.dictionary",
    "AutoEncoderNew": "dictionary_learning.dictionary",
    "GatedAutoEncoder": "dictionary_learning.dictionary",
    "JumpReluAutoEncoder": "dictionary_learning.dictionary",
    "AutoEncoderTopK": "dictionary_learning.trainers.top_k",
    "BatchTopKSAE": "dictionary_learning.trainers.batch_top_k",
    "MatryoshkaBatchTopKSAE": "dictionary_learning.trainers.matryoshka_batch_top_k",
}


@pytest.mark.parametrize("kind", files.CLASSES)
@pytest.mark.parametrize("threshold", [0.7, -1.0])
def test_dictionary_learning_writes_and_we_read(tmp_path: Path, kind: str, threshold: float) -> None:
    home = peer(CLASS_HOMES[kind])
    sizes: dict[str, Any] = {"activation_dim": files.D_IN, "dict_size": files.D_SAE}
    if "TopK" in kind:
        sizes["k"] = files.K
    if "Matryoshka" in kind:
        sizes["group_sizes"] = [8, 16]
    theirs = getattr(home, kind)(**sizes)
    theirs.load_state_dict(files.dictionary_learning_state(kind, 1, threshold))
    torch.save(theirs.state_dict(), tmp_path / "ae.pt")
    (tmp_path / "config.json").write_text(json.dumps(files.dictionary_learning_config(kind)))
    ours = load_dictionary_learning(tmp_path)
    x = files.inputs()
    if "Batch" in kind and threshold < 0:
        # Unset: the tool would let everything through that is positive, unless it is told not to.
        expected = theirs.decode(theirs.encode(x, use_threshold=False))
    else:
        expected = theirs(x)
    same(ours(x), expected)

"""Classic methods of the model, subclasses of it, and weights that do not quite fit: against the reference."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import mechscope
from mechscope import weight_processing
from mechscope.model._classic_fields import CLASSIC_FIELDS
from mechscope.model.transformer import HookedTransformer
from tests.classic.peers import twins
from tests.classic.words import word_tokenizer
from tests.model.tiny import BASE, tiny_model, tiny_tokens

STEPS = ("fold_layer_norm", "center_writing_weights", "center_unembed", "fold_value_biases")
ALL_STEPS = (*STEPS, "refactor_factored_attn_matrices")


def random_weights(model: Any, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights with every norm and bias away from where it starts, in float64."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(value.shape, dtype=torch.float64, generator=generator) * 0.3 + name.endswith(".w")
        for name, value in model.state_dict().items()
    }


def close(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-9) -> bool:
    return torch.allclose(found, expected, atol=atol, rtol=0)


# Weight processing --------------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["plain", "grouped", "attention only", "rotary"])
def test_each_step_gives_the_references_state_dict(kind: str, step: str) -> None:
    theirs = pytest.importorskip("transformer_lens.weight_processing").ProcessWeights
    ours, peer = twins(kind, dtype=torch.float64)
    state = random_weights(ours)
    found = getattr(weight_processing.ProcessWeights, step)(state, ours.cfg)
    # The reference computes in float32 whatever it is given.
    expected = getattr(theirs, step)({name: value.clone() for name, value in state.items()}, peer.cfg)
    assert set(found) == set(expected)
    for name in found:
        assert close(found[name], expected[name].double(), 1e-5), name
    by_method = getattr(ours, step)(state)
    assert all(torch.equal(by_method[name], found[name]) for name in found)


@pytest.mark.parametrize("step", ALL_STEPS)
@pytest.mark.parametrize("kind", ["plain", "grouped", "RMS", "LNPre", "solu_ln", "gated"])
def test_what_a_step_gives_loads_and_predicts_the_same(kind: str, step: str) -> None:
    if kind == "gated" and step == "fold_layer_norm":
        pytest.skip("a gated MLP has no bias that could take up the shift of a LayerNorm")
    if kind == "grouped" and step == "refactor_factored_attn_matrices":
        pytest.skip("heads that share keys and values cannot each have their own basis for them")
    model = tiny_model(kind, dtype=torch.float64)
    state = random_weights(model)
    model.load_state_dict(state)
    before = model(tiny_tokens()).log_softmax(-1)
    changed = getattr(model, step)(state)
    model.load_state_dict(changed)
    assert close(model(tiny_tokens()).log_softmax(-1), before)


def test_a_layer_norm_is_not_folded_by_halves() -> None:
    model = tiny_model()
    with pytest.raises(ValueError, match="folded completely"):
        model.fold_layer_norm(model.state_dict(), center_weights=False)
    rms = tiny_model("RMS")
    rms.fold_layer_norm(rms.state_dict(), fold_biases=False, center_weights=False)


# State dicts that do not quite fit ------------------------------------------------------------------


@pytest.mark.parametrize(("folded", "whole"), [("LNPre", "plain"), ("RMSPre", "RMS")])
def test_surplus_norms_are_folded(folded: str, whole: str) -> None:
    """The config says that norms are folded and the weights have them still: the same predictions, not an error."""
    source = tiny_model(whole, dtype=torch.float64)
    state = random_weights(source)
    source.load_state_dict(state)
    model = HookedTransformer({**BASE, "normalization_type": folded, "dtype": torch.float64})
    model.load_and_process_state_dict(state)
    assert close(model(tiny_tokens()).log_softmax(-1), source(tiny_tokens()).log_softmax(-1))
    assert model.cfg.normalization_type == folded


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["LNPre", None])
def test_surplus_norms_that_nothing_folds_are_left_out_as_in_the_reference(kind: str | None) -> None:
    peer = pytest.importorskip("transformer_lens")
    state = {name: value.float() for name, value in random_weights(tiny_model()).items()}
    fields = {**BASE, "normalization_type": kind}
    off = dict.fromkeys(("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases"), False)
    ours, theirs = (
        library.HookedTransformer(library.HookedTransformerConfig(**fields, device="cpu"))
        for library in (mechscope, peer)
    )
    theirs.load_and_process_state_dict(dict(state), **off)
    with pytest.warns(UserWarning, match="norms"):
        ours.load_and_process_state_dict(state, **off)
    assert torch.allclose(ours(tiny_tokens()), theirs(tiny_tokens()), atol=1e-4)


def test_norms_that_are_missing_were_folded() -> None:
    """The config has norms and the weights hold none: they load as folded, or with scales of 1."""
    source = tiny_model("LNPre", dtype=torch.float64)
    state = random_weights(source)
    source.load_state_dict(state)
    for fold in (True, False):
        model = tiny_model(dtype=torch.float64)
        model.load_and_process_state_dict(state, fold_ln=fold)
        assert close(model(tiny_tokens()).log_softmax(-1), source(tiny_tokens()).log_softmax(-1))
        assert model.cfg.normalization_type == ("LNPre" if fold else "LN")


def test_missing_biases_are_the_models_own_and_missing_matrices_an_error() -> None:
    model = tiny_model("rotary", dtype=torch.float64)
    state, biases = random_weights(model), model.b_Q
    without = {name: value for name, value in state.items() if ".b_" not in name}
    model.load_and_process_state_dict(
        without, fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False
    )
    assert torch.equal(model.b_Q, biases) and torch.equal(model.W_E, state["embed.W_E"])
    del without["blocks.0.attn.W_Q"]
    with pytest.raises(ValueError, match=r"blocks\.0\.attn\.W_Q"):
        tiny_model("rotary").load_and_process_state_dict(without)
    with pytest.raises(ValueError, match=r"1 unexpected: blocks\.0\.attn\.W_QQ"):
        tiny_model("rotary").load_and_process_state_dict({**state, "blocks.0.attn.W_QQ": state["embed.W_E"]})


def test_missing_keys_are_filled() -> None:
    model = tiny_model()
    state = dict(model.state_dict())
    del state["blocks.0.attn.b_Q"]
    assert torch.equal(model.fill_missing_keys(state)["blocks.0.attn.b_Q"], model.blocks[0].attn.b_Q)
    del state["embed.W_E"]
    with pytest.warns(UserWarning, match=r"lacks embed\.W_E"):
        assert set(model.fill_missing_keys(state)) == set(model.state_dict())


# Methods ------------------------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["plain", "rotary", "grouped", "gated", "attention only"])
def test_counts_of_parameters(kind: str) -> None:
    ours, theirs = twins(kind)
    assert ours.n_params_total == theirs.n_params_total
    if kind != "grouped":  # the reference counts keys and values as if they were not grouped
        assert ours.cfg.n_params == theirs.cfg.n_params


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["plain", "rotary", "shortformer"])
def test_the_residual_stream_from_embeddings(kind: str) -> None:
    ours, theirs = twins(kind)
    embed = torch.randn(2, 5, BASE["d_model"])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    calls: list[dict[str, Any]] = [{"pos_offset": 0}, {"pos_offset": 3}]
    calls.append({"pos_offset": 0, "attention_mask": mask})
    for arguments in calls:
        for found, expected in zip(
            ours.get_residual(embed, **arguments), theirs.get_residual(embed, **arguments), strict=True
        ):
            assert (found is None) == (expected is None)
            # What stands at padding is nobody's concern; the reference puts zeros there.
            real = mask.bool() if "attention_mask" in arguments else torch.ones(2, 5, dtype=torch.bool)
            assert found is None or torch.allclose(found[real], expected[real], atol=1e-6)
    alone = ours.get_residual(embed, 0, return_shortformer_pos_embed=False)
    assert torch.allclose(alone, theirs.get_residual(embed, 0, return_shortformer_pos_embed=False), atol=1e-6)


def test_the_offset_of_a_cache() -> None:
    model = tiny_model("grouped")
    cache = mechscope.HookedTransformerKeyValueCache.init_cache(model.cfg, "cpu", 2)
    assert model.get_pos_offset(None, 5) == model.get_pos_offset(cache, 2) == 0
    model(tiny_tokens()[:, :4], past_kv_cache=cache)
    assert model.get_pos_offset(cache, 2) == 4
    with pytest.raises(ValueError, match="key/value cache holds"):
        model.get_pos_offset(cache, 3)


def test_initial_weights_drawn_anew() -> None:
    model = HookedTransformer({**BASE, "seed": 4})
    model.load_state_dict({name: value.float() for name, value in random_weights(model).items()})
    model.init_weights()
    fresh = HookedTransformer({**BASE, "seed": 4}).state_dict()
    for name, value in model.state_dict().items():
        assert "W_" not in name or torch.equal(value, fresh[name]), name
    model.move_model_modules_to_device()


def test_a_text_of_the_models_training_data(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = word_tokenizer()
    model = tiny_model(d_vocab=len(tokenizer), n_ctx=32)
    model.set_tokenizer(tokenizer)
    with pytest.raises(ValueError, match=r"set model\.dataset"):
        model.sample_datapoint()
    model.dataset = [{"text": "the cat sat"}]
    assert model.sample_datapoint() == "the cat sat"
    assert model.sample_datapoint(tokenize=True, prepend_bos=False).shape == (1, 3)
    asked = []
    monkeypatch.setattr(
        "mechscope.data.text_datasets.get_dataset",
        lambda name, **kwargs: asked.append(name) or [{"text": "a dog"}],
    )
    model.dataset = None
    model.cfg.original_architecture = "GPTNeoXForCausalLM"
    assert model.sample_datapoint() == "a dog" and asked == ["pile"]


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
def test_an_ungrouped_model_shows_keys_and_values_by_query_head() -> None:
    ours, theirs = twins("grouped", dtype=torch.float64)
    before, keys = ours(tiny_tokens()), ours.W_K.clone()
    fired: list[str] = []
    ours.add_perma_hook("blocks.0.attn.hook_k", lambda k, hook: fired.append(hook.name))
    for model in (ours, theirs):
        model.set_ungroup_grouped_query_attention(True)
    logits, cache = ours.run_with_cache(tiny_tokens())
    _, other = theirs.run_with_cache(tiny_tokens())
    assert close(logits, before) and torch.equal(ours.W_K, keys) and fired
    for name in ("hook_k", "hook_v", "hook_q", "hook_z"):
        full = f"blocks.1.attn.{name}"
        assert cache[full].shape == other[full].shape
        assert torch.allclose(cache[full], other[full], atol=1e-5), name
    ours.set_ungroup_grouped_query_attention(True)
    with pytest.raises(ValueError, match="load it again"):
        ours.set_ungroup_grouped_query_attention(False)


@pytest.mark.parametrize("kind", ["query/key norm", "grouped", "plain"])
def test_ungrouping_keeps_predictions_and_custom_layers_refuse_it(kind: str) -> None:
    model = tiny_model(kind, dtype=torch.float64, **({"qk_norm": "full"} if "norm" in kind else {}))
    before = model(tiny_tokens())
    model.set_ungroup_grouped_query_attention(False)
    model.set_ungroup_grouped_query_attention(True)
    assert close(model(tiny_tokens()), before) and model.cfg.n_key_value_heads is None
    generated = model.generate(tiny_tokens()[:, :5], 2, stop_at_eos=False, verbose=False, do_sample=False)
    assert generated.shape == (2, 7)

    class Own(mechscope.components.GroupedQueryAttention):
        pass

    grouped = tiny_model("grouped")
    grouped.blocks[1].attn = Own(grouped.cfg, "global", 1)
    with pytest.raises(ValueError, match="layer 1 is a Own"):
        grouped.set_ungroup_grouped_query_attention(True)


# Subclasses ---------------------------------------------------------------------------------------


class Doubled(HookedTransformer):
    """Twice the logits, by a forward pass of its own."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        found = super().forward(*args, **kwargs)
        return found * 2 if kwargs.get("return_type", "logits") == "logits" and found is not None else found


class Shifted(HookedTransformer):
    """Another embedding, by one method."""

    def input_to_embed(self, *args: Any, **kwargs: Any) -> Any:
        residual, *rest = super().input_to_embed(*args, **kwargs)
        return residual + 1.0, *rest


class WithHead(HookedTransformer):
    """A constructor of its own and a part besides."""

    def __init__(self, cfg: Any, tokenizer: Any = None, **kwargs: Any) -> None:
        super().__init__(cfg, tokenizer, **kwargs)
        self.value_head = torch.nn.Linear(self.cfg.d_model, 1, dtype=self.cfg.dtype)

    def values(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.value_head(self(tokens, stop_at_layer=self.cfg.n_layers))


class Strange(HookedTransformer):
    """A constructor with other arguments."""

    def __init__(self, width: int) -> None:
        super().__init__({**BASE, "d_model": width, "seed": 0, "dtype": torch.float64})


def test_a_subclass_with_its_own_forward_runs_everywhere() -> None:
    plain, own = tiny_model(dtype=torch.float64), Doubled({**BASE, "dtype": torch.float64})
    own.load_state_dict(plain.state_dict())
    tokens = tiny_tokens()
    expected = 2 * plain(tokens)
    assert torch.equal(own(tokens), expected)
    logits, cache = own.run_with_cache(tokens)
    assert close(logits, expected) and "blocks.1.hook_resid_post" in cache
    zeroed = [("blocks.0.hook_mlp_out", lambda x, hook: x * 0)]
    hooked = own.run_with_hooks(tokens, fwd_hooks=zeroed)
    assert close(hooked, 2 * plain.run_with_hooks(tokens, fwd_hooks=zeroed))
    assert own.generate(tokens, 2, stop_at_eos=False, verbose=False).shape == (2, 11)


def test_a_subclass_with_its_own_embedding() -> None:
    own = Shifted({**BASE, "seed": 0})
    plain = HookedTransformer({**BASE, "seed": 0})
    residual = plain(tiny_tokens(), stop_at_layer=0)
    assert torch.equal(own(tiny_tokens()), plain(residual + 1.0, start_at_layer=0))


def test_a_subclass_keeps_its_parts_when_weights_are_processed() -> None:
    own = WithHead({**BASE, "seed": 0, "dtype": torch.float64})
    values, head = own.values(tiny_tokens()), own.value_head
    before = own(tiny_tokens()).log_softmax(-1)
    own.process_weights_(center_writing_weights=False)
    assert isinstance(own, WithHead) and own.value_head is head
    assert close(own(tiny_tokens()).log_softmax(-1), before)
    assert close(own.values(tiny_tokens()), values)
    other = WithHead({**BASE, "dtype": torch.float64})
    other.load_and_process_state_dict(own.state_dict(), center_writing_weights=False)
    assert torch.equal(other.value_head.weight, own.value_head.weight)
    strange = Strange(24)
    before = strange(tiny_tokens()).log_softmax(-1)
    strange.process_weights_()
    assert close(strange(tiny_tokens()).log_softmax(-1), before)


@pytest.mark.parametrize("cls", [Doubled, WithHead])
def test_a_subclass_is_loaded_by_from_pretrained(cls: type[HookedTransformer]) -> None:
    plain = HookedTransformer.from_pretrained("induction-2l", device="cpu")
    own = cls.from_pretrained("induction-2l", device="cpu")
    tokens = torch.arange(6)[None]
    assert type(own) is cls
    factor = 2 if cls is Doubled else 1
    assert torch.equal(own(tokens), factor * plain(tokens))
    assert all(not parameter.is_meta for parameter in own.parameters())


def test_an_attention_layer_of_ones_own_survives_processing() -> None:
    from mechscope.components import Attention

    class Softer(Attention):
        def calculate_attention_scores(self, q: Any, k: Any) -> Any:
            return super().calculate_attention_scores(q, k) * 0.5

    model = tiny_model(dtype=torch.float64)
    own = Softer(model.cfg, "global", 0)
    own.load_state_dict(model.blocks[0].attn.state_dict())
    model.blocks[0].attn = own
    model.setup()
    before = model(tiny_tokens()).log_softmax(-1)
    fired: list[str] = []
    model.add_perma_hook("blocks.0.attn.hook_z", lambda z, hook: fired.append(hook.name))
    model.process_weights_()
    assert model.blocks[0].attn is own and own.cfg is model.cfg
    assert close(model(tiny_tokens()).log_softmax(-1), before)
    assert fired


# The config ---------------------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "fields",
    [
        {"use_local_attn": True, "window_size": 3, "attn_types": ["global", "local"]},
        {"use_local_attn": False, "window_size": 3, "attn_types": ["local", "local"]},
        {"positional_embedding_type": "rotary", "rotary_scaling_factor": 4.0},
        {
            "positional_embedding_type": "rotary",
            "use_NTK_by_parts_rope": True,
            "NTK_by_parts_factor": 4.0,
            "NTK_original_ctx_len": 64,
        },
        {"use_normalization_before_and_after": True, "normalization_type": "RMS"},
        {"use_qk_norm": True, "n_key_value_heads": 2},
        {"n_devices": 1, "trust_remote_code": True, "from_checkpoint": False},
    ],
)
def test_a_config_with_classic_fields_makes_the_reference_model(fields: dict[str, Any]) -> None:
    """By keyword, as a mapping, and as the reference's own to_dict: the same logits each time."""
    peer = pytest.importorskip("transformer_lens")
    cfg = peer.HookedTransformerConfig(**BASE, **fields, device="cpu")
    theirs = peer.HookedTransformer(cfg)
    logits = theirs(tiny_tokens())
    weights = {
        name: value
        for name, value in theirs.state_dict().items()
        if name.rpartition(".")[2] not in ("mask", "IGNORE", "rotary_sin", "rotary_cos")
    }
    made = (
        mechscope.HookedTransformerConfig(**BASE, **fields),
        mechscope.HookedTransformerConfig.from_dict({**BASE, **fields}),
        mechscope.HookedTransformerConfig.unwrap(dict(theirs.cfg.to_dict())),
    )
    for own in made:
        ours = HookedTransformer(own)
        ours.load_state_dict(weights)
        assert torch.allclose(ours(tiny_tokens()), logits, atol=1e-4)
        for name in set(CLASSIC_FIELDS) - {"n_params", "use_local_attn", "trust_remote_code"}:
            assert getattr(ours.cfg, name) == getattr(theirs.cfg, name), name


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"n_devices": 2}, "n_devices=2 has no effect: a model is on one device"),
        ({"trust_remote_code": True}, "never run"),
        ({"norm_topk_prob": True}, "mixtures of experts"),
        ({"layer_norm_folding": True}, "process_weights_"),
    ],
)
def test_a_classic_field_without_effect_causes_a_warning(fields: dict[str, Any], says: str) -> None:
    with pytest.warns(UserWarning, match=says):
        mechscope.HookedTransformerConfig(**BASE, **fields)
    with pytest.warns(UserWarning, match=says):
        mechscope.HookedTransformerConfig.from_dict({**BASE, **fields})


@pytest.mark.parametrize(
    "options",
    [{"n_devices": 2}, {"device_map": "auto"}, {"trust_remote_code": True}, {"cache_dir": "somewhere"}],
)
def test_a_loader_option_without_effect_causes_a_warning(options: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match=f"{next(iter(options))}=.* has no effect"):
        HookedTransformer.from_pretrained("mini-attn-only-1l", **options)


def test_a_label_of_a_checkpoint_is_kept() -> None:
    cfg = mechscope.HookedTransformerConfig(
        **BASE, from_checkpoint=True, checkpoint_index=3, checkpoint_value=8, checkpoint_label_type="step"
    )
    assert (cfg.from_checkpoint, cfg.checkpoint_label_type, cfg.to_dict()["checkpoint_label_type"]) == (
        True,
        "step",
        "step",
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"uses_rms_norm": True}, "contradicts normalization_type='LN'"),
        ({"from_checkpoint": True}, "give checkpoint_index or checkpoint_value"),
        ({"rotary_scaling_factor": 2.0}, "no effect with positional_embedding_type='standard'"),
        ({"rotary_adjacent_pairs": True}, "no effect with positional_embedding_type='standard'"),
        ({"rotary_base_local": 100.0}, "no effect with positional_embedding_type='standard'"),
        ({"load_in_4bit": True}, "4 bits"),
        ({"num_experts": 8, "experts_per_token": 2}, "mixtures of experts"),
        ({"decoder_start_token_id": 0}, "encoder-decoder"),
        ({"ungroup_grouped_query_attention": True}, "once it has its weights"),
        ({"use_local_attn": True}, "needs attn_types"),
        ({"use_qk_norm": True, "qk_norm": "full"}, "contradicts use_qk_norm"),
        (
            {"use_local_attn": False, "use_qk_norm": False, "original_architecture": "Olmo2ForCausalLM"},
            "where its norms are",
        ),
    ],
)
def test_a_classic_field_that_no_model_here_honours_is_refused(fields: dict[str, Any], reason: str) -> None:
    for make in (
        lambda: mechscope.HookedTransformerConfig(**BASE, **fields),
        lambda: mechscope.HookedTransformerConfig.from_dict({**BASE, **fields}),
    ):
        with pytest.raises(ValueError, match=reason):
            make()


def test_a_classic_config_is_quiet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cfg = mechscope.HookedTransformerConfig(**BASE, n_params=3, uses_rms_norm=False)
    assert cfg.use_local_attn is False and cfg.from_checkpoint is False
    assert mechscope.HookedTransformerConfig.from_dict(cfg.to_dict()) == cfg

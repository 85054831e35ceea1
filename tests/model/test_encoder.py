"""HookedEncoder against transformers' BERT with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.encoder import HookedEncoder
from mechscope.model.next_sentence import BertNextSentencePrediction
from mechscope.model.token_batch import Tokens

FIELDS: dict[str, Any] = {
    "n_layers": 2,
    "d_model": 24,
    "n_ctx": 16,
    "d_head": 6,
    "d_vocab": 50,
    "d_mlp": 40,
    "act_fn": "gelu",
    "eps": 1e-12,
    "attention_dir": "bidirectional",
}


def encoder(**fields: Any) -> HookedEncoder:
    model = HookedEncoder({**FIELDS, "seed": 0, **fields})
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.3
            parameter.copy_(1 + noise if name.endswith(".w") else noise)
    return model


def tokens_of(batch: int = 3, length: int = 9) -> torch.Tensor:
    return torch.randint(0, 50, (batch, length), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def bert() -> Any:
    """A random BERT of transformers, every weight away from its starting value."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=16,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    model = transformers.BertForPreTraining(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def from_bert(bert: Any) -> HookedEncoder:
    """The weights by hand, so that this test needs nothing of the checkpoint readers."""
    theirs = bert.state_dict()
    state = {
        "embed.embed.W_E": theirs["bert.embeddings.word_embeddings.weight"],
        "embed.pos_embed.W_pos": theirs["bert.embeddings.position_embeddings.weight"],
        "embed.token_type_embed.W_token_type": theirs["bert.embeddings.token_type_embeddings.weight"],
        "embed.ln.w": theirs["bert.embeddings.LayerNorm.weight"],
        "embed.ln.b": theirs["bert.embeddings.LayerNorm.bias"],
        "mlm_head.W": theirs["cls.predictions.transform.dense.weight"].T,
        "mlm_head.b": theirs["cls.predictions.transform.dense.bias"],
        "mlm_head.ln.w": theirs["cls.predictions.transform.LayerNorm.weight"],
        "mlm_head.ln.b": theirs["cls.predictions.transform.LayerNorm.bias"],
        "unembed.W_U": theirs["cls.predictions.decoder.weight"].T,
        "unembed.b_U": theirs["cls.predictions.bias"],
        "nsp_head.W": theirs["cls.seq_relationship.weight"].T,
        "nsp_head.b": theirs["cls.seq_relationship.bias"],
        "pooler.W": theirs["bert.pooler.dense.weight"].T,
        "pooler.b": theirs["bert.pooler.dense.bias"],
    }
    for layer in range(2):
        of = f"bert.encoder.layer.{layer}"
        to = f"blocks.{layer}"
        for letter, name in (("Q", "query"), ("K", "key"), ("V", "value")):
            weight, bias = (theirs[f"{of}.attention.self.{name}.{end}"] for end in ("weight", "bias"))
            state[f"{to}.attn.W_{letter}"] = weight.unflatten(0, (4, 6)).permute(0, 2, 1)
            state[f"{to}.attn.b_{letter}"] = bias.unflatten(0, (4, 6))
        output = theirs[f"{of}.attention.output.dense.weight"]
        state[f"{to}.attn.W_O"] = output.T.unflatten(0, (4, 6))
        state[f"{to}.attn.b_O"] = theirs[f"{of}.attention.output.dense.bias"]
        for norm, name in (("ln1", "attention.output.LayerNorm"), ("ln2", "output.LayerNorm")):
            state[f"{to}.{norm}.w"] = theirs[f"{of}.{name}.weight"]
            state[f"{to}.{norm}.b"] = theirs[f"{of}.{name}.bias"]
        for end, name in (("in", "intermediate"), ("out", "output")):
            state[f"{to}.mlp.W_{end}"] = theirs[f"{of}.{name}.dense.weight"].T
            state[f"{to}.mlp.b_{end}"] = theirs[f"{of}.{name}.dense.bias"]
    return HookedEncoder.from_state(HookedTransformerConfig(**FIELDS), state)


@pytest.mark.parametrize("padding", [None, "right", "left"])
def test_equals_bert_in_every_head_and_pattern(bert: Any, padding: str | None) -> None:
    ours, tokens = from_bert(bert), tokens_of()
    types = (torch.arange(9) >= 5).long().expand(3, -1)
    mask = torch.ones(3, 9, dtype=torch.long)
    if padding == "right":
        mask[0, 6:] = mask[1, 4:] = 0
    if padding == "left":
        mask[0, :3] = mask[1, :5] = 0
    # Ours count real tokens; theirs count from the start of the row unless they are told.
    positions = (mask.cumsum(1) - 1).clamp(min=0) if padding == "left" else None
    with torch.no_grad():
        expected = bert(
            tokens,
            position_ids=positions,
            token_type_ids=types,
            attention_mask=mask,
            output_hidden_states=True,
            output_attentions=True,
        )
        logits, cache = ours.run_with_cache(tokens, token_type_ids=types, one_zero_attention_mask=mask)
        plain = ours(tokens, "logits", types, attention_mask=mask)
    real = mask.bool()
    assert torch.allclose(logits[real], expected.prediction_logits[real], atol=1e-4)
    assert torch.allclose(plain[real], logits[real], atol=1e-5)
    assert torch.allclose(cache["hook_full_embed"], expected.hidden_states[0], atol=1e-5)
    for layer in range(2):
        assert torch.allclose(
            cache["normalized_resid_post", layer][real], expected.hidden_states[layer + 1][real], atol=1e-4
        )
        pattern = cache["pattern", layer].transpose(1, 2)[real]
        assert torch.allclose(pattern, expected.attentions[layer].transpose(1, 2)[real], atol=1e-5)
    hidden = ours.encoder_output(tokens, types, mask)
    following = ours.nsp_head(ours.pooler(hidden))
    assert torch.allclose(following, expected.seq_relationship_logits, atol=1e-4)


@pytest.mark.parametrize("side", ["left", "right", "between"])
def test_padded_texts_give_the_same_as_alone(side: str) -> None:
    model = encoder(dtype=torch.float64)
    rows = [tokens_of()[0, :4], tokens_of()[1], tokens_of()[2, :6]]
    where = {"left": lambda n: range(9 - n, 9), "right": range, "between": lambda n: [0, *range(10 - n, 9)]}[
        side
    ]
    ids, mask = torch.full((3, 9), 7), torch.zeros(3, 9, dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, list(where(len(row)))] = row
        mask[number, list(where(len(row)))] = 1
    follows = BertNextSentencePrediction(model)
    types = torch.zeros_like(ids)
    for given in (Tokens(ids, mask), ids):
        beside = {} if isinstance(given, Tokens) else {"one_zero_attention_mask": mask}
        logits = model(given, **beside)
        both = follows(given, token_type_ids=types, **beside)
        for number, row in enumerate(rows):
            torch.testing.assert_close(logits[number][mask[number].bool()], model(row)[0])
            alone = follows(row[None], token_type_ids=types[:1, : len(row)])
            torch.testing.assert_close(both[number], alone[0])


def test_an_encoder_sees_the_future_and_no_padding() -> None:
    model, tokens = encoder(), tokens_of()
    changed = tokens.clone()
    changed[:, -1] = (tokens[:, -1] + 1) % 50
    assert not torch.allclose(model(tokens)[:, 0], model(changed)[:, 0], atol=1e-3)
    mask = torch.ones_like(tokens)
    mask[:, -1] = 0
    hidden = model(tokens, return_type="hidden", attention_mask=mask)
    assert torch.allclose(hidden[:, :-1], model(changed, "hidden", attention_mask=mask)[:, :-1], atol=1e-6)
    assert torch.allclose(hidden[:, :-1], model(tokens[:, :-1], return_type="hidden"), atol=1e-5)


@pytest.mark.parametrize(
    "made", [torch.Tensor.bool, torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.float]
)
def test_masks_types_and_ids_of_any_kind(made: Any) -> None:
    model, ids = encoder(), tokens_of()
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    types = mask.clone()
    expected = model(ids, token_type_ids=types, attention_mask=mask)
    torch.testing.assert_close(expected[1, :5], model(ids[1:2, :5], token_type_ids=types[1:2, :5])[0])
    for name in ("attention_mask", "one_zero_attention_mask"):
        assert torch.equal(model(ids, token_type_ids=types, **{name: made(mask)}), expected)
    for listed in (ids.tolist(), ids.to(torch.uint8), ids.numpy().astype("uint8"), ids.int()):
        assert torch.equal(model(listed, token_type_ids=types.tolist(), attention_mask=mask), expected)
    assert torch.equal(model(ids[0].tolist()), model(ids[:1]))


def test_return_types() -> None:
    model, tokens = encoder(), tokens_of()
    assert model(tokens).shape == model(tokens[0]).expand(3, -1, -1).shape == (3, 9, 50)
    assert model(tokens, return_type="hidden").shape == (3, 9, 24)
    assert model(tokens, return_type=None) is None
    tied = encoder(tie_word_embeddings=True)
    assert "unembed.W_U" not in tied.state_dict()
    assert tied.W_U.data_ptr() == tied.W_E.data_ptr() and tied(tokens).shape == (3, 9, 50)


def test_weights_by_name_and_hooks() -> None:
    model, tokens = encoder(), tokens_of()
    assert model.W_Q.shape == model.W_V.shape == (2, 4, 24, 6)
    assert model.W_E_pos.shape == (66, 24) and model.W_token_type.shape == (2, 24)
    assert model.OV.shape == (2, 4, 24, 24)
    assert model.all_head_labels()[-1] == "L1H3"
    before = model(tokens)
    names = ["blocks.0.hook_q_input", "blocks.1.attn.hook_result", "blocks.1.hook_mlp_in", "hook_full_embed"]
    logits, cache = model.run_with_cache(tokens, names_filter=names)
    assert torch.allclose(logits, before, atol=1e-5) and sorted(cache) == sorted(names)
    assert cache["blocks.0.hook_q_input"].shape == (3, 9, 4, 24)
    assert cache["result", 1].shape == (3, 9, 4, 24)
    ablated = model.run_with_hooks(
        tokens, fwd_hooks=[("blocks.0.attn.hook_z", lambda z, hook: torch.zeros_like(z))]
    )
    assert not torch.allclose(ablated, before, atol=1e-3)
    assert torch.allclose(model(tokens), before)
    assert "HookedEncoder" in repr(model)
    with pytest.raises(ValueError, match="normalizes its residual stream"):
        model.accumulated_bias(1)


def test_heads_follow_the_weights_given() -> None:
    full = encoder()
    state = {
        name: value
        for name, value in full.state_dict().items()
        if not name.startswith(("mlm_head", "unembed", "nsp_head"))
    }
    model = HookedEncoder.from_state(full.cfg, state)
    tokens = tokens_of()
    assert model(tokens).shape == (3, 9, 24)
    assert torch.equal(model(tokens), full(tokens, return_type="hidden"))
    assert model(tokens, return_type=None) is None
    with pytest.raises(ValueError, match=r"masked-language-model head.*return_type='hidden'"):
        model(tokens, return_type="logits")
    assert model.blocks[0].mlp.W_in.data_ptr() == full.blocks[0].mlp.W_in.data_ptr()
    del state["blocks.1.ln1.w"]
    state["extra"] = torch.ones(1)
    state["embed.ln.b"] = torch.ones(3)
    with pytest.raises(
        ValueError, match=r"1 missing: blocks.1.ln1.w.*1 unexpected: extra.*wrong shape: embed.ln.b"
    ):
        HookedEncoder.from_state(full.cfg, state)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: m(torch.tensor([[0, 50]])), "50 is out of range.*0 to 49"),
        (lambda m: m(torch.tensor([[0, -1]])), "-1 is out of range"),
        (lambda m: m(torch.zeros(1, 17, dtype=torch.long)), "17 tokens.*n_ctx=16"),
        (lambda m: m(torch.zeros(1, 3)), "whole numbers"),
        (lambda m: m(torch.zeros(1, 0, dtype=torch.long)), r"\(1, 0\)"),
        (lambda m: m(tokens_of(), token_type_ids=torch.full((3, 9), 2)), "token type 2 is out of range"),
        (lambda m: m(tokens_of(), token_type_ids=torch.zeros(9, dtype=torch.long)), r"\(9,\).*\(3, 9\)"),
        (lambda m: m(tokens_of(), attention_mask=torch.ones(3, 8)), r"\(3, 8\).*\(3, 9\)"),
        (lambda m: m(tokens_of(), attention_mask=torch.full((3, 9), 2)), "must contain only 1"),
        (
            lambda m: m(
                tokens_of(), attention_mask=torch.ones(3, 9), one_zero_attention_mask=torch.ones(3, 9)
            ),
            "one of them",
        ),
        (lambda m: m(tokens_of(), return_type="loss"), "return_type"),
        (lambda m: m(tokens_of(), return_type="predictions"), "tokenizer with a mask token"),
        (lambda m: m("text"), "tokenizer"),
        (lambda m: HookedEncoder({**FIELDS, "normalization_type": "RMS"}), "normalization_type='LN'"),
        (lambda m: HookedEncoder({**FIELDS, "attn_only": True}), "attn_only"),
        (lambda m: HookedEncoder(FIELDS, heads=("head",)), "mlm_head, nsp_head, pooler"),
        (lambda m: HookedEncoder({**FIELDS, "d_vocab": -1}), "d_vocab"),
    ],
)
def test_misuse_says_what_is_wrong(call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call(encoder())


def test_a_causal_config_becomes_a_bidirectional_encoder() -> None:
    fields = {name: value for name, value in FIELDS.items() if name != "attention_dir"}
    assert HookedEncoder(fields).cfg.attention_dir == "bidirectional"


@pytest.fixture
def word_pieces(tmp_path: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "a", "mat", "dog"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    return transformers.BertTokenizer(str(tmp_path / "vocab.txt"))


def test_text_with_padding_pairs_and_predictions(word_pieces: Any) -> None:
    model = HookedEncoder({**FIELDS, "d_vocab": -1, "seed": 0}, word_pieces)
    assert model.cfg.d_vocab == len(word_pieces) == model.cfg.d_vocab_out
    tokens, types, mask = model.to_tokens(["the cat sat", "a"], text_pair=["on a mat", "dog"])
    assert tokens.shape == types.shape == mask.shape == (2, 9)
    assert types[0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1] and mask[1].tolist() == [1] * 5 + [0] * 4
    both = model(["the cat sat on a mat", "a dog"])
    assert torch.allclose(both[1, :4], model("a dog")[0], atol=1e-5)
    one = model("the [MASK] sat", return_type="predictions")
    several = model(["the [MASK] sat", "a [MASK] [MASK]"], return_type="predictions")
    assert isinstance(one, str) and isinstance(several, list)
    assert len(several) == 3 and several[0] == f"Prediction 0: {one}"
    likeliest = model("the [MASK] sat")[0, 2].argmax()
    assert one == word_pieces.decode([likeliest])
    with pytest.raises(ValueError, match="no token is the tokenizer's mask"):
        model("the cat", return_type="predictions")
    long = "the cat " * 30
    assert model.to_tokens(long)[0].shape == (1, 16)


@pytest.mark.peer
def test_agrees_with_the_classic_encoder() -> None:
    peer = pytest.importorskip("transformer_lens")
    fields = {**FIELDS, "device": "cpu"}
    theirs = peer.HookedEncoder(peer.HookedTransformerConfig(**fields))
    ours = encoder()
    missing = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all(name.endswith(("attn.mask", "attn.IGNORE")) for name in missing.missing_keys)
    tokens, mask = tokens_of(), torch.ones(3, 9, dtype=torch.long)
    mask[0, 5:] = 0
    found, our_cache = ours.run_with_cache(tokens, one_zero_attention_mask=mask)
    expected, their_cache = theirs.run_with_cache(tokens, one_zero_attention_mask=mask)
    real = mask.bool()
    assert torch.allclose(found[real], expected[real], atol=1e-4)
    own_names = set(their_cache.keys()) - {"unembed.hook_in", "unembed.hook_out"}
    assert own_names <= set(our_cache.keys())
    for name in own_names:
        if "attn_scores" in name:  # what stands for "not allowed" differs
            continue
        one, other = our_cache[name], their_cache[name]
        assert one.shape == other.shape, name
        if "pattern" not in name:
            one, other = one[real], other[real]
        assert torch.allclose(one, other, atol=1e-4), name
    assert set(theirs.hook_dict) - {"unembed.hook_in", "unembed.hook_out"} <= set(ours.hook_dict)


def test_a_tensor_given_for_two_weights_is_copied():
    model = encoder()
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    first, second = (f"blocks.{layer}.ln1.w" for layer in (0, 1))
    state[second] = state[first]
    loaded = HookedEncoder.from_state(model.cfg, state)
    before = state[first].clone()
    with torch.no_grad():
        loaded.blocks[0].ln1.w.add_(1)
    assert torch.equal(loaded.blocks[1].ln1.w, before)

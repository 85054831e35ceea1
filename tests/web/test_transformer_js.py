"""The browser's transformer and tokenizers compute what Python's do, for every bundled model and other small ones."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import mechscope as ms
from mechscope.arguments import visible_token
from mechscope.checkpoints.registry import bundled_names
from mechscope.model.transformer import HookedTransformer

TOLERANCE = 1e-4
IMPORT = """async ([config, weights, tokens, process]) => {
  const { Transformer } = await import("/static/transformer.js");
  const { readSafetensors } = await import("/static/safetensors.js");
  const bytes = Uint8Array.from(atob(weights), (letter) => letter.charCodeAt(0));
  const model = new Transformer(config, readSafetensors(bytes.buffer), { process });
  const { logits, cache } = model.run(tokens, { record: () => true });
  const pack = ({ shape, data }) => [shape, Array.from(data, (x) => Number.isFinite(x) ? x : null)];
  return Object.fromEntries([...cache, ["logits", logits]].map(([name, tensor]) => [name, pack(tensor)]));
}"""


@pytest.fixture(scope="module")
def page(browser: Any, address: str) -> Iterator[Any]:
    found = browser.new_page()
    found.goto(address)
    yield found
    found.close()


def in_browser(page: Any, model: HookedTransformer, tokens: list[int], folder: Path, process: bool) -> Any:
    config = model.cfg.to_json_dict()
    weights = base64.b64encode((folder / "model.safetensors").read_bytes()).decode()
    return page.evaluate(IMPORT, [config, weights, tokens, process])


def assert_same_activations(found: Any, model: HookedTransformer, tokens: list[int]) -> None:
    with torch.no_grad():
        logits, cache = model.run_with_cache(torch.tensor([tokens]))
    expected = {**cache, "logits": logits}
    assert found.keys() == expected.keys()
    for name, (shape, values) in found.items():
        theirs = expected[name][0].numpy()
        assert tuple(shape) == theirs.shape, name
        ours = np.array([-np.inf if value is None else value for value in values]).reshape(shape)
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("name", bundled_names())
def test_every_activation_of_a_bundled_model(page: Any, name: str) -> None:
    folder = Path(ms.checkpoints.registry.BUNDLED) / name
    stored = ms.load_model(name, process=False)
    length = min(stored.cfg.n_ctx, 24)
    tokens = random.Random(name).choices(range(stored.cfg.d_vocab), k=length)
    found = in_browser(page, stored, tokens, folder, process=True)
    assert_same_activations(found, ms.load_model(name), tokens)


SHAPE = {
    "n_layers": 2,
    "d_model": 12,
    "d_head": 4,
    "n_heads": 4,
    "n_ctx": 16,
    "d_vocab": 20,
    "d_mlp": 24,
    "seed": 0,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "llama": {
        "normalization_type": "RMS", "positional_embedding_type": "rotary", "gated_mlp": True, "act_fn": "silu",
        "n_key_value_heads": 2, "final_rms": True,
    },
    "gpt2": {"act_fn": "gelu_new"},
    "neox": {"act_fn": "gelu", "parallel_attn_mlp": True, "positional_embedding_type": "rotary", "rotary_dim": 2},
    "gptj": {
        "act_fn": "gelu_new", "parallel_attn_mlp": True, "positional_embedding_type": "rotary",
        "rotary_adjacent_pairs": True,
    },
    "local": {"act_fn": "relu", "window_size": 3, "attn_types": ["local", "global"]},
    "tied": {"act_fn": "gelu_pytorch_tanh", "tie_word_embeddings": True},
    "capped": {"act_fn": "gelu", "attn_scores_soft_cap": 2.0, "output_logits_soft_cap": 3.0},
    "solu": {"act_fn": "solu_ln"},
    "bidirectional": {"act_fn": "relu", "attention_dir": "bidirectional"},
    "by layer": {"act_fn": "relu", "scale_attn_by_inverse_layer_idx": True, "normalization_type": None},
}  # fmt: skip


@pytest.mark.parametrize("process", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_activation_of_other_architectures(
    page: Any, tmp_path: Path, variant: str, process: bool
) -> None:
    model = HookedTransformer({**SHAPE, **VARIANTS[variant]})
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # norms and biases that matter
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    state = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
    found = in_browser(page, model, tokens, tmp_path, process)
    processed = ms.load_model(model.state_dict(), cfg=model.cfg, process=process)
    assert_same_activations(found, processed, tokens)


def test_what_it_cannot_run_it_refuses(page: Any) -> None:
    message = page.evaluate("""async () => {
      const { Transformer } = await import("/static/transformer.js");
      try { new Transformer({ positional_embedding_type: "alibi", attn_only: true, d_head: 4 }, new Map()); }
      catch (error) { return error.message; }
    }""")
    assert "positions are alibi" in message


def test_it_refuses_tokens_and_hooks_that_do_not_exist(page: Any) -> None:
    messages = page.evaluate("""async () => {
      const { Transformer } = await import("/static/transformer.js");
      const model = await Transformer.load("/files/models/mini-gelu-1l");
      const said = [];
      const runs = [[[]], [[600]], [Array(65).fill(1)], [[1], new Map([["blocks.9.hook_z", () => {}]])]];
      for (const [tokens, hooks] of runs) {
        try { model.run(tokens, { hooks }); } catch (error) { said.push(error.message); }
      }
      return said;
    }""")
    assert messages == [
        "the text has no tokens: type something.",
        "600 is not a token of mini-gelu-1l (0 to 511).",
        "the text has 65 tokens for mini-gelu-1l, and it reads at most 64: shorten the text by 1.",
        "no hook point is called blocks.9.hook_z in mini-gelu-1l.",
    ]


def test_damaged_weights_are_refused(page: Any) -> None:
    messages = page.evaluate("""async () => {
      const { readSafetensors } = await import("/static/safetensors.js");
      const bytes = await (await fetch("/files/models/mini-gelu-1l/model.safetensors")).arrayBuffer();
      return [bytes.slice(0, 4), bytes.slice(0, 100), bytes.slice(0, bytes.byteLength - 8)].map((part) => {
        try { readSafetensors(part); } catch (error) { return error.message; }
      });
    }""")
    assert "at least 8 bytes" in messages[0]
    assert "truncated or damaged" in messages[1]
    assert "truncated" in messages[2]


# Tokenizers -----------------------------------------------------------------------------------------

TEXTS = [
    "Hello world", "  two  spaces\n\n\tand tabs ", "emoji 👩‍👩‍👧 🎉 naïve", "שלום עולם", "a<|bos|>b", "it's we'll I'd",
    "x=1;\nif x:\n    return 12345", " On Monday morning Mary and John", "\u00a0nbsp\u2028line", "ﷺ½Ⅳ²", "  ", "�",
    "def f(x):\n    return x\n" * 1_000, "a" * 5_000,  # a page must not stand still while somebody pastes a file
]  # fmt: skip


def random_texts(n: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    ranges = [(32, 127), (32, 127), (128, 0x2FFF), (0x1F300, 0x1F6FF)]
    return ["".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(24)) for _ in range(n)]


@pytest.mark.parametrize("name", ["mini-gelu-2l", "ioi-twin"])
def test_tokenizers_agree(page: Any, name: str) -> None:
    texts = TEXTS + random_texts(100, seed=3)
    found = page.evaluate(
        """async ([name, texts]) => {
          const { Tokenizer } = await import("/static/tokenizer.js");
          const read = async (file) => (await fetch(`/files/models/${name}/${file}`)).json();
          const tokenizer = new Tokenizer(await read("tokenizer.json"), await read("tokenizer_config.json"));
          return texts.map((text) => {
            const ids = tokenizer.encode(text);
            return [ids, tokenizer.strings(ids), tokenizer.decode(ids)];
          });
        }""",
        [name, texts],
    )
    model = ms.load_model(name)
    for text, (ids, strings, decoded) in zip(texts, found, strict=True):
        expected = model.to_tokens(text, prepend_bos=False, truncate=False)[0]
        assert ids == expected.tolist(), text
        assert strings == model.to_str_tokens(expected), text
        assert decoded == model.to_string(expected), text


def test_tokens_are_shown_as_in_python(page: Any) -> None:
    tokens = [
        " of",
        "of",
        "\n\n",
        "\t",
        "\u200b",
        "\u00a0x",
        "\u2028",
        "\x07",
        "naïve",
        "🎉",
        "\U000e0001",
        "\\",
    ]
    found = page.evaluate(
        "async (tokens) => { const { visible } = await import('/static/tokens.js'); return tokens.map(visible); }",
        tokens,
    )
    assert found == [visible_token(token) for token in tokens]


def test_the_colours_are_those_of_the_house_style(page: Any) -> None:
    from mechscope.viz.palette import DARK_PALETTE, LIGHT_PALETTE

    found = page.evaluate("async () => (await import('/static/colours.js')).SCALES")
    for name, palette in (("light", LIGHT_PALETTE), ("dark", DARK_PALETTE)):
        assert found[name] == {"sequential": [*palette.sequential], "diverging": [*palette.diverging]}

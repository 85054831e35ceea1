"""Reading techniques on padded tokens give what they give of each text alone.

Models are in float64, so that what differs is the reading and not the last digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch

from mechscope import tasks
from mechscope.head_detector import detect_head
from mechscope.model.token_batch import Tokens
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.positions import named_positions
from mechscope.techniques._ablation_values import AblationValues
from mechscope.techniques.attention_statistics import MEASURES, attention_statistics, norm_weighted_attention
from mechscope.techniques.head_detectors import detect_heads
from mechscope.techniques.logit_lens import logit_lens
from mechscope.techniques.probing import linear_probe
from mechscope.techniques.steering import steered, steering_curve, steering_vector
from tests.model.letters import Letters
from tests.model.tiny import tiny_model
from tests.techniques.every_technique import CALLS, D_VOCAB, LENGTH, numbers_of, small_model

TEXTS = ["^abab^", "^xyzxyzxy", "cdcd", "^^a^b^a"]
SIDES: tuple[Literal["left", "right", "between"], ...] = ("left", "right", "between")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
Read = Callable[..., Any]


def model_of(variant: str = "plain") -> HookedTransformer:
    model = tiny_model(variant, dtype=torch.float64, n_ctx=24)
    model.set_tokenizer(Letters(apart=False))
    model.cfg.default_prepend_bos = False
    return model


def padded(model: HookedTransformer, side: str, texts: list[str]) -> Tokens:
    """The texts as one batch; "between" puts one position of padding after each row's second token."""
    if side != "between":
        return model.to_tokens(texts, padding_side=side)  # type: ignore[arg-type]
    tokens = model.to_tokens(texts)
    hole = Tokens(torch.full((len(texts), 1), 7), torch.zeros(len(texts), 1))
    return torch.cat([tokens[:, :2], hole, tokens[:, 2:]], 1)  # type: ignore[return-value]


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["Tokens", "attention_mask"])
def read(request: pytest.FixtureRequest) -> Read:
    """Calls a technique with tokens that know their padding, or with plain ids and a mask beside them."""

    def call(technique: Read, model: HookedTransformer, tokens: Tokens, *args: Any, **kwargs: Any) -> Any:
        if request.param == "Tokens":
            return technique(model, tokens, *args, **kwargs)
        return technique(model, tokens.ids, *args, attention_mask=tokens.is_real.long(), **kwargs)

    return call


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("variant", ["plain", "alibi", "rotary"])
def test_head_detectors(side: str, read: Read, variant: str) -> None:
    model = model_of(variant)
    tokens = padded(model, side, TEXTS)
    patterns = ("previous", "duplicate", "induction", "first", "same")
    found = read(detect_heads, model, tokens, patterns).scores.values
    for pattern in patterns:
        # The mean over queries that have such a key: each text's mean, weighted by how many it has.
        total, queries = 0.0, 0
        for text in TEXTS:
            alone = model.to_tokens(text)
            target = {
                "previous": lambda t: torch.tensor(
                    [[i == j + 1 and i > 1 for j in range(len(t))] for i in range(len(t))]
                ),
                "first": lambda t: torch.tensor(
                    [[j == 0 and i > 0 for j in range(len(t))] for i in range(len(t))]
                ),
                "same": lambda t: torch.tensor(
                    [[i == j and i > 0 for j in range(len(t))] for i in range(len(t))]
                ),
                "duplicate": lambda t: torch.tensor(
                    [[j < i and t[i] == t[j] for j in range(len(t))] for i in range(len(t))]
                ),
                "induction": lambda t: torch.tensor(
                    [[0 < j < i and t[i] == t[j - 1] for j in range(len(t))] for i in range(len(t))]
                ),
            }[pattern](alone[0].tolist())
            _, cache = model.run_with_cache(alone)
            attention = torch.stack([cache["pattern", layer][0] for layer in range(model.cfg.n_layers)])
            total = total + (attention * target).sum((-1, -2))
            queries += int(target.any(-1).sum())
        close(found.sel(label=pattern), (total / queries).detach())


def test_the_classic_head_detector(side: str) -> None:
    model = model_of()
    texts = [text for text in TEXTS if text != "cdcd"]
    found = detect_head(model, padded(model, side, texts), "previous_token_head")
    alone = [detect_head(model, text, "previous_token_head") for text in texts]
    close(found, torch.stack(alone).mean(0))


def test_attention_statistics(side: str, read: Read) -> None:
    model = model_of()
    found = read(attention_statistics, model, padded(model, side, TEXTS))
    alone = [attention_statistics(model, text) for text in TEXTS]
    weights = [len(model.to_tokens(text)[0]) - 1 for text in TEXTS]
    for measure in MEASURES:
        expected = sum(
            weight * getattr(one, measure).values.values for weight, one in zip(weights, alone, strict=True)
        ) / sum(weights)
        close(getattr(found, measure).values, expected)
    for example, text in enumerate(TEXTS):
        found = read(norm_weighted_attention, model, padded(model, side, TEXTS), 1, 2, example=example)
        close(found.values, norm_weighted_attention(model, text, 1, 2).values)


def test_logit_lens(side: str, read: Read) -> None:
    model = model_of("rotary")
    tokens = padded(model, side, TEXTS)
    lens = read(logit_lens, model, tokens, average=False, progress=False)
    for row, text in enumerate(TEXTS):
        alone = logit_lens(model, text, average=False, progress=False)
        real = tokens.is_real[row].numpy()
        for measure in ("logit", "probability", "rank", "kl"):
            values = getattr(lens, measure).values.values[row]
            close(values[:, real], getattr(alone, measure).values.values[0])
            assert np.isnan(values[:, ~real]).all()
        assert lens.figure(row).data[0].z.shape == alone.figure().data[0].z.shape
        assert [label for label in lens.labels[row] if label] == list(alone.labels[0])


def test_steering_vector(side: str, read: Read) -> None:
    model = model_of()
    good, bad = TEXTS[:2], TEXTS[2:]

    def stream(text: str, position: int) -> torch.Tensor:
        return model.run_with_cache(text)[1]["resid_pre", 1][0, position].detach()

    for positions in (-1, 0, 1, [-1, -2]):
        several = positions if isinstance(positions, list) else [positions]
        means = [
            torch.stack([stream(text, pos) for text in texts for pos in several]).mean(0)
            for texts in (good, bad)
        ]
        if positions == 0:  # some begin with ^, some do not
            assert not torch.equal(*means)
        negative = padded(model, side, bad)
        if read.__closure__ and "attention_mask" in str(read.__closure__[0].cell_contents.param):
            found = read(
                steering_vector,
                model,
                padded(model, side, good),
                negative.ids,
                layer=1,
                positions=positions,
                negative_mask=negative.is_real,
            )
        else:
            found = steering_vector(model, padded(model, side, good), negative, layer=1, positions=positions)
        close(found, means[0] - means[1])
    with pytest.raises(ValueError, match="shortest prompt"):
        steering_vector(model, padded(model, side, good), padded(model, side, bad), layer=1, positions=5)


def test_steering_reads_text_without_its_padding(side: str) -> None:
    model = model_of()
    clean = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    task = tasks.from_tokens(clean, clean.flip(1), correct=[9, 10], wrong=[11, 12])
    vector = torch.linspace(-1, 1, model.cfg.d_model, dtype=torch.float64)
    together = padded(model, side, TEXTS)

    def perplexity(text: torch.Tensor) -> np.ndarray:
        curve = steering_curve(model, task, vector, 1, [0.0, 1.0], text=text, n_random=1, progress=False)
        return curve.perplexity.values.values

    alone = [model.to_tokens(text) for text in TEXTS]
    counts = [tokens.shape[1] - 1 for tokens in alone]
    losses = [np.log(perplexity(tokens)) for tokens in alone]
    close(
        np.log(perplexity(together)),
        sum(count * loss for count, loss in zip(counts, losses, strict=True)) / sum(counts),
    )


def test_steering_while_generating(side: str) -> None:
    model = model_of("rotary")
    vector = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    options: dict[str, Any] = {"do_sample": False, "stop_at_eos": False, "verbose": False}
    with steered(model, vector, 1, 2.0):
        made = model.generate(padded(model, side, TEXTS), 4, **options)[:, -4:]
        alone = [model.generate(model.to_tokens(text), 4, **options)[0, -4:] for text in TEXTS]
    assert torch.equal(made, torch.stack(alone))


def test_probes(side: str, read: Read) -> None:
    model = model_of()
    generator = torch.Generator().manual_seed(2)
    texts = [
        "".join(LETTERS[i] for i in torch.randint(0, 26, (int(size),), generator=generator))
        for size in torch.randint(4, 9, (24,), generator=generator)
    ]
    labels = ["vowel" if text[-1] in "aeiouxyz" else "other" for text in texts]
    options: dict[str, Any] = {"positions": [-1, 1], "seeds": (0,), "progress": False, "control": False}
    tokens = padded(model, side, texts)
    found = read(linear_probe, model, tokens, labels, **options)
    # The same examples, each brought to one length by hand: activations at the two positions of every text alone.
    rows = [model.run_with_cache(text)[1]["resid_post", 1][0] for text in texts]
    last = torch.stack([row[-1] for row in rows])

    def at_last(resid: torch.Tensor, hook: Any) -> None:
        where = tokens.is_real.long().cumsum(1).argmax(1)
        torch.testing.assert_close(resid[torch.arange(len(resid)), where], last)

    model.run_with_hooks(tokens, fwd_hooks=[("blocks.1.hook_resid_post", at_last)])
    assert found.scores.values.shape == (3, 2)
    if side == "right":
        return
    again = linear_probe(model, padded(model, "right", texts), labels, **options)
    close(found.scores.values, again.scores.values)
    with pytest.raises(ValueError, match="different lengths"):
        linear_probe(model, tokens, labels, positions="all", progress=False)


def test_labels_of_padding_are_ignored() -> None:
    model = model_of()
    generator = torch.Generator().manual_seed(5)
    texts = [
        "".join(LETTERS[i] for i in torch.randint(0, 26, (4 + n % 3,), generator=generator))
        for n in range(32)
    ]
    tokens = padded(model, "left", texts)
    labels = np.where(tokens.ids.numpy() % 2 == 0, "even", "odd").astype(object)
    labels[~tokens.is_real.numpy()] = "padding"
    found = linear_probe(model, tokens, labels, positions=[-1, -2], seeds=(0,), progress=False)
    assert set(found.directions.values.coords["class"].values) <= {"even", "odd"}


def test_tasks_of_padded_tokens(side: str) -> None:
    model = model_of("rotary")
    clean, corrupted = ["^abab", "^xyzxyz"], ["^abcb", "^xyzzyz"]
    made = tasks.from_tokens(
        padded(model, side, clean), padded(model, side, corrupted), [1, 24], [2, 25], positions={"second": 1}
    )
    alone = [
        tasks.from_tokens(model.to_tokens(one), model.to_tokens(two), [right], [wrong]).baselines(model)
        for one, two, right, wrong in zip(clean, corrupted, [1, 24], [2, 25], strict=True)
    ]
    found = made.baselines(model)
    close(found.clean, torch.cat([one.clean for one in alone]))
    close(found.corrupted, torch.cat([one.corrupted for one in alone]))
    assert made.positions["end"].tolist() == [4, 6]
    with pytest.raises(ValueError, match="same length"):
        tasks.from_tokens(
            padded(model, side, clean), padded(model, side, ["^abc", "^xyzzyz"]), [1, 24], [2, 25]
        )
    values = AblationValues(model, made, "mean", reference=padded(model, side, TEXTS))
    rows = torch.cat([model.run_with_cache(text)[1]["z", 1][0] for text in TEXTS])
    close(values.value("blocks.1.attn.hook_z", None)[0, 0], rows.mean(0).detach())


def test_a_task_in_a_model_that_pads_on_the_left() -> None:
    """Prompts that begin with the padding token are real from the first position on."""
    model = model_of()
    clean = torch.tensor([[0, 3, 4], [0, 5, 6]])
    task = tasks.from_tokens(clean, clean + 1, correct=[1, 2], wrong=[3, 4])
    expected = task.baselines(model).clean
    model.default_padding_side = "left"
    close(task.baselines(model).clean, expected)
    with pytest.raises(ValueError, match="knows its own padding"):
        logit_lens(model, task, attention_mask=torch.ones_like(clean))


def prompts_padded_with(filler: int) -> tasks.Task:
    """Random prompts of four to seven tokens; the same for every filler except for the padding's ids."""
    lengths = torch.tensor([7, 5, 6, 7, 4, 7, 5, 6])
    mask = torch.arange(LENGTH) < lengths[:, None]
    clean = torch.randint(0, D_VOCAB, mask.shape, generator=torch.Generator().manual_seed(0))
    corrupted = clean.clone()
    corrupted[:, 2:] = (corrupted[:, 2:] + 7) % D_VOCAB
    rows = [Tokens(each.masked_fill(~mask, filler), mask) for each in (clean, corrupted)]
    return tasks.from_tokens(*rows, correct=list(range(8)), wrong=list(range(8, 16)))


READ_NO_TOKENS = {
    "composition_scores",
    "copying_scores",
    "embedding_spectrum, gini",
    "fourier_spectrum, fourier_basis",
    "full_circuit",
    "head_scores",
    "key_frequencies",
    "neuron_frequencies",
    "neuron_tokens",
    "singular_directions",
    "top_token_pairs",
    "value_norms",
}


@pytest.mark.parametrize("name", sorted(set(CALLS) - READ_NO_TOKENS))
def test_ids_of_padding_change_nothing(name: str) -> None:
    model = small_model(dtype=torch.float64)
    if name in ("causal_scrubbing", "direct_logit_attribution"):
        with pytest.raises(ValueError, match="prompts"):
            CALLS[name](model, prompts_padded_with(0))
        return
    found, again = (dict(read_numbers(CALLS[name](model, prompts_padded_with(each)))) for each in (0, 13))
    assert found.keys() == again.keys()
    assert found
    for where, values in found.items():
        np.testing.assert_allclose(again[where], values, rtol=1e-9, atol=1e-11, err_msg=where)


def read_numbers(found: Any) -> list[tuple[str, np.ndarray]]:
    return [(where, values) for where, values, _ in numbers_of(found)]


def test_numbered_positions_of_a_task_count_real_tokens() -> None:
    task, model = prompts_padded_with(0), small_model(dtype=torch.float64)
    lengths = task.lengths
    assert lengths is not None
    last = named_positions(task, -1)[0].pos
    assert torch.equal(torch.as_tensor(last), lengths - 1)
    close(steering_vector(model, task, layer=1, positions=-1), steering_vector(model, task, layer=1))
    with pytest.raises(ValueError, match="outside 0 to 3, the tokens of the shortest prompt"):
        steering_vector(model, task, layer=1, positions=4)


def test_top_tokens_at_padding() -> None:
    model = model_of()
    tokens = padded(model, "left", TEXTS)
    lens = logit_lens(model, tokens, progress=False)
    padding = ~tokens.is_real
    assert (lens.top_tokens.movedim(1, 2)[padding] == -1).all()
    assert np.isnan(lens.top_probability.values.values.swapaxes(1, 2)[padding.numpy()]).all()
    assert (lens.top_tokens.movedim(1, 2)[~padding] >= 0).all()
    assert [text == "" for text in lens.top_texts[2][0]] == padding[2].tolist()

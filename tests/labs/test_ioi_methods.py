"""Step 04's measures against hand-computed cases, brute force, and a circuit that was planted."""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch

from mechscope import tasks
from mechscope.data.word_tokenizer import text_pieces, word_tokenizer
from mechscope.labs.ioi import NoCircuitError, Stories, dissect, published_measures
from mechscope.labs.ioi.attention_and_copying import (
    ATTENTION_PATHS,
    attention_between,
    copy_scores,
    projections,
)
from mechscope.labs.ioi.automatic import acdc_edge_auc, correlation
from mechscope.labs.ioi.behaviour import baseline_accuracies, describe
from mechscope.labs.ioi.claims import PUBLISHED
from mechscope.labs.ioi.config import IOIConfig
from mechscope.labs.ioi.gpt2 import gpt2_measures, name_tokens, which_words
from mechscope.labs.ioi.heads import (
    CLASS_POSITION,
    GPT2_CLASSES,
    every_head,
    head_of,
    in_words,
    naive_circuit,
    node_of,
    positions_of,
)
from mechscope.labs.ioi.judging import Nulls, draw_nulls, judge
from mechscope.labs.ioi.mean_ablation import MeanAblation
from mechscope.labs.ioi.planted_circuit import plant, planted_classes, planted_task, recover
from mechscope.labs.ioi.published import acdc_measures, drawn_circuit, strongest
from mechscope.labs.ioi.stories import Mixture
from mechscope.labs.ioi.trace import trace_back
from mechscope.labs.ioi.twin_training import TwinConfig
from mechscope.model.transformer import HookedTransformer
from mechscope.results import Provenance, make_result
from mechscope.tasks.ioi_words import get_ioi_words
from mechscope.techniques.ablation import ablation


def small_model(seed: int = 0, **changes) -> HookedTransformer:
    stories = Stories()
    shape = {"n_layers": 2, "d_model": 24, "d_head": 6, "n_heads": 4, "n_ctx": 48, "attn_only": True}
    model = HookedTransformer({"d_vocab": len(stories.tokenizer), **shape, "seed": seed, **changes})
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += 0.15 * torch.randn(parameter.shape, generator=generator)
    if model.cfg.d_vocab == len(stories.tokenizer):
        model.set_tokenizer(stories.tokenizer)
    return model


# Heads ----------------------------------------------------------------------------------------------


def test_the_published_heads_are_26_and_each_has_a_place() -> None:
    heads = every_head(GPT2_CLASSES)
    assert len(heads) == len(set(heads)) == 26
    assert [len(members) for members in GPT2_CLASSES.values()] == [3, 8, 2, 4, 4, 3, 2]
    assert all(0 <= layer < 12 and 0 <= head < 12 for layer, head in heads)
    assert set(CLASS_POSITION.values()) == {"end", "S2", "S1+1"}
    assert positions_of(GPT2_CLASSES)[9, 6] == "end"
    assert positions_of(GPT2_CLASSES)[5, 5] == "S2"
    assert positions_of(GPT2_CLASSES)[4, 11] == "S1+1"


def test_the_naive_circuit_has_13_heads_and_no_backups() -> None:
    naive = naive_circuit(GPT2_CLASSES)
    assert len(naive) == 13
    assert not {*naive} & {*GPT2_CLASSES["backup name mover"], *GPT2_CLASSES["negative name mover"]}
    assert {(5, 5), (6, 9), (0, 1), (3, 0), (2, 2), (4, 11)} <= {*naive}


@pytest.mark.parametrize("head", [(0, 1), (9, 6), (11, 10)])
def test_names_of_heads_go_there_and_back(head: tuple[int, int]) -> None:
    assert head_of(node_of(head)) == head
    assert in_words([head]) == f"{head[0]}.{head[1]}"
    assert in_words([]) == "none"


def test_the_published_circuit_goes_forwards_only() -> None:
    cfg = {
        "n_layers": 12,
        "n_heads": 12,
        "d_head": 2,
        "d_model": 24,
        "d_vocab": 20,
        "n_ctx": 8,
        "attn_only": True,
    }
    circuit = drawn_circuit(HookedTransformer(cfg))
    edges = circuit.edges()
    # 3 name movers, 8 backups, 2 negative heads write to the logits.
    assert sum(edge.endswith("->logits") for edge in edges) == 13
    assert "a8.h6->a9.h9<q>" in circuit
    assert "a4.h11->a5.h5<k>" in circuit
    assert all(
        head_of(edge.split("->")[0])[0] < head_of(edge.split("->")[1][:-3])[0]
        for edge in edges
        if "logits" not in edge
    )


# Stories --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 3])
def test_a_story_says_io_once_before_the_end_and_s_twice(seed: int) -> None:
    stories = Stories()
    tokens = {stories.tokenizer.encode("x " + name)[-1]: name for name in stories.words.names}
    batch = stories.batch(200, seed)
    two = 0
    orders: Counter[tuple[str, ...]] = Counter()
    for row, length, answer in zip(batch.tokens, batch.lengths, batch.answers, strict=True):
        story = row[:length].tolist()
        said = [tokens[token] for token in story[: int(answer)] if token in tokens]
        if story[int(answer)] not in tokens or len(said) != 3:
            continue
        io = tokens[story[int(answer)]]
        assert stories.tokenizer.decode(story[int(answer) - 1 : int(answer)]) == " to"
        assert said.count(io) == 1
        (s,) = {*said} - {io}
        assert said.count(s) == 2
        assert (io, s) not in stories.strangers
        orders[tuple("IO" if name == io else "S" for name in said)] += 1
        two += 1
    assert two > 100
    assert len(orders) == 3
    assert min(orders.values()) > two / 5


@pytest.mark.parametrize("seed", [0, 5])
def test_in_a_crowd_all_but_io_are_said_twice(seed: int) -> None:
    stories = Stories()
    tokens = dict(zip(stories.name_tokens, stories.words.names, strict=True))
    batch = stories.batch(300, seed, Mixture(alone=0, roll_call=0, crowd=1))
    sizes: Counter[int] = Counter()
    for row, length, answer in zip(batch.tokens, batch.lengths, batch.answers, strict=True):
        story = row[:length].tolist()
        said = Counter(tokens[token] for token in story[: int(answer)] if token in tokens)
        assert story[int(answer) - 1] == stories.cue
        assert [name for name, count in said.items() if count == 1] == [tokens[story[int(answer)]]]
        assert not any((one, other) in stories.strangers for one in said for other in said)
        sizes[len(said)] += 1
    assert set(sizes) == {2, 3, 4}
    assert int(batch.lengths.max()) <= TwinConfig().n_ctx


def test_stories_are_those_of_their_seed() -> None:
    stories = Stories()
    one, again, other = (stories.batch(16, seed).tokens for seed in (1, 1, 2))
    assert one.equal(again)
    assert one.shape != other.shape or not one.equal(other)


def test_no_template_is_ever_seen() -> None:
    stories = Stories()
    batch = stories.batch(300, 0)
    texts = [
        stories.tokenizer.decode(row[:length].tolist())
        for row, length in zip(batch.tokens, batch.lengths, strict=True)
    ]
    pieces = [text.split("[IO]")[1].split("[")[0].strip() for text in stories.words.templates]
    pieces = [piece for piece in pieces if len(piece.split()) > 3]
    assert len(pieces) > 3
    assert not [text for text in texts for piece in pieces if piece in text]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_task_in_any_order_holds_together(seed: int) -> None:
    stories = Stories()
    task = stories.any_order_task(60, seed)
    rows = torch.arange(60)
    assert task.clean[rows, task.positions["S1"]].equal(task.clean[rows, task.positions["S2"]])
    assert task.clean[rows, task.positions["IO"]].equal(task.answers.correct[:, 0, 0])
    assert task.clean[rows, task.positions["S1"]].equal(task.answers.wrong[:, 0, 0])
    for row in range(60):
        names = {int(task.corrupted[row, task.positions[place][row]]) for place in ("IO", "S1", "S2")}
        assert len(names) == 3
        assert not names & {int(task.answers.correct[row]), int(task.answers.wrong[row])}
    assert (
        len(
            {
                int((task.positions["IO"] > task.positions[name])[row])
                for row in range(60)
                for name in ("S1", "S2")
            }
        )
        == 2
    )


# Rivals ---------------------------------------------------------------------------------------------


def test_rules_about_places_by_hand() -> None:
    stories = Stories()
    task = stories.any_order_task(240, 0)
    found = baseline_accuracies(task, stories.batch(300, 1).tokens, len(stories.tokenizer))
    io, s1, s2 = (task.positions[name] for name in ("IO", "S1", "S2"))
    assert found["last name"] == pytest.approx(100 * float((io > s2).float().mean()))
    assert found["not the last"] == pytest.approx(100 - found["last name"])
    assert found["first name"] == pytest.approx(100 * float((io < s1).float().mean()))
    assert found["second name"] == pytest.approx(100 * float(((io > s1) & (io < s2)).float().mean()))
    assert found["copying"] < 5  # it says what stands there more often
    assert set(found) > {"unigram", "bigram", "skip-trigram", "induction"}


def test_on_plain_ioi_prompts_not_the_last_name_is_always_right() -> None:
    stories = Stories()
    task = tasks.ioi(stories.tokenizer, 32, 0)
    assert (
        baseline_accuracies(task, stories.batch(50, 1).tokens, len(stories.tokenizer))["not the last"] == 100
    )


def test_behaviour_by_hand() -> None:
    task = tasks.ioi(Stories().tokenizer, 4, 0)
    logits = torch.zeros(4, 1, len(Stories().tokenizer))
    rows = torch.arange(4)
    logits[rows, 0, task.answers.correct[:, 0, 0]] = torch.tensor([3.0, 3.0, 3.0, -1.0])
    behaviour = describe(logits, task)
    assert behaviour.logit_difference == pytest.approx(2)
    assert behaviour.accuracy == behaviour.first == 75
    inside = logits.shape[-1] - 1
    expected = (3 * math.exp(3) / (math.exp(3) + inside) + math.exp(-1) / (math.exp(-1) + inside)) / 4
    assert behaviour.probability == pytest.approx(100 * expected, rel=1e-5)


# Mean ablation --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_mean_ablation_of_one_head_is_the_technique_s(seed: int) -> None:
    model = small_model(seed)
    task = tasks.ioi(model, 24, seed)
    runs = MeanAblation(model, task)
    expected = ablation(model, task, "heads", "template_mean", normalize=False, progress=False).values.values
    for head in ((0, 1), (1, 3)):
        assert float(runs.score(runs.without_heads([head])).mean()) == pytest.approx(expected[head], abs=1e-5)


def test_all_at_work_is_the_model_and_none_is_the_template() -> None:
    model = small_model()
    task = tasks.ioi(model, 16, 0)
    runs = MeanAblation(model, task)
    clean = task.baselines(model).clean
    assert torch.allclose(runs.score(runs.nothing_ablated()), clean, atol=1e-5)
    assert runs.share({}) != pytest.approx(1, abs=1e-3)
    everything = runs.all_but({})
    assert everything.all()
    one = {(1, 2): "end"}
    assert (runs.only(one) | runs.all_but(one)).all()
    assert int(runs.only(one).sum()) == task.n_examples


def test_a_head_at_its_position_only() -> None:
    """By hand: z replaced everywhere but at one head and position."""
    model = small_model(2)
    task = tasks.ioi(model, 8, 0, templates=0, order="BABA")
    runs = MeanAblation(model, task)
    _, corrupted = model.run_with_cache(task.corrupted)
    means = [corrupted[f"blocks.{layer}.attn.hook_z"].mean(0) for layer in range(2)]
    s2 = int(task.positions["S2"][0])

    def put(layer: int):
        def hook(z: torch.Tensor, hook) -> torch.Tensor:
            new = means[layer].expand_as(z).clone()
            if layer == 0:
                new[:, s2, 1] = z[:, s2, 1]
            return new

        return hook

    with torch.no_grad():
        logits = model.run_with_hooks(
            task.clean, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", put(layer)) for layer in range(2)]
        )
    expected = task.measure(logits[:, -1:])
    assert torch.allclose(runs.score(runs.only({(0, 1): "S2"})), expected, atol=1e-5)


# Reading --------------------------------------------------------------------------------------------


def test_attention_between_positions_is_read_off_the_pattern() -> None:
    model = small_model(1, dtype=torch.float64)
    task = tasks.ioi(model, 12, 0)
    found = attention_between(model, task).values
    _, cache = model.run_with_cache(task.clean, attention_mask=task.attention_mask)
    rows = torch.arange(12)
    for query, key in ATTENTION_PATHS:
        pattern = cache["blocks.1.attn.hook_pattern"][rows, :, task.positions[query], task.positions[key]]
        read = found.sel(label=f"{query} to {key}").values[1]
        assert np.allclose(read, pattern.mean(0).detach().numpy(), atol=1e-12)


def test_a_head_that_copies_and_one_that_does_the_opposite() -> None:
    model = small_model(0, d_head=24, n_heads=2, n_layers=1)
    eye = torch.eye(24)
    attn = model.blocks[0].attn
    attn.W_V.data[:] = eye
    attn.W_O.data[0], attn.W_O.data[1] = eye, -eye
    model.unembed.W_U.data[:] = model.W_E.data.T
    names = name_tokens(model)
    assert copy_scores(model, names).values.values[0].tolist() == [1, 0]
    assert copy_scores(model, names, sign=-1).values.values[0].tolist() == [0, 1]


def test_projections_of_a_model_without_norms_by_hand() -> None:
    planted = plant(1)
    task = planted_task(planted, 10, 1)
    (mover,) = planted_classes(planted)["name mover"]
    found = projections(planted.model, task, [mover])
    assert found.attention.shape == found.written.shape == (1, 10, 2)
    assert float(found.attention[..., 0].min()) > 0.9  # IO
    assert float(found.attention[..., 1].max()) < 0.1  # S
    assert found.correlation() > 0.99


# Judging --------------------------------------------------------------------------------------------


def test_nulls_that_are_as_good_by_hand() -> None:
    assert Nulls.as_good([0.9, 1.2, 0.5, 1.05], 0.85) == 0.5
    assert Nulls.as_good([1.0], 0.5) == 1
    assert math.isnan(Nulls.as_good([], 0.9))


def test_nulls_are_never_the_circuit_itself() -> None:
    model = small_model(0)
    runs = MeanAblation(model, tasks.ioi(model, 8, 0))
    whole = {(layer, head): "end" for layer in range(2) for head in range(4)}
    assert draw_nulls(runs, whole, 3, random.Random(0)) == Nulls((), ())
    some = draw_nulls(runs, {(0, 0): "end", (1, 1): "S2"}, 3, random.Random(0))
    assert len(some.random) == len(some.matched) == 3


def test_a_planted_circuit_is_faithful_minimal_and_complete() -> None:
    planted = plant(0)
    runs = MeanAblation(planted.model, planted_task(planted, 60, 5))
    classes = planted_classes(planted)
    judgement = judge(runs, classes, positions_of(classes), 5, 0)
    assert judgement.faithfulness == pytest.approx(1, abs=0.02)
    assert abs(judgement.nothing) < 0.05
    assert judgement.needed == 1
    assert judgement.most_incomplete < 0.1
    assert max(judgement.nulls.random) < 0.5
    assert judgement.knocked_out["name mover"] == pytest.approx(1, abs=0.05)
    assert abs(judgement.null_knocked_out["name mover"]) < 0.05
    with pytest.raises(ValueError, match="no heads"):
        judge(runs, {}, {}, 5, 0)


def test_correlation_by_hand() -> None:
    assert correlation(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])) == pytest.approx(1)
    assert math.isnan(correlation(np.array([1.0, 1, 1]), np.array([2.0, 4, 6])))


def test_strongest_of_one_sign() -> None:
    effects = make_result([[0.5, -0.9], [0.1, 0.7]], ("layer", "head"), "t", "u", Provenance("m", "t"))
    assert strongest(effects, 2) == [(1, 1), (0, 0)]
    assert strongest(effects, 2, sign=-1) == [(0, 1)]


# The planted circuit --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_a_planted_circuit_is_recovered_exactly(seed: int) -> None:
    recovery = recover(seed, 32, 0.05)
    assert len(recovery.true_edges) == 8
    assert recovery.found_edges == recovery.true_edges
    assert recovery.found_heads == recovery.true_heads
    assert recovery.exact
    assert not dataclasses.replace(recovery, found_edges=frozenset([*recovery.true_edges, "x->y"])).exact


def test_the_gpt2_measures_come_out_right_where_the_truth_is_known() -> None:
    planted = plant(2)
    names = [number for number, word in enumerate(planted.vocabulary) if word[:1].isupper() and number]
    found = published_measures(
        planted.model,
        planted_task(planted, 32, 2),
        planted_task(planted, 64, 3),
        names,
        classes=planted_classes(planted),
        draws=4,
    )
    assert found["movers_found"] == 1
    assert found["accuracy"] == found["mover_copy"] == 100
    assert found["mover_attention"] > 0.95
    assert found["inhibition_attention"] > 0.95
    assert found["attention_projection"] > 0.99
    assert found["movers_lost"] == pytest.approx(100, abs=5)
    assert found["faithfulness"] == pytest.approx(100, abs=2)
    assert found["naive_gap"] < 2  # the naive circuit is the whole one
    assert found["needed_heads"] == 3
    assert found["discovery_auc"] == 1
    true = acdc_edge_auc(
        planted.model,
        planted_task(planted, 8, 0),
        trace_back(planted.model, planted_task(planted, 32, 0), 0.05).circuit,
        [0.05, 0.5],
    )
    assert true > 0.95


# GPT-2's way, without its weights -------------------------------------------------------------------

SMALL = IOIConfig(gpt2_prompts=2, gpt2_judged_prompts=6, null_draws=1)


def in_gpt2_shape(seed: int = 0, **changes) -> HookedTransformer:
    shape = {
        "n_layers": 12,
        "n_heads": 12,
        "d_model": 24,
        "d_head": 2,
        "d_mlp": 16,
        "n_ctx": 48,
        "attn_only": False,
        "act_fn": "gelu_new",
    }
    # The GPT-2 pipeline draws the published words where the data folder has them.
    pieces = {*tasks.vocabulary("ioi"), *text_pieces(get_ioi_words(which_words()).texts())}
    tokenizer = word_tokenizer(sorted(pieces))
    model = small_model(seed, **{**shape, "d_vocab": len(tokenizer), **changes})
    model.set_tokenizer(tokenizer)
    return model


def verdicts(found: dict[str, float]) -> dict[str, bool]:
    measures = {f"gpt2_{name}": value for name, value in found.items()}
    measures |= {"gpt2_acdc_greater_than": float("nan"), "gpt2_acdc_docstring": float("nan")}
    return {claim.id: all(condition.holds(measures) for condition in claim.conditions) for claim in PUBLISHED}


@pytest.mark.parametrize("seed", [0])
@pytest.mark.slow
def test_random_weights_in_gpt2_s_shape_go_all_the_way_and_fail(seed: int) -> None:
    found = gpt2_measures(in_gpt2_shape(seed), SMALL, seed)
    held = verdicts({**found, "acdc_edge_auc": float("nan")})
    assert not [claim for claim in ("4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.8", "4.13a") if held[claim]]


@pytest.mark.slow
def test_random_weights_of_gpt2_s_full_size_go_all_the_way_and_fail() -> None:
    model = in_gpt2_shape(0, d_model=768, d_head=64, d_mlp=3072)
    held = verdicts({**gpt2_measures(model, SMALL, 0), "acdc_edge_auc": float("nan")})
    assert not [claim for claim in ("4.1", "4.2", "4.3", "4.4", "4.6", "4.13a") if held[claim]]


# Bad input ------------------------------------------------------------------------------------------


def test_models_that_lack_what_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MECHSCOPE_DATA", raising=False)
    model = small_model()
    task = tasks.ioi(model, 8, 0)
    with pytest.raises(ValueError, match=r"heads 9\.9, 10\.0, 9\.6.*2 layers of 4 heads.*gpt2-small"):
        gpt2_measures(model, SMALL, 0)
    with pytest.raises(ValueError, match=r"heads 9\.9"):
        acdc_measures(model, task)
    one_layer = small_model(0, n_layers=1)
    with pytest.raises(
        ValueError, match="1 layer; a circuit of heads that read other heads needs at least two"
    ):
        dissect(one_layer, task, task, [3, 4])
    nameless = dataclasses.replace(task, positions={"end": task.positions["end"]})
    with pytest.raises(ValueError, match=r"no position called IO, S1, S1\+1, S2"):
        dissect(model, nameless, task, [3, 4])
    with pytest.raises(ValueError, match="above 0"):
        trace_back(model, task, 0)
    deaf = in_gpt2_shape()
    deaf.tokenizer = None
    with pytest.raises(ValueError, match="no tokenizer"):
        gpt2_measures(deaf, SMALL, 0)
    few = in_gpt2_shape()
    few.tokenizer = word_tokenizer(["When", " Anna", " Peter"])
    with pytest.raises(ValueError, match="2 of 87 names are one token"):
        gpt2_measures(few, SMALL, 0)


def test_a_model_whose_heads_say_nothing_has_no_circuit() -> None:
    model = small_model(0, attn_only=False, d_mlp=16, act_fn="relu")
    for block in model.blocks:
        block.attn.W_O.data.zero_()
    model.blocks[0].attn.W_O.data.normal_(std=1e-3, generator=torch.Generator().manual_seed(0))
    task = tasks.ioi(model, 16, 0)
    with pytest.raises((NoCircuitError, ValueError), match=r"no head carries|score alike"):
        dissect(model, task, task, name_tokens(model), threshold=3)

from dataclasses import replace

import pytest
import torch

from mechscope.model.transformer import HookedTransformer
from mechscope.recipes.family import corpus as corpus_module
from mechscope.recipes.family import training
from mechscope.recipes.family.batches import repeated_blocks, training_batch
from mechscope.recipes.family.config import FamilyConfig
from mechscope.recipes.family.corpus import Corpus
from mechscope.recipes.family.package_files import shared_tokenizer
from mechscope.recipes.family.training import learning_rate, state_at, train_weights
from mechscope.recipes.registry import KINDS, RECIPES
from mechscope.runs.workspace import Workspace
from mechscope.storage.folders import DATA_VARIABLE

SMALL = FamilyConfig(
    "gelu", 2, d_model=16, d_head=8, n_heads=2, first_steps=5, second_steps=7, first_batch=4, second_batch=16,
    warm_up=3, keep=(0, 6),
)  # fmt: skip


def some_corpus(seed: int, checksum: str = "0" * 16) -> Corpus:
    generator = torch.Generator().manual_seed(seed)
    streams = [
        torch.randint(0, 512, (count,), generator=generator, dtype=torch.int16) for count in (4000, 900)
    ]
    return Corpus(*streams, checksum, "3.0", 1, 1)


def workspace(folder, config, seed):
    return Workspace(config, (seed,), torch.device("cpu"), folder, save_every=0.0)


class StopError(Exception):
    pass


@pytest.mark.parametrize(("kind", "seed", "stop"), [("gelu", 0, 3), ("attn-only", 1, 8), ("solu", 2, 11)])
def test_a_killed_training_resumes_with_equal_losses(tmp_path, monkeypatch, kind, seed, stop):
    config, corpus = replace(SMALL, kind=kind), some_corpus(seed)
    whole = train_weights(workspace(tmp_path / "whole", config, seed), corpus)

    def batch(config, corpus, seed, step, real=training_batch):
        if step == stop:
            raise StopError
        return real(config, corpus, seed, step)

    with monkeypatch.context() as patched:
        patched.setattr(training, "training_batch", batch)
        with pytest.raises(StopError):
            train_weights(workspace(tmp_path / "killed", config, seed), corpus)
    seen = []
    monkeypatch.setattr(training, "training_batch", lambda *a: (seen.append(a[3]), training_batch(*a))[1])
    resumed = train_weights(workspace(tmp_path / "killed", config, seed), corpus)
    assert seen == list(range(stop, config.steps))
    assert torch.equal(whole["losses"], resumed["losses"])
    assert {*whole} == {*resumed}
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_stopped_training_is_not_taken_up_on_another_text(tmp_path):
    train_weights(workspace(tmp_path, SMALL, 0), some_corpus(0))
    other = some_corpus(1, "1" * 16)
    afresh = train_weights(workspace(tmp_path / "afresh", SMALL, 0), other)
    after = train_weights(workspace(tmp_path, SMALL, 0), other)
    assert all(torch.equal(afresh[name], after[name]) for name in afresh)


def test_the_checkpoints_are_the_steps_they_say(tmp_path):
    corpus = some_corpus(4)
    part = train_weights(workspace(tmp_path, SMALL, 4), corpus)
    torch.testing.assert_close(
        state_at(part, 0)["embed.W_E"], HookedTransformer(SMALL.model_config(4)).W_E.data
    )
    assert {name.split(".")[0] for name in part} == {"0", "6", "12", "losses"}
    # The model after 6 steps has the loss that step 6 was taken at.
    model = HookedTransformer.from_state(SMALL.model_config(4), state_at(part, 6))
    with torch.no_grad():
        loss = model(training_batch(SMALL, corpus, 4, 6), return_type="loss")
    torch.testing.assert_close(loss, part["losses"][6])


@pytest.mark.parametrize("step", [0, 1399, 1400, 3000])
def test_every_member_sees_the_same_data_in_the_same_order(step):
    corpus = some_corpus(0)
    members = [RECIPES[f"mini-{kind}-{layers}l"] for kind in KINDS for layers in (1, 4)]
    batches = [training_batch(recipe.config, corpus, recipe.seed, step) for recipe in members]
    assert all(torch.equal(batches[0], other) for other in batches[1:])
    assert not torch.equal(batches[0], training_batch(members[0].config, corpus, members[0].seed + 1, step))


def test_what_a_batch_is_made_of():
    config = FamilyConfig("solu", 1)
    books = torch.arange(1, 500, dtype=torch.int16)
    corpus = Corpus(books, books.flip(0), "", "", 1, 1)
    tokens = training_batch(config, corpus, 0, config.first_steps)
    assert tokens.shape == (config.second_batch, config.n_ctx) and (tokens[:, 0] == 0).all()
    steps = tokens[:, 1:].diff(dim=1)
    # These books count upwards, this code downwards, and blocks do neither.
    counted = [int((steps == step).all(1).sum()) for step in (1, -1)]
    assert counted == [config.second_batch - config.code_rows - config.repeated_rows, config.code_rows]
    assert tokens[:, 1:].min() > 0


@pytest.mark.parametrize("seed", [0, 7])
def test_blocks_come_over_and_over(seed):
    config = FamilyConfig("attn-only", 1)
    tokens = repeated_blocks(config, 200, torch.Generator().manual_seed(seed))[:, 1:]
    lengths = []
    for row in tokens:
        fits = [n for n in range(config.shortest, config.longest + 1) if torch.equal(row[n:], row[:-n])]
        lengths.append(fits[0])
    assert {*lengths} == set(range(config.shortest, config.longest + 1))


def test_the_learning_rate_rises_and_falls():
    config = FamilyConfig("gelu", 1)
    rates = [learning_rate(config, step) for step in range(config.steps)]
    assert rates[0] == pytest.approx(config.learning_rate / config.warm_up)
    assert max(rates) == config.learning_rate and rates[config.steps // 2] == config.learning_rate
    assert 0 < rates[-1] < config.learning_rate / 1000


def test_without_books_it_says_so_before_any_work(monkeypatch, tmp_path):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    assert "set MECHSCOPE_DATA" in (RECIPES["mini-gelu-1l"].missing() or "")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert "classic_books.tar.xz does not exist" in (RECIPES["mini-gelu-1l"].missing() or "")


def test_the_first_phase_is_that_of_the_model_without_neurons(tmp_path):
    config = replace(SMALL, keep=(0, 4, 5, 6))
    part = train_weights(workspace(tmp_path / "gelu", config, 3), some_corpus(3))
    bare = train_weights(workspace(tmp_path / "bare", replace(config, kind="attn-only"), 3), some_corpus(3))
    assert torch.equal(part["losses"][: config.first_steps], bare["losses"][: config.first_steps])
    # The neurons are there at the second phase's first step, say nothing yet, and have learnt after it.
    before, start, after = (state_at(part, step) for step in (4, 5, 6))
    assert not [name for name in before if ".mlp." in name]
    assert all(torch.equal(start[name], value) for name, value in state_at(bare, 5).items())
    assert not start["blocks.1.mlp.W_out"].any() and start["blocks.1.mlp.W_in"].any()
    assert part["losses"][5] == bare["losses"][5] and part["losses"][6] != bare["losses"][6]
    assert after["blocks.1.mlp.W_out"].any()


def test_two_phases_of_one_kind_are_one_training(tmp_path, monkeypatch):
    # In float64: Adam divides a gradient by its size, and so enlarges the rounding of small ones with every step.
    real = FamilyConfig.model_config
    monkeypatch.setattr(
        FamilyConfig, "model_config", lambda self, seed: replace(real(self, seed), dtype=torch.float64)
    )
    corpus = some_corpus(5)
    config = replace(SMALL, kind="attn-only")
    part = train_weights(workspace(tmp_path, config, 5), corpus)
    model = HookedTransformer(config.model_config(5))
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=config.weight_decay)
    for step in range(config.steps):
        optimizer.param_groups[0]["lr"] = learning_rate(config, step)
        loss = model(training_batch(config, corpus, 5, step), return_type="loss")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # Losses are kept in float32.
        torch.testing.assert_close(part["losses"][step], loss.detach().float())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(state_at(part, config.steps)[name], value, atol=1e-10, rtol=0)


def test_a_cache_that_cannot_be_written_to_costs_a_warning(tmp_path, monkeypatch, caplog):
    texts = {"a book": "Call me Ishmael."}, {"a module": "import this\n"}
    monkeypatch.setattr(corpus_module, "training_texts", lambda _: texts)
    (tmp_path / "file").write_text("")
    found = []
    for cache in (tmp_path / "file", tmp_path / "cache", tmp_path / "cache"):
        monkeypatch.setenv("MECHSCOPE_CACHE", str(cache))
        caplog.clear()
        found.append(corpus_module.load_corpus(SMALL, shared_tokenizer()))
        warned = "could not be written" in caplog.text and "continues without it" in caplog.text
        assert warned is (cache.name == "file")
    assert len({one.checksum for one in found}) == 1
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1

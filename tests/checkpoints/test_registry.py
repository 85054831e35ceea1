"""The table of names, the training checkpoints, and what a wrong name is answered."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mechscope.checkpoints import registry
from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.schedules import PYTHIA_STEPS, find_step, schedule_of


@pytest.mark.parametrize(
    ("name", "hub_id"),
    [
        ("gpt2-small", "openai-community/gpt2"),
        ("GPT2", "openai-community/gpt2"),
        ("openai-community/gpt2", "openai-community/gpt2"),
        ("gpt2-xl", "openai-community/gpt2-xl"),
        ("pythia-70m", "EleutherAI/pythia-70m"),
        ("EleutherAI/pythia-70m", "EleutherAI/pythia-70m"),
        ("attn-only-2l", "NeelNanda/Attn_Only_2L512W_C4_Code"),
        ("gelu-1l", "NeelNanda/GELU_1L512W_C4_Code"),
        ("solu-4l", "NeelNanda/SoLU_4L512W_C4_Code"),
        ("tiny-stories-33M", "roneneldan/TinyStories-33M"),
        ("opt-125m", "facebook/opt-125m"),
        ("Llama-2-7b", "meta-llama/Llama-2-7b-hf"),
        ("Llama-3.2-1B", "meta-llama/Llama-3.2-1B"),
        ("gemma-2-2b", "google/gemma-2-2b"),
        ("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B"),
        ("phi-2", "microsoft/phi-2"),
        ("olmo-2-1b", "allenai/OLMo-2-0425-1B"),
        ("gpt-j", "EleutherAI/gpt-j-6b"),
        ("bert-base-uncased", "google-bert/bert-base-uncased"),
    ],
)
def test_names_and_aliases(name: str, hub_id: str):
    entry = registry.lookup(name)
    assert entry is not None
    assert entry.hub_id == hub_id


def test_table_is_well_formed():
    entries = registry.entries()
    assert len({entry.name for entry in entries}) == len(entries) > 100
    assert all(entry.hub_id.count("/") == 1 for entry in entries)
    assert all(entry.name == entry.name.lower() for entry in entries)
    assert registry.model_names()[-len(entries) :] == [entry.name for entry in entries]


def test_unknown_name_is_answered_with_the_nearest():
    assert registry.lookup("gpt2-smal") is None
    with pytest.raises(ValueError, match=r"no model, folder or file named 'gpt2-smal'\. Did you mean gpt2"):
        load_model("gpt2-smal")
    with pytest.raises(ValueError, match="mechscope models"):
        load_model("zzzz-qqqq")
    with pytest.raises(ValueError, match="no model, folder or file"):
        load_model("./owner/name")


def test_names_need_no_torch():
    code = (
        "import sys, mechscope.checkpoints as c; c.model_names(); c.lookup('gpt2'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pythia_schedule():
    assert len(PYTHIA_STEPS) == 154
    assert PYTHIA_STEPS[:12] == (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
    assert PYTHIA_STEPS[-1] == 143_000
    schedule = schedule_of("EleutherAI/pythia-160m-deduped")
    assert schedule is not None
    assert schedule.revision.format(143_000) == "step143000"
    assert find_step(schedule, "pythia", index=-1, value=None) == (153, 143_000)
    assert find_step(schedule, "pythia", index=3, value=None) == (3, 4)
    assert find_step(schedule, "pythia", index=None, value=512) == (10, 512)
    assert schedule_of("openai-community/gpt2") is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"index": 154, "value": None}, "154 checkpoints"),
        ({"index": None, "value": 1500}, "nearest are 1000 and 2000"),
        ({"index": 1, "value": 1}, "not both"),
    ],
)
def test_checkpoints_that_do_not_exist(arguments: dict[str, int | None], said: str):
    schedule = schedule_of("EleutherAI/pythia-70m")
    assert schedule is not None
    with pytest.raises(ValueError, match=said):
        find_step(schedule, "pythia-70m", **arguments)


def test_a_model_without_training_checkpoints_says_so():
    with pytest.raises(ValueError, match="no known schedule"):
        load_model("gpt2", checkpoint_index=0)
    with pytest.raises(ValueError, match="not both"):
        load_model("pythia-70m", checkpoint_index=0, revision="main")

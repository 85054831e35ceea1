"""The work folder: a tree of states, in which neither a kill nor damage loses anything silently."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from mechscope.neuroscope.plan import FORMAT, PLAN, read_plan
from mechscope.neuroscope.state import HarvestState
from mechscope.neuroscope.work_folder import STATES, WorkFolder
from tests.neuroscope.small_harvest import InOrder, small_harvest, write_texts


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[HarvestState]:
    """The states of five shards."""
    folder = tmp_path_factory.mktemp("states")
    kept: list[HarvestState] = []
    commit = WorkFolder.commit

    def keep(work: WorkFolder, index: int, shard: str, state: HarvestState) -> None:
        kept.append(state)
        commit(work, index, shard, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkFolder, "commit", keep)
        small_harvest(folder / "work", write_texts(folder / "texts", files=5), engine=InOrder())
    return kept


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / STATES).iterdir())


def filled(folder: Path, states: list[HarvestState]) -> WorkFolder:
    work = WorkFolder(folder)
    for index, state in enumerate(states):
        work.commit(index, f"shard {index}", state)
    return work


def test_halves_are_merged_only_before_the_first_missing_shard(
    tmp_path: Path, states: list[HarvestState]
) -> None:
    work = filled(tmp_path, states)
    work.compact(0)
    assert len(names(tmp_path)) == 5
    work.compact(3)
    assert names(tmp_path) == [
        *(f"level-00-node-{index:08d}.safetensors" for index in (2, 3, 4)),
        "level-01-node-00000000.safetensors",
    ]
    whole = work.merged(5).to_bytes()
    work.compact(5)
    assert names(tmp_path) == ["level-00-node-00000004.safetensors", "level-02-node-00000000.safetensors"]
    assert work.whole_nodes(1) == work.whole_nodes(4) == 4
    assert work.whole_nodes(5) == 5
    again = WorkFolder(tmp_path)
    assert (
        again.shards
        == work.shards
        == {index: (f"shard {index}", state.tokens) for index, state in enumerate(states)}
    )
    assert again.merged(5).to_bytes() == whole
    assert again.merged(4).tokens == sum(state.tokens for state in states[:4])
    with pytest.raises(ValueError, match="has not all of the first 3 shards"):
        again.merged(3)


def test_a_shard_is_committed_once(tmp_path: Path, states: list[HarvestState]) -> None:
    work = filled(tmp_path, states[:1])
    work.commit(0, "another", states[1])
    assert work.shards == {0: ("shard 0", states[0].tokens)}
    assert work.merged(1).to_bytes() == states[0].to_bytes()


def test_halves_that_a_killed_process_left_are_removed(tmp_path: Path, states: list[HarvestState]) -> None:
    work = filled(tmp_path / "one", states[:4])
    whole = work.merged(4).to_bytes()
    before = {path.name: path.read_bytes() for path in (tmp_path / "one" / STATES).iterdir()}
    work.compact(4)
    for name, data in before.items():
        (tmp_path / "one" / STATES / name).write_bytes(data)
    again = WorkFolder(tmp_path / "one")
    assert names(tmp_path / "one") == ["level-02-node-00000000.safetensors"]
    assert again.merged(4).to_bytes() == whole


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, states: list[HarvestState]) -> None:
    filled(tmp_path, states[:2])
    file = tmp_path / STATES / "level-00-node-00000001.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"node-00000001.safetensors is damaged .* Delete it, and run"):
        WorkFolder(tmp_path)
    file.unlink()
    assert set(WorkFolder(tmp_path).shards) == {0}


def test_a_plan_of_another_version_and_a_damaged_one_are_errors(tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None
    plan = small_harvest(tmp_path / "work", write_texts(tmp_path / "texts", files=1)).plan
    assert read_plan(tmp_path / "work") == plan
    shutil.copytree(tmp_path / "work", tmp_path / "newer")
    dataclasses.replace(plan, format=FORMAT + 1).write(tmp_path / "newer")
    with pytest.raises(ValueError, match=f"has a harvest in the format {FORMAT + 1}, and this version"):
        read_plan(tmp_path / "newer")
    (tmp_path / "work" / PLAN).write_text("{")
    with pytest.raises(ValueError, match=r"not valid JSON.* Choose another folder, or delete this one"):
        read_plan(tmp_path / "work")

"""Several processes: the same bytes as one, workers that die are replaced, and a killed driver's work goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mechscope.neuroscope.engines import processes
from mechscope.neuroscope.engines.engine import WorkerError
from mechscope.neuroscope.engines.processes import Processes
from mechscope.neuroscope.engines.worker import ShardWorker
from mechscope.neuroscope.finished_harvest import read_harvest
from mechscope.neuroscope.opening import OpenedModel
from mechscope.neuroscope.plan import HarvestPlan
from mechscope.neuroscope.shards import Shard
from mechscope.neuroscope.work_folder import WorkFolder
from tests.neuroscope.small_harvest import MODEL, small_harvest, write_texts


class ThreadWorkers:
    """Workers that are threads, which begin at once, and die when they are told to.

    Args:
        dies: (index of a shard, how often) for shards that kill their worker.
    """

    def __init__(self, dies: dict[int, int]) -> None:
        self.dies = dies
        self.started = 0
        self.taken: list[list[int]] = []
        self.opened = OpenedModel.open(MODEL, ("mlp0", "attn0.entropy"), torch.device("cpu"))

    def start(self, context: Any, plan: HarvestPlan) -> Any:
        self.started += 1
        here, there = multiprocessing.Pipe()
        thread = threading.Thread(target=self.work, args=(plan, there, self._taken()), daemon=True)
        thread.start()
        process = SimpleNamespace(join=thread.join, kill=here.close, exitcode=-9)
        return processes._Worker(process, here, deque())

    def _taken(self) -> list[int]:
        self.taken.append([])
        return self.taken[-1]

    def work(self, plan: HarvestPlan, pipe: Any, taken: list[int]) -> None:
        worker = ShardWorker(plan, self.opened)
        while True:
            try:
                shard: Shard = pipe.recv()
                taken.append(shard.index)
                pipe.send(7)
                if self.dies.get(shard.index, 0):
                    self.dies[shard.index] -= 1
                    pipe.close()
                    return
                pipe.send(worker.harvest(shard).to_bytes())
            except (EOFError, OSError):
                return


def with_threads(monkeypatch: pytest.MonkeyPatch, dies: dict[int, int]) -> ThreadWorkers:
    workers = ThreadWorkers(dies)
    monkeypatch.setattr(processes, "_start", workers.start)
    return workers


def test_workers_that_die_are_replaced_and_their_shards_are_done_again(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, reports = with_threads(monkeypatch, {2: 1, 7: 2}), list[str]()
    found = small_harvest(
        tmp_path / "work", write_texts(tmp_path / "texts"), engine=Processes(2), report=reports.append
    )
    assert found.state().to_bytes() == whole
    assert workers.started == 5
    assert [report for report in reports if "shard 7" in report] == [
        "a worker was killed by signal 9; its shard 7 is harvested again."
    ] * 2
    assert len(reports) == 3


def test_a_shard_that_kills_every_worker_ends_the_harvest_and_keeps_the_others(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_threads(monkeypatch, {5: 3})
    with pytest.raises(
        WorkerError, match=r"the worker of shard 5 \(documents 05.txt to 05.txt\) died 3 times"
    ):
        small_harvest(tmp_path / "work", write_texts(tmp_path / "texts"), engine=Processes(1))
    assert set(WorkFolder(tmp_path / "work").shards) == {0, 1, 2, 3, 4}
    assert small_harvest(tmp_path / "work", tmp_path / "texts").state().to_bytes() == whole


def test_no_more_workers_are_started_than_there_are_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = with_threads(monkeypatch, {})
    small_harvest(tmp_path / "work", write_texts(tmp_path / "texts", files=3), engine=Processes(8))
    assert sorted(workers.taken) == [[0], [1], [2]]


def test_what_a_worker_says_of_its_failure_is_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = with_threads(monkeypatch, {})

    def fail(plan: HarvestPlan, pipe: Any, taken: list[int]) -> None:
        # The worker's own function, with a model that is not there.
        monkeypatch.setattr(processes, "die_with_parent", lambda: None)
        monkeypatch.setattr(processes.signal, "signal", lambda number, action: None)
        processes._work(plan.__class__(**{**vars(plan), "weights": "0" * 16}), pipe)

    monkeypatch.setattr(workers, "work", fail)
    with pytest.raises(WorkerError, match=f"a worker failed: {MODEL} has other weights here"):
        small_harvest(tmp_path / "work", write_texts(tmp_path / "texts", files=1), engine=Processes(1))


@pytest.mark.slow
def test_real_processes_one_of_which_is_killed(tmp_path: Path, whole: bytes) -> None:
    killed: list[int] = []

    class Kills(Processes):
        """Kills its first worker while it works."""

        def _hand_out(self, workers: list[Any], *arguments: Any) -> None:
            super()._hand_out(workers, *arguments)
            if workers and not killed:
                killed.append(workers[0].process.pid)
                os.kill(workers[0].process.pid, signal.SIGKILL)

    reports: list[str] = []
    found = small_harvest(
        tmp_path / "work", write_texts(tmp_path / "texts"), engine=Kills(2), report=reports.append
    )
    assert killed
    assert "killed by signal 9" in reports[0]
    assert found.state().to_bytes() == whole
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on_and_leaves_no_worker(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts", files=60)
    command = [
        *(sys.executable, "-m", "mechscope", "neuroscope", "harvest", MODEL, "--corpus", str(texts)),
        *("--shard", "500", "--context", "32", "--device", "cpu", "--engine", "processes", "--workers", "2"),
    ]
    states = tmp_path / "killed" / "harvest" / "states"
    driver = subprocess.Popen([*command, "--out", str(tmp_path / "killed")], start_new_session=True)
    while not any(states.glob("level-*")):
        assert driver.poll() is None
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    done = len(WorkFolder(tmp_path / "killed" / "harvest").shards)
    assert 0 < done < 60
    while _processes_of(driver.pid):
        time.sleep(0.05)
    for folder in ("killed", "whole"):
        subprocess.run([*command, "--out", str(tmp_path / folder)], check=True)
    one, other = (read_harvest(tmp_path / folder / "harvest") for folder in ("killed", "whole"))
    assert one.state().to_bytes() == other.state().to_bytes()


def _processes_of(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found

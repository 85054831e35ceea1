"""The Ray engine: its actors as ordinary objects, its handling of lost actors, and a real cluster of two workers."""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mechscope.neuroscope.engines import ray as engine
from mechscope.neuroscope.engines.engine import EngineCall, WorkerError
from mechscope.neuroscope.engines.ray import HarvestActor, Ray
from mechscope.neuroscope.engines.worker import located
from mechscope.neuroscope.finished_harvest import read_harvest
from mechscope.neuroscope.state import HarvestState
from mechscope.neuroscope.work_folder import WorkFolder
from tests.neuroscope.small_harvest import small_harvest, write_texts


class RayError(Exception):
    """As Ray's: an actor was lost."""


class RayTaskError(RayError):
    """As Ray's: an actor raised an error."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class FakeRay:
    """The part of Ray that the engine uses, in this process: an answer is computed when it is asked for.

    Args:
        dies: index of a shard → how often it kills its actor.
        never_opens: how many actors die before they have opened the model.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, dies: dict[int, int] | None = None, never_opens: int = 0) -> None:
        self.dies, self.never_opens = dies or {}, never_opens
        self.started = self.killed = 0
        self.waits: list[int] = []

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 1.0}

    def remote(self, **options: Any) -> Any:
        assert options == {"num_cpus": 1, "num_gpus": 0, "max_restarts": 0}
        return lambda kind: SimpleNamespace(remote=lambda plan: self.start(kind(plan)))

    def start(self, actor: HarvestActor) -> Any:
        self.started += 1
        alive = [True]

        def method(name: str) -> Any:
            def call(*arguments: Any) -> Any:
                return SimpleNamespace(
                    answer=lambda: self.answer(actor, alive, name, pickle.loads(pickle.dumps(arguments)))
                )

            return SimpleNamespace(remote=lambda *arguments: Reference(call(*arguments).answer))

        return SimpleNamespace(open=method("open"), harvest=method("harvest"), alive=alive)

    def answer(self, actor: HarvestActor, alive: list[bool], name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "open" and self.never_opens:
            self.never_opens -= 1
            alive[0] = False
        if name == "harvest" and self.dies.get(arguments[0], 0) and alive[0]:
            self.dies[arguments[0]] -= 1
            alive[0] = False
        if not alive[0]:
            raise RayError("The actor died unexpectedly.\nIts node was lost.")
        try:
            return getattr(actor, name)(*arguments)
        except Exception as error:
            raise RayTaskError(error) from error

    def wait(self, references: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        self.waits.append(len(references))
        return references[:1], references[1:]

    def get(self, reference: Reference) -> Any:
        return reference.answer()

    def kill(self, handle: Any) -> None:
        self.killed += 1


class Reference:
    def __init__(self, answer: Any) -> None:
        self.answer = answer


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    found = FakeRay()
    monkeypatch.setattr(engine, "_import_ray", lambda: found)
    return found


def test_an_actor_gives_the_state_of_a_shard_as_bytes(tmp_path: Path) -> None:
    found = small_harvest(tmp_path / "work", write_texts(tmp_path / "texts", files=1))
    actor = HarvestActor(found.plan)
    assert actor.open() == os.getpid()
    text = (tmp_path / "texts" / "00.txt").read_text()
    answer = actor.harvest(0, (("00.txt", text),))
    assert answer == found.state().to_bytes()
    assert HarvestState.from_bytes(answer).documents == 1


def test_actors_give_the_bytes_of_one_process(tmp_path: Path, whole: bytes, fake: FakeRay) -> None:
    found = small_harvest(tmp_path / "work", write_texts(tmp_path / "texts"), engine=Ray())
    assert found.state().to_bytes() == whole
    assert fake.started == fake.killed == 2
    # Nobody has more than two shards, so the memory that they take does not grow with the corpus.
    assert max(fake.waits) <= 4


def test_lost_actors_are_replaced_and_their_shards_are_harvested_again(
    tmp_path: Path, whole: bytes, fake: FakeRay
) -> None:
    fake.dies, fake.never_opens = {0: 1, 7: 2}, 3
    reports: list[str] = []
    found = small_harvest(
        tmp_path / "work", write_texts(tmp_path / "texts"), engine=Ray(), report=reports.append
    )
    assert found.state().to_bytes() == whole
    assert reports == [
        "an actor was lost (The actor died unexpectedly.); its shard 0 is harvested again.",
        *["an actor was lost (The actor died unexpectedly.); its shard 7 is harvested again."] * 2,
    ]


def test_actors_that_always_die_end_the_harvest(tmp_path: Path, fake: FakeRay) -> None:
    texts = write_texts(tmp_path / "texts")
    fake.dies = {5: 3}
    with pytest.raises(WorkerError, match=r"the worker of shard 5 .* died 3 times"):
        small_harvest(tmp_path / "work", texts, engine=Ray())
    assert {0, 1, 2, 3, 4} <= set(WorkFolder(tmp_path / "work").shards)
    fake.never_opens = 1000
    with pytest.raises(WorkerError, match="20 actors were lost before they had opened the model"):
        small_harvest(tmp_path / "work", texts, engine=Ray())


def test_a_model_that_is_another_one_on_the_cluster_is_an_error(
    tmp_path: Path, fake: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = write_texts(tmp_path / "texts")
    monkeypatch.setattr("mechscope.neuroscope.opening.model_checksum", lambda name: "0" * 16)
    with pytest.raises(WorkerError, match="an actor failed: mini-gelu-1l has other weights here") as caught:
        small_harvest(tmp_path / "work", texts, engine=Ray())
    assert "Traceback" not in str(caught.value)


def test_a_fault_of_ours_keeps_its_traceback(
    tmp_path: Path, fake: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*arguments: object) -> HarvestState:
        raise ValueError("a fault")

    monkeypatch.setattr("mechscope.neuroscope.engines.worker.harvest_shard", fault)
    with pytest.raises(WorkerError, match=r"(?s)an actor failed:\nTraceback.*ValueError: a fault"):
        small_harvest(tmp_path / "work", write_texts(tmp_path / "texts"), engine=Ray())


def test_a_cluster_without_room_is_reported(tmp_path: Path, fake: FakeRay) -> None:
    reports: list[str] = []
    plan = small_harvest(tmp_path / "work", write_texts(tmp_path / "texts", files=1)).plan
    actors = engine._Actors(fake, 2, EngineCall(plan, None, reports.append))
    actors._start()
    fake.wait = lambda references, num_returns, timeout: ([], references)  # type: ignore[method-assign]
    assert list(actors._next_answers()) == []
    assert reports == ["no actor has started yet: each needs 1 CPUs, and 1 of the cluster's 2 are free."]


def test_without_ray_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(engine.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install 'mechscope\[ray\]'"):
        Ray()


def test_paths_are_absolute_for_workers_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = small_harvest(tmp_path / "work", write_texts(tmp_path / "texts", files=1)).plan
    assert located(plan) == plan
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ways.safetensors").touch()
    (tmp_path / "model").mkdir()
    # Even if a folder has its name: a site that needs no file keeps it.
    (tmp_path / "mlp0").mkdir()
    sites = ("mlp0", "ways.safetensors@blocks.0.hook_resid_post")
    moved = located(plan.__class__(**{**vars(plan), "model": "model", "sites": sites}))
    assert moved.model == str(tmp_path / "model")
    assert moved.sites == ("mlp0", f"{tmp_path}/ways.safetensors@blocks.0.hook_resid_post")


@pytest.mark.slow
def test_two_workers_of_a_real_cluster_one_of_which_is_killed(tmp_path: Path, whole: bytes) -> None:
    pytest.importorskip("ray")
    texts, reports, killed = write_texts(tmp_path / "texts"), list[str](), list[int]()

    class Kills(engine._Actors):
        """Kills its first actor as soon as it has a shard."""

        def _next_answers(self) -> Any:
            opened = [actor for actor in self.actors if actor.opening is None and actor.shards]
            if opened and not killed:
                killed.append(self.ray.get(opened[0].handle.open.remote()))
                os.kill(killed[0], signal.SIGKILL)
            return super()._next_answers()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_Actors", Kills)
        found = small_harvest(tmp_path / "work", texts, engine=Ray(2), report=reports.append)
    assert killed
    assert "an actor was lost" in reports[0]
    assert found.state().to_bytes() == whole
    # A driver that stopped in the middle goes on with another engine, and the other way round.
    some = small_harvest(tmp_path / "mixed", texts, max_tokens=900)
    assert not some.finished.whole_corpus
    assert small_harvest(tmp_path / "mixed", texts, engine=Ray(2)).state().to_bytes() == whole
    assert read_harvest(tmp_path / "mixed").finished == found.finished


@pytest.mark.slow
def test_an_address_without_a_cluster_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(
        ConnectionError, match=r"there is no Ray cluster at 'auto'.*`ray start --head` starts one and prints"
    ):
        small_harvest(tmp_path / "work", write_texts(tmp_path / "texts", files=1), engine=Ray(1, "auto"))

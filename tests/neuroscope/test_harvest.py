"""The driver: neither order nor interruptions change a byte, and nothing is done twice."""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from mechscope.neuroscope import finished_harvest, plan, work_folder
from mechscope.neuroscope.engines.local import Local
from mechscope.neuroscope.finished_harvest import read_harvest
from mechscope.neuroscope.harvest import CorpusChangedError, check_engine
from mechscope.neuroscope.harvest_progress import HarvestProgress
from mechscope.neuroscope.prepared_harvest import check_kinds
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.shards import Shard
from mechscope.neuroscope.work_folder import WorkFolder
from mechscope.storage.files import NotKeptError, write_atomically
from mechscope.storage.folder_lock import FolderInUseError, hold_folder
from tests.neuroscope.small_harvest import InOrder, small_harvest, write_texts


def shuffled(seed: int, shards: Sequence[Shard]) -> list[Shard]:
    return random.Random(seed).sample(list(shards), len(shards))


def test_shards_in_any_order_give_the_same_bytes(tmp_path: Path, whole: bytes) -> None:
    texts = write_texts(tmp_path / "texts")
    orders = [
        InOrder(lambda shards: list(reversed(shards))),
        InOrder(lambda shards: shuffled(1, shards)),
        InOrder(lambda shards: shuffled(2, shards), at_once=4),
    ]
    for number, engine in enumerate(orders):
        found = small_harvest(tmp_path / str(number), texts, engine=engine)
        assert found.finished.shards == 11
        assert found.finished.whole_corpus
        assert found.state().to_bytes() == whole
        assert found.finished.tokens == found.state().tokens
        assert read_harvest(tmp_path / str(number)).state().to_bytes() == whole


def test_a_harvest_that_is_killed_at_any_write_goes_on(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = write_texts(tmp_path / "texts")

    class Killed(BaseException):
        """Nobody handles it, like a kill."""

    def dies_at(write: int, *, after: bool) -> None:
        written = 0

        def counting(path: Path, content: bytes | str) -> Path:
            nonlocal written
            written += 1
            if written == write and not after:
                raise Killed
            write_atomically(path, content)
            if written == write:
                raise Killed
            return path

        for module in (work_folder, plan, finished_harvest):
            monkeypatch.setattr(module, "write_atomically", counting)

    work, kills = tmp_path / "work", 0
    # Each run dies a little later than the one before, before or after a write, until one comes to its end.
    for write in range(1, 30):
        dies_at(write % 4 + 1, after=write % 2 == 0)
        try:
            found = small_harvest(work, texts)
        except Killed:
            kills += 1
        else:
            break
    else:
        raise AssertionError("it never came to its end")
    assert kills >= 5
    assert found.state().to_bytes() == whole


def test_finished_shards_are_not_read_again(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")

    def stop(shard: Shard) -> None:
        if shard.index == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_harvest(tmp_path / "work", texts, engine=InOrder(each=stop, at_once=1))
    again = InOrder(at_once=1)
    small_harvest(tmp_path / "work", texts, engine=again)
    assert again.taken == [6, 7, 8, 9, 10]
    # 8 and 2 and 1 shards.
    assert len(list((tmp_path / "work" / work_folder.STATES).iterdir())) == 3
    nothing = InOrder()
    small_harvest(tmp_path / "work", texts, engine=nothing)
    assert nothing.taken == []


def test_max_tokens_takes_the_same_shards_in_any_order_and_can_be_raised(
    tmp_path: Path, whole: bytes
) -> None:
    texts = write_texts(tmp_path / "texts")
    some = small_harvest(tmp_path / "one", texts, max_tokens=600)
    late = InOrder(lambda shards: list(reversed(shards)), at_once=7)
    other = small_harvest(tmp_path / "two", texts, max_tokens=600, engine=late)
    assert some.finished == other.finished
    assert not some.finished.whole_corpus
    ledger = WorkFolder(some.folder).shards
    tokens = [ledger[index][1] for index in range(some.finished.shards)]
    assert sum(tokens) >= 600 > sum(tokens[:-1])
    assert some.state().to_bytes() == other.state().to_bytes()
    # A smaller number changes nothing; without one, the rest is read, but not what was read before its turn came.
    assert small_harvest(tmp_path / "two", texts, max_tokens=1).finished == some.finished
    rest = InOrder()
    assert small_harvest(tmp_path / "two", texts, engine=rest).state().to_bytes() == whole
    assert rest.taken == [7, 8, 9, 10]


def test_max_tokens_of_a_harvest_that_went_further_and_was_stopped(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")

    def stop(shard: Shard) -> None:
        if shard.index == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_harvest(tmp_path / "work", texts, engine=InOrder(each=stop, at_once=1))
    found = small_harvest(tmp_path / "work", texts, max_tokens=1)
    # The first shard is already merged with the seven after it.
    assert found.finished.shards == 8
    assert found.state().tokens == found.finished.tokens


def test_a_corpus_that_has_changed_is_an_error(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    before = small_harvest(tmp_path / "work", texts).state().to_bytes()
    (texts / "03.txt").write_text((texts / "03.txt").read_text() + ".")
    with pytest.raises(CorpusChangedError, match=r"shard 3 \(documents 03.txt to 03.txt\) had another text"):
        small_harvest(tmp_path / "work", texts)
    write_texts(texts)
    (texts / "10.txt").unlink()
    with pytest.raises(CorpusChangedError, match="it had at least 11 shards, and now it has 10"):
        small_harvest(tmp_path / "work", texts)
    write_texts(texts)
    (texts / "00a.txt").write_text("something new")
    with pytest.raises(CorpusChangedError, match=r"shard 1 .* had another text"):
        small_harvest(tmp_path / "work", texts)
    assert read_harvest(tmp_path / "work").state().to_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sites": ("mlp0",)}, r"sites is \['mlp0', 'attn0.entropy'\] there and \['mlp0'\] here"),
        ({"settings": plan.HarvestSettings(top=5)}, "settings.top is 3 there and 5 here"),
    ],
)
def test_another_harvest_in_the_folder_is_an_error(
    tmp_path: Path, options: dict[str, object], words: str
) -> None:
    texts = write_texts(tmp_path / "texts", files=1)
    small_harvest(tmp_path / "work", texts)
    with pytest.raises(ValueError, match=words) as caught:
        small_harvest(tmp_path / "work", texts, **options)
    assert "massive" not in str(caught.value), "what was measured is not measured again"
    write_texts(tmp_path / "others", files=1)
    with pytest.raises(
        ValueError, match=r"has another harvest: corpus is \[.*texts'\] there and \[.*others'\] here\."
    ):
        small_harvest(tmp_path / "work", tmp_path / "others")


def test_what_is_easily_taken_for_a_name_settings_or_an_engine_is_explained() -> None:
    with pytest.raises(TypeError, match=r"takes the name or the folder of a model, .* not 7\."):
        check_kinds(7, None)
    with pytest.raises(TypeError, match=r"settings are HarvestSettings\(top=10, …\), not \{'top': 10\}"):
        check_kinds("model", {"top": 10})
    with pytest.raises(TypeError, match=r"an engine is Processes\(4\), Ray\(\) or .*, not 'processes'"):
        check_engine("processes")
    check_kinds("model", HarvestSettings())
    check_kinds(Path("folder"), None)
    check_engine(Local())


def test_two_harvests_into_one_folder_are_refused(tmp_path: Path) -> None:
    with hold_folder(tmp_path / "work"):
        pass
    texts = write_texts(tmp_path / "texts", files=1)

    def second(shard: Shard) -> None:
        with pytest.raises(FolderInUseError):
            _other_lock(tmp_path / "work")

    small_harvest(tmp_path / "work", texts, engine=InOrder(each=second))


def _other_lock(folder: Path) -> None:
    """What another process would do."""
    from filelock import FileLock, Timeout

    try:
        FileLock(folder / ".mechscope.lock", is_singleton=False).acquire(timeout=0)
    except Timeout:
        raise FolderInUseError(folder, "") from None


def test_a_full_disk_keeps_what_was_finished(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = write_texts(tmp_path / "texts")
    room = 4

    def full(path: Path, content: bytes | str) -> Path:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_atomically(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(work_folder, "write_atomically", full)
        with pytest.raises(NotKeptError, match=r"No space left on device.* Make room there"):
            small_harvest(tmp_path / "work", texts)
    assert set(WorkFolder(tmp_path / "work").shards) == {0, 1, 2}
    assert small_harvest(tmp_path / "work", texts).state().to_bytes() == whole


def test_bad_files_are_reported_and_an_empty_corpus_ends_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = write_texts(tmp_path / "texts", files=2)
    (texts / "01.txt").write_bytes(b"\0")
    reports: list[str] = []
    assert small_harvest(tmp_path / "work", texts, report=reports.append).finished.shards == 1
    assert reports == [f"{texts / '01.txt'} is skipped: it is binary, not text."]
    monkeypatch.setattr("mechscope.neuroscope.prepared_harvest.OpenedModel", None)
    (texts / "00.txt").unlink()
    with pytest.raises(ValueError, match="there is no text in"):
        small_harvest(tmp_path / "other", texts)
    with pytest.raises(ValueError, match="max_tokens must be a whole number of at least 1, not 0"):
        small_harvest(tmp_path / "other", texts, max_tokens=0)


def test_tokens_are_shown_while_a_shard_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    monkeypatch.setattr(HarvestProgress, "read_ahead", lambda progress, tokens: shown.append(tokens))
    found = small_harvest(tmp_path / "work", write_texts(tmp_path / "texts", files=2))
    assert len(shown) > 2
    assert sum(shown) == found.finished.tokens

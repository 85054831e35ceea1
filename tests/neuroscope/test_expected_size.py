"""How much is expected before a harvest: compared with harvests that were made, and where nobody knows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mechscope.neuroscope.corpus import Corpus, corpus_of_texts
from mechscope.neuroscope.expected_size import ExpectedSize, expected_size
from mechscope.neuroscope.finished_harvest import read_harvest
from mechscope.neuroscope.harvest_to_store import harvest_to_store
from mechscope.neuroscope.prepared_harvest import prepare_harvest
from mechscope.neuroscope.settings import HarvestSettings
from tests.neuroscope.small_harvest import MODEL, write_texts

SETTINGS = HarvestSettings(shard_characters=6_000, sample=64)


def expected(
    folder: Path, corpus: Corpus, settings: HarvestSettings = SETTINGS, **options: object
) -> ExpectedSize:
    given: dict[str, object] = {"sites": ("mlp0", "attn0.entropy"), "device": "cpu", **options}
    return expected_size(prepare_harvest(MODEL, folder, corpus=corpus, settings=settings, **given))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = write_texts(tmp_path_factory.mktemp("texts"), files=40)
    return corpus_of_texts({path.name: path.read_text() for path in sorted(folder.iterdir())})


def test_a_harvest_takes_as_much_as_was_expected(tmp_path: Path, corpus: Corpus) -> None:
    found = expected(tmp_path / "harvest", corpus)
    store = harvest_to_store(
        MODEL, tmp_path, sites=("mlp0", "attn0.entropy"), corpus=corpus, settings=SETTINGS, device="cpu"
    )
    store.close()
    finished = read_harvest(tmp_path / "harvest").finished
    assert found.units == 260
    assert found.tokens == pytest.approx(finished.tokens, rel=0.02)
    assert found.shards == pytest.approx(finished.shards, abs=1)
    files = [path for path in tmp_path.iterdir() if path.suffix in (".sqlite", ".safetensors")]
    assert found.store_bytes == pytest.approx(sum(path.stat().st_size for path in files), rel=0.35)
    states = sum(path.stat().st_size for path in (tmp_path / "harvest" / "states").iterdir())
    assert found.work_bytes is not None
    assert states < 1.1 * found.work_bytes < 5 * states


def test_a_limit_is_reached_at_the_end_of_a_shard(tmp_path: Path, corpus: Corpus) -> None:
    whole, some = (expected(tmp_path / str(limit), corpus, max_tokens=limit) for limit in (None, 100))
    assert some.shards == 1
    assert some.tokens == pytest.approx(SETTINGS.shard_characters / some.characters_per_token, abs=1)
    assert some.corpus_tokens == whole.corpus_tokens == whole.tokens
    assert some.store_bytes < whole.store_bytes


def test_more_contexts_take_more_space(tmp_path: Path, corpus: Corpus) -> None:
    few, many = (
        expected(tmp_path / str(top), corpus, dataclasses.replace(SETTINGS, top=top)) for top in (2, 100)
    )
    assert few.store_bytes < many.store_bytes / 2
    assert few.work_bytes is not None
    assert many.work_bytes is not None
    assert few.work_bytes < many.work_bytes / 2


def test_what_nobody_knows_is_none(tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mechscope.neuroscope.expected_size.about_how_many_characters", lambda corpus: None)
    unknown, some = (expected(tmp_path / str(limit), corpus, max_tokens=limit) for limit in (None, 100))
    assert (unknown.characters, unknown.tokens, unknown.shards, unknown.work_bytes) == (None,) * 4
    assert unknown.store_bytes > some.store_bytes
    assert some.shards == 1

"""The store that comes with the package, and the command that makes such stores."""

import sqlite3

import pytest
import torch

from mechscope.checkpoints.load import load_model
from mechscope.dictionaries.sources.models import model_checksum
from mechscope.neuroscope import folders, ready
from mechscope.neuroscope.checking import check_store
from mechscope.neuroscope.connections import FILE
from mechscope.neuroscope.label_file import LABEL_FILE
from mechscope.neuroscope.labels import scoring
from mechscope.neuroscope.labels.current import is_current
from mechscope.neuroscope.labels.evidence import evidence_of
from mechscope.neuroscope.labels.rules import Words
from mechscope.neuroscope.ready import (
    PACKAGED_LABELS,
    PACKAGED_MODEL,
    OwnSource,
    finish_store,
    main,
    make_store,
    ready_models,
)
from mechscope.neuroscope.schema import VERSION
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.store import NeuroscopeStore
from tests.neuroscope import stores
from tests.neuroscope.labels import planted_store as planted

FOLDER = folders.READY / PACKAGED_MODEL
SMALL = HarvestSettings(context=32, top=2, low=1, sample=4, shard_characters=3000)


def test_the_packaged_store_is_whole_small_and_found_on_a_fresh_install(tmp_path, monkeypatch):
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "none"))
    assert check_store(FOLDER).problems == ()
    assert {path.suffix for path in FOLDER.iterdir()} == {".sqlite", ".safetensors"}
    # An older one would have to be migrated, which is impossible where the package is read-only.
    connection = sqlite3.connect(FOLDER / FILE)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    connection.close()
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 2_000_000
    with NeuroscopeStore.open(PACKAGED_MODEL) as store:
        assert store.folder == FOLDER
        assert [site.name for site in store.sites()] == [
            "mlp0",
            "attn0.entropy",
            "attn0.distance",
            "attn0.norm",
        ]
        labels = store.labels.all()
        assert [(label.address.site, label.label) for label in labels] == [
            (address.partition("/")[0], label) for address, label, _ in PACKAGED_LABELS
        ]
        verdicts = {(label.scores or {}).get("verdict") for label in labels}
        assert verdicts == {"holds", "holds in part", "does not hold"}
        # Otherwise the pages ask for another test: `python -m mechscope.neuroscope.ready --labels` does it.
        assert all(is_current(store, label) and evidence_of(label.scores) for label in labels)


def test_the_packaged_store_has_no_text_but_our_own():
    names = [document.name for document in OwnSource().documents()]
    assert "neuroscope/ready.py" in names
    assert all(name.partition(",")[0].endswith(".py") and not name.startswith("/") for name in names)
    with NeuroscopeStore(FOLDER) as store:
        assert store.about.corpus.startswith("mechscope's own source code, version ")


def test_the_packaged_store_is_of_the_weights_that_are_bundled():
    with NeuroscopeStore(FOLDER) as store:
        assert store.about.weights == model_checksum(PACKAGED_MODEL)
        model = load_model(PACKAGED_MODEL)
        with store.reader.snapshot() as snapshot:
            sequence, focus, value = snapshot.connection.execute(
                "SELECT tokens, focus, value FROM contexts JOIN sequences ON sequences.id = sequence WHERE unit = 17"
            ).fetchone()
            tokens = torch.frombuffer(bytearray(sequence), dtype=torch.uint16).long()
        _, cache = model.run_with_cache(tokens[None])
        assert float(cache["post", 0][0, focus, 17]) == pytest.approx(value, rel=1e-4)


def test_a_store_of_an_attention_only_model_has_its_heads(tmp_path):
    make_store("mini-attn-only-1l", tmp_path, SMALL, max_tokens=500)
    assert check_store(tmp_path).problems == ()
    with NeuroscopeStore(tmp_path) as store:
        assert [site.name for site in store.sites()] == ["attn0.entropy", "attn0.distance", "attn0.norm"]
        assert store.about.tokens >= 500


def test_a_finished_store_is_one_file_that_can_still_be_written_to(tmp_path):
    stores.toy_store(tmp_path)
    finish_store(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrays-1.safetensors", FILE]
    connection = sqlite3.connect(tmp_path / FILE)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()
    with NeuroscopeStore(tmp_path) as store:
        store.labels.add("mlp0/1", "cats")
        assert [label.label for label in store.labels.all()] == ["cats"]


def test_models_that_have_no_source_code_to_read_are_refused(capsys):
    assert "mini-solu-4l" in ready_models() and "ioi-twin" not in ready_models()
    with pytest.raises(SystemExit):
        main(["ioi-twin"])
    assert "ioi-twin: give some of mini-attn-only-1l" in capsys.readouterr().err


def test_labels_of_the_packaged_store_are_tested_anew(tmp_path, monkeypatch):
    folder = planted.planted_store(tmp_path / "ready" / "planted")
    finish_store(folder)
    monkeypatch.setattr(scoring, "read_units", planted.read_planted)
    monkeypatch.setattr(scoring, "open_units", lambda store, sites: None)
    monkeypatch.setattr(ready, "READY", tmp_path / "ready")
    monkeypatch.setattr(ready, "PACKAGED_MODEL", "planted")
    monkeypatch.setattr(ready, "PACKAGED_LABELS", (("mlp0/0", "cats", Words(("cat",))),))
    before = (folder / FILE).read_bytes()
    for _ in range(2):
        main(["--labels"])
        with NeuroscopeStore(folder) as store:
            (label,) = store.labels.all()
            assert (label.id, label.label, (label.scores or {})["verdict"]) == (1, "cats", "holds")
    assert (folder / FILE).read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["arrays-1.safetensors", LABEL_FILE, FILE]

import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from mechscope.neuroscope import folders, label_table, schema
from mechscope.neuroscope.connections import FILE, open_for_reading, writing
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.writing import write_contents
from tests.neuroscope import stores


@pytest.fixture
def store(tmp_path):
    with NeuroscopeStore.open(stores.toy_store(tmp_path / "toy")) as opened:
        yield opened


def test_labels_and_scores_stay_when_a_harvest_is_published_again(store):
    first = store.labels.add("mlp0/1", "cats", "words", "cat cats")
    second = store.labels.add("attn0.entropy/0", "looks everywhere")
    store.labels.set_scores(first.id, {"balanced accuracy": 0.75, "null": [0.5, 0.5]})
    write_contents(store.folder, stores.contents())
    assert store.about.publication == 2
    assert store.labels.all()[1] == second
    (kept,) = store.labels.of("toy/mlp0/1")
    assert (kept.label, kept.rule, kept.scores) == (
        "cats",
        "cat cats",
        {"balanced accuracy": 0.75, "null": [0.5, 0.5]},
    )
    assert store.labels.of("mlp0/2") == ()


def test_labels_are_found_by_words_of_label_and_rule_and_no_longer_once_removed(store):
    label = store.labels.add("mlp0/1", "animals that purr", "words", "cat")
    store.labels.add("mlp0/2", "furniture")
    assert [found.id for found in store.labels.search("purr")] == [label.id]
    assert [found.id for found in store.labels.search("cat")] == [label.id]
    store.labels.remove(label.id)
    assert store.labels.search("purr") == ()


def test_mistakes_are_explained(store):
    with pytest.raises(ValueError, match="label is empty"):
        store.labels.add("mlp0/1", " ")
    with pytest.raises(KeyError, match="no unit 9"):
        store.labels.add("mlp0/9", "x")
    for act in (store.labels.remove, store.labels.get, lambda label: store.labels.set_scores(label, {})):
        with pytest.raises(KeyError, match="no label 5"):
            act(5)


def test_the_first_label_in_a_packaged_store_copies_it_to_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "user"))
    for module in (folders, label_table):
        monkeypatch.setattr(module, "READY", tmp_path / "ready")
    stores.toy_store(tmp_path / "ready" / "toy")
    with NeuroscopeStore.open("toy") as store:
        store.labels.add("mlp0/1", "cats")
        store.labels.add("mlp0/2", "mats")
        assert store.folder == tmp_path / "user" / "toy"
        assert [label.label for label in store.labels.all()] == ["cats", "mats"]
        assert store.unit("mlp0/1").contexts[0].value == 3.5
    with NeuroscopeStore(tmp_path / "ready" / "toy") as packaged:
        assert packaged.labels.all() == ()
    with NeuroscopeStore.open("toy") as store:
        assert len(store.labels.all()) == 2


def test_first_labels_at_the_same_time_are_all_kept(tmp_path, monkeypatch):
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "user"))
    for module in (folders, label_table):
        monkeypatch.setattr(module, "READY", tmp_path / "ready")
    stores.toy_store(tmp_path / "ready" / "toy")
    copies = []

    def copy_slowly(*places, **options):
        copies.append(places)
        time.sleep(0.2)
        return shutil.copytree(*places, **options)

    # So slowly that everybody finds no copy yet.
    monkeypatch.setattr(
        label_table, "shutil", SimpleNamespace(copytree=copy_slowly, copyfile=shutil.copyfile)
    )

    def write(number):
        with NeuroscopeStore(tmp_path / "ready" / "toy") as store:
            store.labels.add("mlp0/1", f"label {number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    with NeuroscopeStore.open("toy") as store:
        assert sorted(label.label for label in store.labels.all()) == [
            f"label {number}" for number in range(4)
        ]
    assert len(copies) == 1


def _add_author(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE labels ADD COLUMN author TEXT NOT NULL DEFAULT ''")


def test_an_older_store_is_brought_up_to_date_when_it_is_opened_and_keeps_its_labels(store, monkeypatch):
    store.labels.add("mlp0/1", "cats")
    monkeypatch.setattr(schema, "MIGRATIONS", {schema.VERSION: _add_author})
    newer = schema.VERSION + 1
    for module in ("schema", "connections"):
        monkeypatch.setattr(f"mechscope.neuroscope.{module}.VERSION", newer)
    with NeuroscopeStore(store.folder) as opened:
        assert opened.labels.all()[0].label == "cats"
        assert opened.unit("mlp0/1").contexts[0].value == 3.5
    connection = open_for_reading(store.folder / FILE)
    assert connection.execute("SELECT author FROM labels").fetchall() == [("",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (newer,)
    connection.close()


def test_an_older_store_in_a_read_only_folder_is_explained(store, monkeypatch):
    monkeypatch.setattr("mechscope.neuroscope.connections.VERSION", schema.VERSION + 1)
    monkeypatch.setattr("mechscope.neuroscope.connections.can_write", lambda folder: False)
    with pytest.raises(ValueError, match=r"older mechscope.*Copy the folder to one that you can write to"):
        NeuroscopeStore(store.folder)


def test_a_migration_that_fails_changes_nothing(store, monkeypatch):
    def fail(connection):
        _add_author(connection)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(schema, "MIGRATIONS", {1: fail})
    monkeypatch.setattr(schema, "VERSION", 2)
    with pytest.raises(OSError, match="No space"), writing(store.folder / FILE):
        pass
    connection = sqlite3.connect(store.folder / FILE)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert "author" not in [row[1] for row in connection.execute("PRAGMA table_info(labels)")]
    connection.close()


def test_a_store_of_a_newer_version_is_refused(store):
    connection = sqlite3.connect(store.folder / FILE)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    with pytest.raises(ValueError, match=r"newer mechscope \(version 2 .*Update mechscope"):
        NeuroscopeStore(store.folder)
    with pytest.raises(ValueError, match="newer mechscope"):
        write_contents(store.folder, stores.contents())

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mechscope.neuroscope import folders, label_file, label_table, schema
from mechscope.neuroscope.connections import FILE, writing
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


@pytest.fixture
def older(store):
    """A store of version 1, which has a label in its database."""
    connection = sqlite3.connect(store.folder / FILE, isolation_level=None)
    for statement in label_file.TABLES.values():
        connection.execute(statement)
    connection.execute(
        "INSERT INTO labels VALUES (7, 'mlp0', 1, 'cats', 'words', 'cat', '{\"recall\": 0.5}', '2026-01-02')"
    )
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    return store.folder


def tables(folder: Path) -> set[str]:
    connection = sqlite3.connect(folder / FILE)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert connection.execute("PRAGMA user_version").fetchone() == (1 if "labels" in names else 2,)
    connection.close()
    return names


def test_labels_of_an_older_store_move_to_their_own_file_when_it_is_opened(older):
    with NeuroscopeStore(older) as opened:
        (label,) = opened.labels.search("cat")
        assert (label.id, label.label, label.scores) == (7, "cats", {"recall": 0.5})
        assert opened.unit("mlp0/1").contexts[0].value == 3.5
    assert not {"labels", "label_text", "label_added"} & tables(older)


def test_a_migration_that_is_cut_off_is_done_again(older, monkeypatch):
    def fail(connection):
        label_file.move_labels_out(connection)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", {1: fail})
        with pytest.raises(OSError, match="No space"), writing(older / FILE):
            pass
    assert "labels" in tables(older)
    with NeuroscopeStore(older) as opened:
        assert [label.id for label in opened.labels.all()] == [7]


def test_an_older_store_in_a_read_only_folder_is_explained(store, monkeypatch):
    monkeypatch.setattr("mechscope.neuroscope.connections.VERSION", schema.VERSION + 1)
    monkeypatch.setattr("mechscope.neuroscope.connections.can_write", lambda folder: False)
    with pytest.raises(ValueError, match=r"older mechscope.*Copy the folder to one that you can write to"):
        NeuroscopeStore(store.folder)


def test_a_store_of_a_newer_version_is_refused(store):
    connection = sqlite3.connect(store.folder / FILE)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    with pytest.raises(ValueError, match=r"newer mechscope .version 3 .*Update mechscope"):
        NeuroscopeStore(store.folder)
    with pytest.raises(ValueError, match="newer mechscope"):
        write_contents(store.folder, stores.contents())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (f"PRAGMA user_version = {label_file.VERSION + 1}", "written by a newer mechscope .version 2"),
        ("PRAGMA application_id = 5", "database of another program"),
    ],
)
def test_a_file_of_labels_that_is_another_is_refused(store, change, words):
    store.labels.add("mlp0/1", "cats")
    connection = sqlite3.connect(store.folder / label_file.LABEL_FILE)
    connection.execute(change)
    connection.close()
    for act in (store.labels.all, lambda: store.labels.add("mlp0/1", "dogs")):
        with pytest.raises(ValueError, match=words):
            act()


def test_a_change_waits_for_another_one_and_then_says_why_it_gives_up(store, monkeypatch):
    monkeypatch.setattr(label_file, "WAIT", 0.05)
    with (
        label_file.writing_labels(store.folder),
        pytest.raises(OSError, match=r"labels.sqlite is in use: another process has been writing"),
    ):
        store.labels.add("mlp0/1", "cats")
    store.labels.add("mlp0/1", "cats")
    assert len(store.labels.all()) == 1


PUBLISHER = """
import sys
from pathlib import Path
from mechscope.neuroscope.writing import write_contents
from tests.neuroscope import stores

def sequences():
    yield from stores.SEQUENCES
    print("publishing", flush=True)
    assert sys.stdin.readline() == "go on\\n"

write_contents(Path(sys.argv[1]), stores.contents(sequences=sequences()))
"""


def test_labels_are_written_while_another_process_publishes(store, monkeypatch):
    first = store.labels.add("mlp0/2", "mats")
    monkeypatch.setattr(label_file, "WAIT", 0)  # nothing waits for the publication
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, str(store.folder)],
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as publisher:
        assert publisher.stdin is not None and publisher.stdout is not None
        assert publisher.stdout.readline() == "publishing\n"
        store.labels.add("mlp0/1", "cats", "words", "cat")
        store.labels.set_scores(2, {"recall": 0.5})
        store.labels.remove(first.id)
        assert [label.id for label in store.labels.search("cats")] == [2]
        assert store.about.publication == 1
        publisher.communicate("go on\n")
    assert publisher.returncode == 0
    assert store.about.publication == 2
    assert [(label.label, label.scores) for label in store.labels.all()] == [("cats", {"recall": 0.5})]

import sqlite3

import pytest

from mechscope.neuroscope.checking import check_store
from mechscope.neuroscope.connections import FILE
from mechscope.neuroscope.label_file import LABEL_FILE
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.writing import write_contents
from tests.neuroscope import stores


@pytest.fixture
def folder(tmp_path):
    return stores.toy_store(tmp_path / "toy")


def test_a_whole_store_has_no_problems(folder):
    with NeuroscopeStore(folder) as store:
        store.labels.add("mlp0/1", "cats")
    found = check_store(folder)
    assert found.problems == ()
    assert found.counts == {
        "sites": 2, "units": 5, "contexts": 8, "sequences": 3, "documents": 2, "labels": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("DELETE FROM sequences WHERE id = 9", "there are 1 contexts in sequences that do not exist"),
        ("DELETE FROM units WHERE id = 2", "mlp0 has 3 units, but 2 are stored"),
        ("DELETE FROM vocabulary WHERE token = 6", "sequence 7 has tokens without a text: [6]"),
        ("DELETE FROM documents WHERE id = 1", "1 sequences of documents that do not exist"),
        ("DELETE FROM firing_tokens WHERE unit = 2", "1 top contexts that the index of firing tokens"),
        ("UPDATE contexts SET focus = 40 WHERE rank = 1", "1 contexts do not lie within their sequence"),
        ("UPDATE sites SET first = 5 WHERE name = 'mlp0'", "are numbered from 5, not from 0"),
    ],
)
def test_what_is_missing_is_named(folder, damage, problem):
    connection = sqlite3.connect(folder / FILE, isolation_level=None)
    connection.execute(damage)
    connection.close()
    assert any(problem in found for found in check_store(folder).problems), check_store(folder).problems


def test_arrays_that_changed_are_named(folder):
    path = folder / "arrays-1.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "arrays-1.safetensors has changed since it was written" in check_store(folder).problems[0]


def test_a_damaged_page_of_the_database_is_named(folder):
    path = folder / FILE
    connection = sqlite3.connect(path)
    page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'units'").fetchone()[0]
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    data = bytearray(path.read_bytes())
    data[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(data)
    assert "the database is damaged" in check_store(folder).problems[0]
    with (
        NeuroscopeStore(folder) as store,
        pytest.raises(ValueError, match="is damaged .*publish the harvest again"),
    ):
        store.unit("mlp0/1")


def test_labels_of_a_site_that_is_gone_are_a_note_and_damaged_ones_a_problem(folder):
    with NeuroscopeStore(folder) as store:
        store.labels.add("mlp0/1", "x")
        store.labels.add("attn0.entropy/0", "y")
    write_contents(
        folder, stores.contents(sites=(stores.heads(),), site_sizes={"attn0.entropy": 2}, co_activation=())
    )
    found = check_store(folder)
    assert (found.problems, found.notes) == ((), ("1 label is for mlp0, which is not in this publication.",))
    (folder / LABEL_FILE).write_bytes(b"something else")
    (problem,) = check_store(folder).problems
    assert "labels.sqlite is damaged (file is not a database). Move it away to go on without" in problem

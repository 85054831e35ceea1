import os
import sqlite3
import threading

import numpy as np
import pytest

from mechscope.neuroscope import folders
from mechscope.neuroscope.connections import FILE, writing
from mechscope.neuroscope.contents import StoredSequence
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.store_reading import NothingPublishedError
from mechscope.neuroscope.units import Context, Histogram, LogitEffects, Neighbour, UnitAddress
from mechscope.neuroscope.writing import check_destination, write_contents
from tests.neuroscope import stores


@pytest.fixture
def store(tmp_path):
    with NeuroscopeStore.open(stores.toy_store(tmp_path / "toy")) as opened:
        yield opened


def test_a_page_has_what_was_written(store):
    page = store.unit("toy/mlp0/1")
    assert page.address == UnitAddress("toy", "mlp0", 1)
    assert page.contexts_of("top") == (
        Context("top", 3.5, "cats.txt", (" the", " cat", " sat", " on"), (0.25, 3.5, 0.0, -0.125), 1),
        Context("top", 2.5, "cats.txt", ("<b>", "\n", " cat"), (0.0, 0.5, 2.5), 2),
    )
    assert page.contexts_of("quantile")[0].quantile == 0.5
    assert page.contexts_of("random")[0].tokens == (" sat", " on")
    assert page.logit_effects == LogitEffects(((" cat", 0.5), (" sat", 0.25)), ((" the", -0.75),))
    assert page.by_weights == (
        Neighbour(UnitAddress("toy", "mlp0", 2), 0.875),
        Neighbour(UnitAddress("toy", "mlp0", 0), -0.5),
    )
    assert page.by_activation == (Neighbour(UnitAddress("toy", "attn0.entropy", 1), 0.75),)
    # Bins that nothing fell into are left out at both ends.
    assert page.histogram == Histogram((0.0, 0.5, 1.0, 1.5), (10, 4, 1))
    assert (page.statistics.tokens, page.statistics.firing_rate, page.statistics.minimum) == (1000, 1 / 3, -2)


def test_a_head_has_no_logit_effects_and_may_have_lowest_contexts(store):
    page = store.unit("attn0.entropy/1")
    assert page.logit_effects is None
    assert page.contexts_of("low")[0].value == 0.25
    assert [site.signed for site in store.sites()] == [False, True]


def test_the_sample_has_tokens_and_says_which_count(store):
    first, second = store.sample()
    assert (first.id, first.document, first.tokens.tolist()) == (7, "cats.txt", [5, 6, 7, 1])
    assert first.counted.tolist() == [False, True, True, True]
    assert second.document == "dogs.txt"


def test_statistics_and_histograms_of_a_whole_site(store):
    assert store.statistics("mlp0").kurtosis.tolist() == [-2, 0, 2]
    edges, counts = store.histograms("mlp0")
    assert edges.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert counts.tolist() == [[10, 0, 0], [10, 4, 1], [10, 0, 0]]


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("toy/mlp0/3", KeyError, "units 0 to 2"),
        ("toy/mpl0/1", KeyError, "Did you mean mlp0"),
        ("other/mlp0/1", ValueError, "this store is of toy"),
        ("mlp0", ValueError, "MODEL/SITE/UNIT"),
    ],
)
def test_wrong_addresses_are_explained(store, address, error, words):
    with pytest.raises(error, match=words):
        store.unit(address)


def test_a_reader_sees_the_old_contents_while_new_ones_are_written_and_the_new_ones_afterwards(store):
    seen = []

    def sequences():
        seen.append(store.unit("mlp0/1").statistics.maximum)
        yield from stores.SEQUENCES

    many = stores.neurons(5)
    changed = stores.contents(
        sequences=sequences(), site_sizes={"mlp0": 5, "attn0.entropy": 2}, sites=(many, stores.heads())
    )
    write_contents(store.folder, changed)
    assert seen == [4.0]
    assert len(store.statistics("mlp0").mean) == 5
    assert store.about.publication == 2
    assert store.unit("attn0.entropy/1").contexts_of("top")[0].value == 1.5
    assert [path.name for path in store.folder.glob("arrays*")] == ["arrays-2.safetensors"]


def test_a_writer_that_fails_leaves_the_old_contents(store):
    def sequences():
        yield stores.SEQUENCES[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_contents(store.folder, stores.contents(sequences=sequences()))
    assert store.unit("mlp0/1").contexts_of("top")[0].value == 3.5
    assert [path.name for path in store.folder.glob("arrays*")] == ["arrays-1.safetensors"]


def test_a_full_database_is_one_sentence_and_the_old_contents_stay(store, monkeypatch):
    real = sqlite3.connect

    def small(*arguments, **options):
        connection = real(*arguments, **options)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    long = tuple(StoredSequence(i, "long.txt", np.zeros(4000, np.int64)) for i in range(10, 60))
    monkeypatch.setattr("mechscope.neuroscope.connections.sqlite3.connect", small)
    with pytest.raises(OSError, match="could not be written .*full.* Make room there"):
        write_contents(store.folder, stores.contents(sequences=(*stores.SEQUENCES, *long)))
    assert store.about.publication == 1
    assert store.unit("mlp0/1").contexts_of("top")[0].value == 3.5


def test_a_second_writer_waits_and_then_says_why_it_gives_up(store, monkeypatch):
    monkeypatch.setattr("mechscope.neuroscope.connections.WAIT", 0.05)
    with writing(store.folder / FILE) as first:
        first.execute("BEGIN IMMEDIATE")
        with pytest.raises(OSError, match="is in use: another process has been writing to it"):
            write_contents(store.folder, stores.contents())
    write_contents(store.folder, stores.contents())
    assert store.about.publication == 2


def test_a_store_of_another_model_is_left_alone(store):
    with pytest.raises(ValueError, match="is the store of toy, and this is a harvest of other"):
        write_contents(store.folder, stores.contents("other"))
    assert store.about.publication == 1


def test_a_folder_is_checked_before_a_harvest_begins(store, tmp_path):
    check_destination(tmp_path / "new", "toy")
    assert not (tmp_path / "new").exists()
    check_destination(store.folder, "toy")
    with pytest.raises(ValueError, match="is the store of toy, and this is a harvest of other"):
        check_destination(store.folder, "other")
    (store.folder / FILE).write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not a neuroscope store"):
        check_destination(store.folder, "toy")


def test_several_threads_may_read_one_store(store):
    found = []

    def read():
        found.extend(store.unit(f"mlp0/{unit % 3}").address.unit for unit in range(30))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(list(range(3)) * 40)


def test_a_store_without_write_permission_can_be_read(tmp_path):
    folder = stores.toy_store(tmp_path / "toy")
    for path in (*folder.iterdir(), folder):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        with NeuroscopeStore.open(folder) as store:
            assert store.unit("mlp0/1").contexts_of("top")[0].value == 3.5
    finally:
        folder.chmod(0o755)


def test_a_store_on_a_read_only_disk_can_be_read(tmp_path, monkeypatch):
    folder, real, asked = stores.toy_store(tmp_path / "toy"), sqlite3.connect, []

    def connect(address, **options):
        # What SQLite does if it cannot make the files beside the database.
        asked.append(address)
        if "immutable" not in address:
            address = "file:/nowhere/none.sqlite?mode=ro"
        return real(address, **options)

    monkeypatch.setattr("mechscope.neuroscope.connections.sqlite3.connect", connect)
    with pytest.raises(OSError, match="neuroscope.sqlite cannot be read .unable to open database file"):
        NeuroscopeStore.open(folder)
    monkeypatch.setattr("mechscope.neuroscope.connections.can_write", lambda folder: False)
    with NeuroscopeStore.open(folder) as store:
        assert store.unit("mlp0/1").contexts_of("top")[0].value == 3.5
    assert [address.partition("?")[2] for address in asked] == ["mode=ro", "mode=ro", "mode=ro&immutable=1"]


def test_what_is_no_store_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no neuroscope store in"):
        NeuroscopeStore.open(tmp_path)
    (tmp_path / FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(ValueError, match="is not a neuroscope store: file is not a database"):
        NeuroscopeStore.open(tmp_path)
    (tmp_path / FILE).unlink()
    sqlite3.connect(tmp_path / FILE).execute("CREATE TABLE other (a)").connection.close()
    with pytest.raises(ValueError, match="database of another program"):
        NeuroscopeStore.open(tmp_path)


def test_a_store_without_contents_is_said(tmp_path):
    with writing(tmp_path / FILE):
        pass
    with pytest.raises(NothingPublishedError, match="no harvest has been published"):
        NeuroscopeStore.open(tmp_path)


def test_stores_are_found_by_the_name_of_the_model(tmp_path, monkeypatch):
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "user"))
    monkeypatch.setattr(folders, "READY", tmp_path / "ready")
    write_contents(tmp_path / "ready" / "org--toy", stores.contents("org/toy"))
    assert folders.find_store("org/toy") == tmp_path / "ready" / "org--toy"
    write_contents(folders.store_folder("org/toy"), stores.contents("org/toy"))
    assert folders.find_store("org/toy") == tmp_path / "user" / "org--toy"
    with pytest.raises(
        FileNotFoundError, match=r"no neuroscope store for 'org/toi'.*There are stores for org--toy"
    ):
        folders.find_store("org/toi")


def test_the_process_that_reads_needs_no_torch(tmp_path):
    import subprocess
    import sys

    folder = stores.toy_store(tmp_path / "toy")
    code = (
        "import sys; from mechscope.neuroscope.store import NeuroscopeStore; from pathlib import Path\n"
        f"NeuroscopeStore.open(Path({str(folder)!r})).unit('mlp0/1'); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "False"

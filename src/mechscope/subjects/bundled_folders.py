"""The subjects that come with the package. Does not load torch."""

from __future__ import annotations

from pathlib import Path

BUNDLED = Path(__file__).parent / "bundled"
"""One folder per subject, as `files.save_subject` writes it, with a card."""
CONFIG = "subject.json"
WEIGHTS = "model.safetensors"


def subject_names() -> list[str]:
    """Their names, which `load_subject` takes instead of a folder."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG}"))

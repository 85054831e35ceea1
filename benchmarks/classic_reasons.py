"""Why a classic name differs here, or is missing: read by `classic_interface.py`."""

DIFFERENT: dict[str, str] = {}
MISSING: dict[str, str] = {}

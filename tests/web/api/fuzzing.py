"""Send generated requests, valid and invalid ones, to every endpoint of the HTTP interface."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest

HOW = "needs schemathesis: pip install schemathesis"


def fuzz(app: Any, settings: hypothesis.settings) -> dict[str, set[int]]:
    """Fuzz an application with schemathesis, within the process.

    Every answer must have a documented status and content type, follow its schema, and never be a fault of the server;
    invalid requests must be refused, and valid ones accepted.

    Args:
        app: from `make_app`, with "testserver" among its names.
        settings: how many requests per endpoint and kind.

    Returns:
        Method and path → the statuses that were seen.
    """
    schemathesis = pytest.importorskip("schemathesis", reason=HOW)
    from schemathesis.generation import GenerationMode

    settings = hypothesis.settings(
        settings,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    # schemathesis counts 413 (too large) neither as accepted nor as refused.
    checks = {"negative_data_rejection": {"expected-statuses": [400, 404, 405, 408, 409, 413, 415, 422, 429]}}
    config = schemathesis.Config.from_dict({"checks": checks})
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app, config=config)
    seen: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        statuses = seen.setdefault(
            f"{operation.method.upper()} {operation.path.removeprefix('/api/')}", set()
        )
        # A request without parameters cannot be invalid.
        has_values = next(operation.iter_parameters(), None) is not None or operation.body
        for mode in GenerationMode if has_values else [GenerationMode.POSITIVE]:
            _send_all(operation.as_strategy(generation_mode=mode), settings, statuses)
    return seen


def _send_all(cases: Any, settings: hypothesis.settings, statuses: set[int]) -> None:
    @settings
    @hypothesis.given(case=cases)
    def send(case: Any) -> None:
        statuses.add(case.call_and_validate().status_code)

    send()

"""What the server reads from a model: the same as the techniques, with the same interventions as the browser's."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

import mechscope as ms
from mechscope.checkpoints.registry import BUNDLED
from mechscope.pages.endpoints import RefusedError
from mechscope.pages.site import SiteRoom, collect_site
from mechscope.techniques.direct_logit_attribution import LogitTerms
from mechscope.web.models.endpoints import model_endpoints
from mechscope.web.models.messages import (
    AttributionRequest,
    Intervention,
    LensRequest,
    NextRequest,
    PatchingRequest,
    RunRequest,
)
from mechscope.web.models.readings import Readings
from mechscope.web.models.shelf import ModelShelf

pytest.importorskip("starlette", reason="needs the web lab's server: pip install 'mechscope[web]'")
from starlette.testclient import TestClient

from mechscope.web.server import make_app
from tests.web.api.fuzzing import fuzz

NAME = "mini-gelu-2l"
TEXT = "The fox saw the hen"


@pytest.fixture(scope="module")
def readings() -> Readings:
    return Readings(ModelShelf())


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = make_app(collect_site([SiteRoom([], endpoints=model_endpoints())]))
    return TestClient(app, base_url="http://127.0.0.1:8080")


def post(client: TestClient, path: str, **body: Any) -> Any:
    answer = client.post(f"/api/models/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json() if answer.headers["content-type"] == "application/json" else answer.content


def test_a_model_from_its_list_to_its_readings(client: TestClient) -> None:
    listed = {each["name"]: each for each in client.get("/api/models").json()["models"]}
    assert listed[NAME]["is_here"]
    assert not listed[NAME]["is_loaded"]
    shape = post(client, "load", model=NAME)
    assert (shape["n_layers"], shape["n_heads"], shape["n_ctx"], shape["attn_only"]) == (2, 4, 64, False)
    assert {each["name"] for each in client.get("/api/models").json()["models"] if each["is_loaded"]} == {
        NAME
    }
    found = post(client, "tokens", model=NAME, text=TEXT)
    model = ms.load_model(NAME)
    with torch.no_grad():
        logits, cache = model.run_with_cache(TEXT)
    assert found["tokens"] == model.to_tokens(TEXT)[0].tolist()
    assert found["strings"] == model.to_str_tokens(TEXT)
    run = {"model": NAME, "tokens": found["tokens"]}
    end = len(found["tokens"]) - 1
    following = post(client, "next", **run, position=end, k=3, also=[7])
    best = logits[0, -1].softmax(-1).topk(3)
    assert [row["token"] for row in following["best"]] == best.indices.tolist()
    assert [row["probability"] for row in following["best"]] == pytest.approx(best.values.tolist(), abs=1e-5)
    assert following["also"][0]["logit"] == pytest.approx(float(logits[0, -1, 7]), abs=1e-4)
    *losses, last = post(client, "losses", **run)["losses"]
    with torch.no_grad():
        expected = model(TEXT, return_type="loss", loss_per_token=True)[0].tolist()
    assert losses == pytest.approx(expected, abs=1e-4)
    assert last is None
    pattern = cache["pattern", 1][0].flatten().tolist()
    raw = post(client, "attention", **run, layer=1)
    assert list(struct.unpack(f"<{len(pattern)}f", raw)) == pytest.approx(pattern, abs=1e-5)
    norms = post(client, "norms", **run)
    assert norms["rows"] == ["into block 0", "into block 1", "at the end"]
    last_norm = cache["blocks.1.hook_resid_post"][0, -1].norm()
    assert norms["values"][-1] == pytest.approx(float(last_norm), abs=1e-4)


def test_the_lens_and_the_attributions(readings: Readings) -> None:
    model = ms.load_model(NAME)
    tokens = tuple(model.to_tokens(TEXT)[0].tolist())
    with torch.no_grad():
        logits, cache = model.run_with_cache(TEXT)
    lens = readings.lens(LensRequest(model=NAME, tokens=tokens, token=40))
    assert lens.rows == ("embedding", "after block 0", "after block 1")
    table = torch.tensor(lens.values).view(3, -1)
    torch.testing.assert_close(table[-1], logits[0, :, 40], atol=1e-4, rtol=1e-4)
    middle = model.unembed(model.ln_final(cache["blocks.0.hook_resid_post"]))[0].detach()
    torch.testing.assert_close(table[1], middle[:, 40], atol=1e-4, rtol=1e-4)
    assert lens.best[1][2].name == model.to_single_str_token(int(middle[2].argmax()))
    asked = {"model": NAME, "tokens": tokens, "token": 40, "position": 3}
    parts = readings.attribution(AttributionRequest(**asked))
    assert parts.rows[-1] == "biases"
    assert sum(parts.values) == pytest.approx(float(logits[0, 3, 40]), abs=1e-3)
    everywhere = readings.attribution(AttributionRequest(**asked, by="everywhere"))
    assert everywhere.rows == parts.rows
    by_position = torch.tensor(everywhere.values).view(len(parts.rows), -1)
    torch.testing.assert_close(by_position[:, 3], torch.tensor(parts.values), atol=1e-5, rtol=0)
    torch.testing.assert_close(by_position.sum(0), logits[0, :, 40], atol=1e-3, rtol=0)
    silent = (Intervention(kind="ablate_head", layer=1, head=2),)
    sources = readings.attribution(AttributionRequest(**asked, edits=silent, by="source"))
    rows = [
        sources.values[start : start + len(tokens)] for start in range(0, len(sources.values), len(tokens))
    ]
    assert [name for name, row in zip(sources.rows, rows, strict=True) if row[0] is None] == ["L1H2"]
    without = readings.attribution(AttributionRequest(**asked, edits=silent))
    assert sum(rows[0]) == pytest.approx(without.values[without.rows.index("L0H0")], abs=1e-4)


EDITS = [
    Intervention(kind="ablate_head", layer=0, head=1),
    Intervention(kind="ablate_mlp", layer=1),
    Intervention(kind="mean_head", layer=1, head=3),
    Intervention(kind="mean_mlp", layer=0),
    Intervention(kind="scale_head", layer=0, head=2, factor=-2.0),
    Intervention(kind="scale_mlp", layer=0, factor=0.5),
    Intervention(kind="ablate_neuron", layer=0, neuron=17),
    Intervention(kind="add_neuron", layer=1, neuron=255, amount=4.0),
    Intervention(kind="steer", layer=1, scale=3.0, token=40),
    Intervention(kind="steer", layer=0, scale=3.0, token=40, minus_token=41, position=2),
    Intervention(kind="contrast", layer=1, scale=2.0, plus=(5, 6, 7), minus=(8, 9)),
    Intervention(kind="patch", layer=1, site="residual", index=3, source=tuple(range(20, 33))),
    Intervention(kind="patch", layer=0, site="heads", index=3, source=tuple(range(20, 33))),
    Intervention(kind="patch", layer=0, site="mlp", index=3, source=tuple(range(20, 33))),
    Intervention(kind="patch", layer=1, site="attention", index=12, source=tuple(range(20, 33))),
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: f"{edit.kind} {edit.site or ''}")
def test_an_intervention_changes_the_run(readings: Readings, edit: Intervention) -> None:
    tokens = tuple(range(40, 53))
    asked = NextRequest(model=NAME, tokens=tokens, position=12, k=0, also=(5,))
    (before,) = readings.next(asked).also
    (after,) = readings.next(NextRequest(**{**vars(asked), "edits": (edit,)})).also
    assert abs(after.logit - before.logit) > 1e-4
    # All readings see it: the parts of the logit add up to the new one.
    parts = readings.attribution(
        AttributionRequest(model=NAME, tokens=tokens, edits=(edit,), token=5, position=12)
    )
    assert sum(parts.values) == pytest.approx(after.logit, abs=1e-3)
    outside = edit.kind in ("steer", "contrast") or edit.site in ("residual", "attention")
    outside = outside and edit.position in (None, 12) and edit.index in (None, 12)
    assert (abs(parts.values[parts.rows.index("interventions")]) > 1e-3) == outside
    lens = readings.lens(LensRequest(model=NAME, tokens=tokens, edits=(edit,), token=5))
    assert lens.values[-1] == pytest.approx(after.logit, abs=1e-3)


def test_patching_is_a_single_edit_repeated(readings: Readings) -> None:
    tokens, source = tuple(range(40, 46)), tuple(range(60, 66))
    for site, width in (("residual", 6), ("attention", 6), ("mlp", 6), ("heads", 4)):
        asked = PatchingRequest(
            model=NAME, tokens=tokens, source=source, site=site, position=5, plus=3, minus=4
        )
        values = readings.patching(asked).values
        assert len(values) == 2 * width
        for layer, index in ((0, 1), (1, width - 1)):
            edit = Intervention(kind="patch", site=site, layer=layer, index=index, source=source)
            run = NextRequest(model=NAME, tokens=tokens, edits=(edit,), position=5, k=0, also=(3, 4))
            plus, minus = readings.next(run).also
            assert values[layer * width + index] == pytest.approx(plus.logit - minus.logit, abs=1e-4)


def test_what_cannot_be_answered_is_said(client: TestClient) -> None:
    def problem(path: str, **body: Any) -> tuple[int, str]:
        answer = client.post(f"/api/models/{path}", json=body)
        return answer.status_code, answer.json()["problem"]

    status, words = problem("load", model="mini-gelu-2")
    assert status == 404
    assert words.startswith(
        "This machine has no model 'mini-gelu-2'. Did you mean mini-gelu-2l or mini-gelu-"
    )
    assert problem("load", model="gpt2-xl")[0] == 409
    assert problem("load", model="../ioi-twin")[0] == 404
    status, words = problem("tokens", model=NAME, text="word " * 100)
    assert status == 409
    assert "reads at most 64 here: shorten the text by" in words
    assert "one of them" in problem("tokens", model="induction-2l", text="1 two")[1]
    edit = {"kind": "ablate_head", "layer": 0}
    assert "needs head" in problem("norms", model=NAME, tokens=[1], edits=[edit])[1]
    assert (
        "layer is 7" in problem("norms", model=NAME, tokens=[1], edits=[{**edit, "head": 0, "layer": 7}])[1]
    )
    assert (
        "between them"
        in problem(
            "norms",
            model=NAME,
            tokens=[1],
            edits=[{"kind": "contrast", "layer": 0, "scale": 1, "plus": [3], "minus": [3]}],
        )[1]
    )
    assert problem("norms", model=NAME, tokens=[])[0] == 409
    assert problem("norms", model=NAME, tokens=[512])[0] == 409
    huge = {"kind": "scale_mlp", "layer": 0, "factor": 1e6}
    assert "smaller ones" in problem("norms", model=NAME, tokens=[1, 2], edits=[huge] * 8)[1]


PLACES = st.integers(-1, 70)
TOKENS = st.lists(st.integers(0, 520), max_size=4).map(tuple) | st.none()
STRENGTHS = st.floats(-1e6, 1e6) | st.none()
ANY_EDIT = st.fixed_dictionaries(
    {"kind": st.sampled_from(sorted({edit.kind for edit in EDITS})), "layer": st.integers(0, 2)},
    optional={
        "head": st.integers(0, 5),
        "factor": STRENGTHS,
        "scale": STRENGTHS,
        "position": st.integers(0, 4),
        "token": st.integers(0, 600),
        "minus_token": st.integers(0, 600),
        "plus": TOKENS,
        "minus": TOKENS,
        "site": st.sampled_from(["residual", "attention", "mlp", "heads"]),
        "index": st.integers(0, 5),
        "source": TOKENS,
    },
)


@hypothesis.settings(max_examples=80, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    edits=st.lists(ANY_EDIT, max_size=3), tokens=st.lists(st.integers(0, 511), min_size=1, max_size=3)
)
def test_any_intervention_is_done_or_refused(edits: list[dict[str, Any]], tokens: list[int]) -> None:
    asked = RunRequest(model=NAME, tokens=tuple(tokens), edits=tuple(Intervention(**edit) for edit in edits))
    try:
        norms = SHARED.norms(asked)
    except RefusedError as refusal:
        assert refusal.status == 409
    else:
        assert len(norms.values) == 3 * len(tokens)


SHARED = Readings(ModelShelf())


class AnyName(ModelShelf):
    """A shelf that has the same model under every name, so that generated requests reach it."""

    def get(self, name: str) -> Any:
        """The model."""
        return super().get("mini-gelu-1l")


@pytest.mark.slow
def test_all_endpoints_hold_when_they_are_fuzzed() -> None:
    endpoints = [each for each in model_endpoints(AnyName()) if each.method == "POST"]
    app = make_app(collect_site([SiteRoom([], endpoints=endpoints)]), names=("testserver",))
    seen = fuzz(app, hypothesis.settings(max_examples=3))
    app.state.stop()
    for endpoint in endpoints:
        # There is a model of any name, but no store of its units.
        expected = {404} if endpoint.path.startswith("neuroscope/") else {200, 409}
        assert seen[endpoint.name] & expected, endpoint.name
        assert 500 not in seen[endpoint.name]


def test_the_shelf_keeps_the_models_that_were_used_last() -> None:
    shelf = ModelShelf(most=2)
    first = shelf.get("mini-attn-only-1l")
    shelf.get("mini-gelu-1l")
    assert shelf.get("mini-attn-only-1l") is first
    shelf.get("mini-solu-1l")
    loaded = {model.name for model in shelf.models() if model.is_loaded}
    assert loaded == {"mini-attn-only-1l", "mini-solu-1l"}


def test_a_data_folder_that_is_gone_is_said(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECHSCOPE_DATA", "no-such-folder")
    answer = client.get("/api/models")
    assert answer.status_code == 409
    assert "MECHSCOPE_DATA is set to no-such-folder, which does not exist" in answer.json()["problem"]


def test_models_in_the_data_folder_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(BUNDLED / "mini-gelu-1l", tmp_path / "models" / "my-model")
    (tmp_path / "models" / "notes").mkdir()
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    shelf = ModelShelf()
    found = {model.name: model for model in shelf.models()}
    assert found["my-model"].is_here
    assert "notes" not in found
    assert shelf.get("my-model").cfg.n_layers == 1


def test_a_model_that_does_not_fit_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from mechscope.checkpoints import memory_check
    from mechscope.main_memory import MainMemory

    monkeypatch.setattr(memory_check, "main_memory", lambda: MainMemory(1000, 1000, 0))
    with pytest.raises(RefusedError, match=r"mini-gelu-2l cannot be opened: .* needs about .* are available"):
        ModelShelf().get(NAME)


def test_logit_terms_of_other_answers_than_the_models_own() -> None:
    model = ms.load_model(NAME)
    from mechscope.tasks.metrics import Answers

    with torch.no_grad():
        logits = model(TEXT)[0]
        terms = LogitTerms(model, TEXT, answers=Answers(torch.tensor([[2]]), torch.tensor([[[17]]])))
    assert float(terms.total()) == pytest.approx(float(logits[2, 17]), abs=1e-3)

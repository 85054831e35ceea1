"""`mechscope sae` as a user meets it, at tiny sizes: train, kill, go on, eval, show."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope import dictionaries as d
from mechscope.checkpoints.registry import BUNDLED
from mechscope.cli.main import main
from mechscope.dictionaries.jobs import running as jobs_running
from mechscope.dictionaries.sources.config import source_from_dict
from mechscope.dictionaries.sources.opening import KnownSource, open_source
from mechscope.dictionaries.synthetic import SyntheticFeatures
from mechscope.dictionaries.trainer import Trainer
from mechscope.dictionaries.training_checkpoint import TrainingCheckpoint
from mechscope.model.transformer import HookedTransformer

KNOWN = [
    "--synthetic",
    "sharkey-small",
    "--steps",
    "12",
    "--batch",
    "64",
    "--held-out",
    "300",
    "--d-sae",
    "32",
]
HOOK = "blocks.0.mlp.hook_post"


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(
            ["sae", *map(str, arguments), *(["--device", "cpu"] if "--print-config" not in arguments else [])]
        )
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A folder of the user's own text."""
    folder = tmp_path / "text"
    folder.mkdir()
    for number in range(30):
        lines = [f"def f{number}_{line}(x):\n    return x + {number * line}\n" for line in range(12)]
        (folder / f"{number:02d}.py").write_text("".join(lines))
    return folder


@pytest.fixture
def on_model(text: Path) -> list[str]:
    """Options of a tiny training on a bundled model."""
    options = ["--model", "mini-gelu-1l", "--hook", HOOK, "--text", str(text), "--tokens", "4000"]
    return [*options, "--held-out", "400", "--steps", "6", "--batch", "64", "--d-sae", "40", "--k", "5"]


def test_help_and_configs_do_not_load_torch() -> None:
    code = (
        "import sys\nfrom mechscope.cli.main import main\n"
        "for arguments in (['--help'], ['train', '--help'], ['sweep', '--preset', 'minilm', '--print-config'],"
        f" ['train', *{KNOWN!r}, '--print-config'], ['train', '--k', 'x']):\n"
        "    try: main(['sae', *arguments])\n    except SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'xarray', 'plotly') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return d.load(folder).state()


def test_train_eval_and_show_on_known_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    code, said, err = call(capsys, "train", *KNOWN, "--architecture", "topk", "relu", "--out", out)
    assert (code, err) == (0, "")
    assert "topk (32 features), relu (32 features) on 128 known features in 64 dimensions" in said
    assert "12 steps, 768 activations, on cpu" in said
    assert {"topk", "relu", "job.json", "history.safetensors"} <= {path.name for path in out.iterdir()}

    code, said, err = call(capsys, "eval", out / "topk")
    assert (code, err) == (0, "")
    assert "MMCS, true to learned" in said
    kept = json.loads((out / "topk" / "evaluation.json").read_text())
    dictionary = d.load(out / "topk")
    source = open_source(source_from_dict(dictionary.metadata["source"]))
    found = source.evaluate(dictionary)
    assert found.recovery is not None
    assert kept["measures"]["L0"] == found.l0 == 4
    assert kept["measures"]["fraction of variance unexplained"] == found.fvu
    assert kept["measures"]["MMCS, true to learned"] == found.recovery.mmcs
    assert kept["examples"] == 300

    code, said, _ = call(capsys, "show", out / "relu")
    assert code == 0
    assert "relu dictionary: 32 features, reads width 64" in said
    assert "synthetic: sharkey-small" in said
    assert "never active in 300 activations" in said
    code, said, _ = call(capsys, "show", out / "relu", "--feature", "3", "31")
    assert said.count("nearest true features:") == 2


def test_show_and_eval_reuse_the_figures_while_nothing_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    assert call(capsys, "train", *KNOWN, "--out", out)[0] == 0
    folder = out / "topk"
    file = folder / "evaluation.json"
    measured: list[int] = []
    evaluate = KnownSource.evaluate

    def counting(self: KnownSource, dictionary: Any) -> Any:
        measured.append(1)
        return evaluate(self, dictionary)

    monkeypatch.setattr(KnownSource, "evaluate", counting)

    def times(*arguments: str | Path) -> tuple[int, str]:
        before = len(measured)
        code, said, err = call(capsys, *arguments)
        assert (code, err) == (0, "")
        return len(measured) - before, said

    count, now = times("show", folder)
    assert count == 1 and f"Measured now; this keeps the figures: mechscope sae eval {folder}" in now
    assert not file.exists()
    count, table = times("eval", folder)
    assert count == 1 and f"written to {file}" in table
    count, said = times("show", folder)
    assert count == 0 and f"Read from {file}." in said
    # The figures are the measured ones.
    assert said.split("Read from")[0] == now.split("Measured now")[0]
    content = file.read_bytes()
    count, said = times("eval", folder)
    assert count == 0 and f"read from {file}: nothing has changed since" in said
    assert said.split("\n\n")[:2] == table.split("\n\n")[:2] and file.read_bytes() == content
    assert times("eval", folder, "--again")[0] == 1
    # What does not change the held-out activations does not matter; what does is named.
    assert times("show", folder, "--tokens", "500")[0] == 0
    count, said = times("show", folder, "--held-out", "200")
    assert count == 1 and "source.held_out is 300 there and 200 here. It is measured again." in said
    dictionary = d.load(folder)
    with torch.no_grad():
        dictionary.b_enc[5] = -1e6
    d.save(dictionary, folder)
    count, said = times("show", folder)
    assert count == 1 and "belongs to another evaluation: dictionary weights is" in said
    times("eval", folder)
    assert times("show", folder)[0] == 0
    kept = json.loads(file.read_text())
    for name, value in {
        "times_active": [1],
        "measures": {"L0": 4.0},
        "examples": 0,
        "outlier_limits": {},
    }.items():
        file.write_text(json.dumps({**kept, name: value}))
        count, said = times("show", folder)
        assert count == 1 and f"{file} is damaged. It is measured again." in said
    del kept["key"]
    for content, says in (
        (json.dumps(kept), "was written by an earlier version"),
        ("{", "is not valid JSON"),
    ):
        file.write_text(content)
        count, said = times("show", folder)
        assert count == 1 and says in said


def test_outliers_are_counted_in_what_train_and_eval_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = SyntheticFeatures.sample

    def with_outliers(self: Any, n: int, generator: torch.Generator) -> Any:
        x, features = sample(self, n, generator)
        x[:: max(n // 2, 1)] += 1000  # an example may be all zeros
        return x, features

    monkeypatch.setattr(SyntheticFeatures, "sample", with_outliers)
    code, said, err = call(capsys, "train", *KNOWN, "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    assert "left out 24 of 768 activations, more than 25 times as long as the median one" in said
    folder = tmp_path / "run" / "topk"
    limit = d.load(folder).metadata["outlier_limits"]["x"]
    code, said, err = call(capsys, "eval", folder)
    assert (code, err) == (0, "")
    assert f"298 held-out activations; 2 outliers, left out (activations longer than {limit:.4g})" in said
    figures = json.loads((folder / "evaluation.json").read_text())
    assert figures["outliers"] == 2 and figures["outlier_limits"] == {"x": limit, "target": None}
    with_them = "fraction of variance unexplained, with outliers"
    assert figures["measures"][with_them] != figures["measures"]["fraction of variance unexplained"]
    assert with_them in said
    said = call(capsys, "show", folder)[1]
    assert "2 outliers, left out" in said
    keeps = tmp_path / "keeps"
    code, said, _ = call(capsys, "train", *KNOWN, "--out", keeps, "--outlier-factor", "0")
    assert code == 0 and "left out" not in said
    assert "outlier_limits" not in d.load(keeps / "topk").metadata
    assert "above 1" in call(capsys, "train", *KNOWN, "--out", tmp_path / "x", "--outlier-factor", "0.5")[2]


def test_features_are_shown_on_the_activations_that_were_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    assert call(capsys, "train", *KNOWN, "--seed", "3", "--architecture", "topk", "--out", out)[0] == 0
    dictionary = d.load(out / "topk")
    found = open_source(source_from_dict(dictionary.metadata["source"])).evaluate(dictionary)
    often = found.activity.densities.topk(3)
    drawn: list[int] = []
    held_out = KnownSource.held_out

    def counting(self: KnownSource, n: int) -> Any:
        drawn.append(n)
        return held_out(self, n)

    monkeypatch.setattr(KnownSource, "held_out", counting)
    features = [str(int(feature)) for feature in often.indices]
    said = call(capsys, "show", out / "topk", "--feature", *features)[1]
    # Once for all of them.
    assert drawn == [300]
    for feature, density in zip(features, often.values, strict=True):
        after = said.split(f"Feature {feature}\n")[1]
        assert after.startswith(f"  active in {100 * float(density):.3g} % of activations, up to ")
    with torch.no_grad():
        dictionary.b_enc[5] = -1e6
    d.save(dictionary, tmp_path / "silent")
    said = call(capsys, "show", tmp_path / "silent", "--feature", "5")[1]
    assert "never active in the held-out activations" in said


def test_a_models_dictionary_remembers_where_it_belongs(
    on_model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert call(capsys, "train", *on_model, "--out", out)[0] == 0
    metadata = d.load(out / "topk").metadata
    assert (metadata["model_name"], metadata["hook_name"]) == ("mini-gelu-1l", HOOK)

    file = tmp_path / "measured.json"
    code, said, _ = call(capsys, "eval", out / "topk", "--json", "--out", file)
    assert code == 0
    assert json.loads(said) == json.loads(file.read_text())
    measures = json.loads(said)["measures"]
    assert measures["L0"] == pytest.approx(5, abs=0.01)
    assert {"ΔCE spliced in (nats)", "loss recovered, mean ablation", "KL spliced in (nats)"} <= set(measures)

    # Any feature has a page, a dead one too.
    code, said, err = call(capsys, "show", out / "topk", "--feature", "1", "--contexts", "2")
    assert (code, err) == (0, "")
    assert "Feature 1" in said
    assert "promotes" in said
    assert "nearest" in said

    # Other text by an option; what the file says stays otherwise.
    other = tmp_path / "other.txt"
    other.write_text("one two three four five six seven eight nine ten. " * 200)
    code, said, _ = call(capsys, "eval", out / "topk", "--text", other, "--out", file, "--json")
    assert code == 0
    described = json.loads(said)
    assert described["source"]["text"] == str(other)
    assert described["measures"]["CE of the model (nats)"] != measures["CE of the model (nats)"]


def test_contexts_hold_the_token_in_brackets(
    on_model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "train", *on_model, "--out", tmp_path / "run")[0] == 0
    _, said, _ = call(capsys, "show", tmp_path / "run" / "topk")
    often = said[said.index("most often: ") :].removeprefix("most often: ").split(" ", 1)[0]
    _, said, _ = call(capsys, "show", tmp_path / "run" / "topk", "--feature", often, "--contexts", "2")
    shown = [line for line in said.splitlines() if "…" in line]
    assert len(shown) >= 2
    assert all("[" in line and "]" in line for line in shown)


@pytest.mark.slow
def test_a_killed_training_goes_on_with_the_same_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*KNOWN, "--architecture", "topk", "--checkpoint-every", "50", "--steps", "300"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [
        sys.executable,
        "-m",
        "mechscope",
        "sae",
        "train",
        *options,
        "--device",
        "cpu",
        "--out",
        str(killed),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not (killed / "training.safetensors").is_file():
            assert process.poll() is None, "the training was over before it could be killed"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert not (killed / "topk").exists(), "the training was over before it was killed"
    code, said, _ = call(capsys, "train", *options, "--out", killed)
    assert code == 0
    assert "resuming from step " in said
    assert f" in {killed}\n" in said
    assert call(capsys, "train", *options, "--out", whole)[0] == 0
    resumed, unbroken = weights(killed / "topk"), weights(whole / "topk")
    assert all(torch.equal(resumed[name], unbroken[name]) for name in unbroken)


def test_ctrl_c_says_that_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def stopping(self: Trainer, batch: Any, number: int, *, measure: bool) -> Any:
        if number == 7:
            raise KeyboardInterrupt
        return step(self, batch, number, measure=measure)

    options = [*KNOWN, "--checkpoint-every", "5", "--out", str(tmp_path / "run")]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping)
        code, _, err = call(capsys, "train", *options)
    assert code == 130
    assert "To continue, run the same command again:\n  mechscope sae train" in err
    assert call(capsys, "train", *options)[0] == 0
    # A finished one is read back, not trained again.
    monkeypatch.setattr(Trainer, "step", stopping)
    assert call(capsys, "train", *options)[0] == 0


def test_a_config_prints_itself_and_is_given_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*KNOWN, "--architecture", "matryoshka", "jumprelu", "--k", "3", "--l0", "0.7", "--seed", "4"]
    code, printed, err = call(capsys, "train", *options, "--print-config")
    assert (code, err) == (0, "")
    file = tmp_path / "job.json"
    file.write_text(printed)
    assert call(capsys, "train", "--config", file, "--print-config")[1] == printed
    settings = json.loads(printed)
    assert settings["dictionaries"]["matryoshka"]["k"] == 3
    assert settings["dictionaries"]["jumprelu"]["l0"] == 0.7
    assert settings["training"]["seed"] == settings["source"]["seed"] == 4
    # An option goes before the file, and touches nothing else.
    changed = json.loads(call(capsys, "train", "--config", file, "--k", "5", "--print-config")[1])
    assert changed["dictionaries"]["matryoshka"]["k"] == 5
    changed["dictionaries"]["matryoshka"]["k"] = 3
    assert changed == settings
    # What a run keeps can be given back too.
    assert call(capsys, "train", "--config", file, "--out", tmp_path / "a")[0] == 0
    kept = tmp_path / "a" / "job.json"
    assert call(capsys, "train", "--config", kept, "--out", tmp_path / "b")[0] == 0
    assert (tmp_path / "b" / "job.json").read_text() == kept.read_text()


def test_transcoders_and_crosscoders(
    on_model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = on_model[: on_model.index("--k")]
    into, out = "blocks.0.ln2.hook_normalized", "blocks.0.hook_mlp_out"
    place = options.index(HOOK)
    options[place] = into
    transcoder = ["--target-hook", out, "--skip", "--k", "5", "--out", str(tmp_path / "transcoder")]
    assert call(capsys, "train", *options, *transcoder)[0] == 0
    dictionary = d.load(tmp_path / "transcoder" / "topk")
    assert (dictionary.cfg.d_out, dictionary.cfg.skip) == (64, True)
    code, said, _ = call(capsys, "eval", tmp_path / "transcoder" / "topk")
    assert code == 0
    assert "ΔCE spliced in (nats)" in said

    options[place : place + 1] = ["blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"]
    crosscoder = ["--architecture", "crosscoder", "--out", str(tmp_path / "crosscoder")]
    assert call(capsys, "train", *options, *crosscoder)[0] == 0
    assert d.load(tmp_path / "crosscoder" / "crosscoder").cfg.d_in == 128
    code, said, _ = call(capsys, "eval", tmp_path / "crosscoder" / "crosscoder")
    assert code == 0
    assert "fraction of variance unexplained" in said


def test_another_tools_dictionary_is_measured(
    on_model: list[str], text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dictionary = d.build(d.TopKConfig(d_in=256, d_sae=24, k=3), 5)
    folder = tmp_path / "saelens"
    d.exchange.save_saelens(dictionary, folder)
    code, _, err = call(capsys, "eval", folder)
    assert code == 2
    assert "give --model and --hook" in err
    where = ["--model", "mini-gelu-1l", "--hook", HOOK, "--text", str(text), "--held-out", "300"]
    code, said, _ = call(capsys, "eval", folder, *where, "--json")
    assert code == 0
    assert json.loads(said)["measures"]["L0"] == pytest.approx(3, abs=0.01)
    assert (folder / "evaluation.json").is_file()
    code, said, _ = call(capsys, "show", folder)
    assert code == 0
    assert "topk dictionary: 24 features" in said


BAD: dict[str, tuple[list[str], str]] = {
    "hook": (["--model", "mini-gelu-1l", "--hook", "blocks.0.mlp.hook_pots"], "blocks.0.mlp.hook_post"),
    "architecture": (["--architecture", "topkk"], "Did you mean topk?"),
    "known features": (["--synthetic", "sharky"], "Did you mean sharkey"),
    "k": (["--k", "33", "--d-sae", "32"], "only d_sae = 32 features"),
    "option of another architecture": (["--architecture", "relu", "--k", "3"], "relu takes --l1"),
    "two sources": (
        ["--model", "mini-gelu-1l", "--hook", HOOK, "--synthetic", "sharkey"],
        "one or the other",
    ),
    "no source": ([], "say where activations come from"),
    "text": (["--model", "mini-gelu-1l", "--hook", HOOK, "--text", "libary"], "Did you mean 'library'?"),
    "tokenizer": (["--model", "induction-2l", "--hook", "blocks.0.hook_resid_post"], "has no tokenizer"),
    "model": (["--model", "mini-gelu-1", "--hook", HOOK], "mini-gelu-1l"),
    "skip": (["--skip"], "--target-hook"),
    "crosscoder": (["--architecture", "crosscoder"], "two or more hook points"),
    "context": (["--model", "mini-gelu-1l", "--hook", HOOK, "--context", "65"], "at most 64 tokens"),
    "pattern": (["--model", "mini-gelu-1l", "--hook", "blocks.0.attn.hook_pattern"], "one vector for each"),
    "too little text": (
        ["--model", "mini-gelu-1l", "--hook", HOOK, "--tokens", "500"],
        "fewer than one batch of 1,024",
    ),
    "far too many features": (["--d-sae", "99999999999"], "at most 2,147,483,647, not 99999999999"),
}
NEEDS_SOURCE = (
    "architecture",
    "k",
    "option of another architecture",
    "skip",
    "crosscoder",
    "far too many features",
)


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_said_in_a_line_before_any_work(
    name: str, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, said = BAD[name]
    options = [*options, *(["--synthetic", "sharkey-small"] if name in NEEDS_SOURCE else [])]
    if "--model" in options and "--text" not in options:
        options += ["--text", str(text)]
    out = tmp_path / "out"
    code, printed, err = call(capsys, "train", *options, "--steps", "3", "--out", out)
    assert (code, printed) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_more_features_than_there_is_memory_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(jobs_running, "build", too_much)
    code, printed, err = call(capsys, "train", *KNOWN, "--out", tmp_path / "out")
    assert (code, printed) == (2, "")
    assert "its 32 features take" in err
    assert "Lower d_sae" in err
    assert not (tmp_path / "out").exists()


def test_a_stream_that_is_shorter_than_the_buffer(
    on_model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "train", *on_model, "--buffer", "9000", "--out", tmp_path / "out")
    assert code == 2
    assert "fewer than the buffer of 9000" in err


def test_a_width_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.json"
    settings = json.loads(call(capsys, "train", *KNOWN, "--print-config")[1])
    settings["dictionaries"]["topk"]["d_in"] = 63
    file.write_text(json.dumps(settings))
    code, _, err = call(capsys, "train", "--config", file, "--out", tmp_path / "out")
    assert code == 2
    assert "d_in = 63" in err
    assert "width 64" in err


@pytest.mark.parametrize(
    ("place", "wrong", "nearest"),
    [((), "trainning", "training"), (("source",), "texts", "text"), (("training",), "step", "steps"),
     (("dictionaries", "topk"), "d_saee", "d_sae")],
)  # fmt: skip
def test_unknown_settings_of_a_file_name_the_nearest(
    place: tuple[str, ...], wrong: str, nearest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = json.loads(call(capsys, "train", *KNOWN, "--print-config")[1])
    at = settings
    for key in place:
        at = at[key]
    at[wrong] = 1
    file = tmp_path / "job.json"
    file.write_text(json.dumps(settings))
    code, _, err = call(capsys, "train", "--config", file)
    assert code == 2
    assert repr(wrong) in err
    assert f"Did you mean {nearest}" in err
    file.write_text("{")
    assert "is not valid JSON" in call(capsys, "train", "--config", file)[2]


def test_a_folder_of_another_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert call(capsys, "train", *KNOWN, "--architecture", "relu", "--out", out)[0] == 0
    code, _, err = call(capsys, "train", *KNOWN, "--architecture", "gated", "--out", out)
    assert code == 2
    assert "belongs to another training" in err
    assert "a relu dictionary there" in err
    code, _, err = call(capsys, "train", *KNOWN, "--architecture", "relu", "--lr", "0.5", "--out", out)
    assert "training.lr is 0.001 there and 0.5 here" in err
    (out / "job.json").unlink()
    assert "no job.json" in call(capsys, "train", *KNOWN, "--architecture", "relu", "--out", out)[2]


@pytest.fixture
def own_model(tmp_path: Path) -> Path:
    """A model in a folder of the user's own."""
    return Path(shutil.copytree(BUNDLED / "mini-gelu-1l", tmp_path / "model"))


def retrain(model: Path) -> None:
    """Put another model's weights in the place of a model's."""
    shutil.copy(BUNDLED / "mini-gelu-1l-seed1" / "model.safetensors", model)


def test_a_training_does_not_go_on_with_other_weights_or_text(
    on_model: list[str], own_model: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["train", *on_model, "--model", str(own_model), "--out", str(out)]
    assert call(capsys, *command)[0] == 0
    code, said, err = call(capsys, *command)
    assert (code, err) == (0, "")
    assert "all of them are done in" in said
    code, _, err = call(capsys, "eval", out / "topk")
    assert (code, err) == (0, "")
    retrain(own_model)
    code, said, err = call(capsys, *command)
    assert (code, said) == (2, "")
    assert "belongs to another training run: stream.made_from.model weights is" in err
    assert err.count("\n") == 1
    # It can be looked at, but not without being told.
    code, _, err = call(capsys, "show", out / "topk")
    assert code == 0
    assert "have changed since" in err
    shutil.copy(BUNDLED / "mini-gelu-1l" / "model.safetensors", own_model)
    assert call(capsys, *command)[0] == 0
    for file in text.iterdir():
        file.write_text(file.read_text().replace("return", "yield"))
    assert "stream.made_from.tokens is" in call(capsys, *command)[2]


def test_a_training_says_from_where_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def killed(self: Trainer, batch: Any, number: int, **options: Any) -> Any:
        if number == 7:
            raise KeyboardInterrupt
        return step(self, batch, number, **options)

    monkeypatch.setattr(Trainer, "step", killed)
    command = ["train", *KNOWN, "--checkpoint-every", "5", "--out", str(tmp_path / "out")]
    assert call(capsys, *command)[0] == 130
    monkeypatch.setattr(Trainer, "step", step)
    assert "resuming from step 5 in" in call(capsys, *command)[1]


@pytest.mark.parametrize("which", ["checkpoint", "all"])
def test_a_full_disk_is_no_traceback_and_ends_no_training(
    which: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = tmp_path / "out"
    command = ["train", *KNOWN, "--checkpoint-every", "4", "--out", str(out)]
    write, steps = TrainingCheckpoint.write, []

    def full(self: TrainingCheckpoint, folder: Path) -> Path:
        steps.append(self.step)
        if self.step == 8 or (which == "all" and self.step > 4):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, folder)

    monkeypatch.setattr(TrainingCheckpoint, "write", full)
    code, _, err = call(capsys, *command)
    assert steps == [4, 8, 12]
    warned = [record.message for record in caplog.records if "No space left" in record.message]
    assert len(warned) == 1
    assert "Training continues." in warned[0]
    if which == "checkpoint":
        assert code == 0
        return
    assert code == 1
    assert "training.safetensors could not be written (No space left on device)" in err
    assert f"The last checkpoint is kept in {out}." in err
    # What was kept before is where it goes on.
    monkeypatch.setattr(TrainingCheckpoint, "write", write)
    code, said, _ = call(capsys, *command)
    assert code == 0
    assert "resuming from step 4 in" in said
    assert call(capsys, "train", *KNOWN, "--checkpoint-every", "4", "--out", tmp_path / "whole")[0] == 0
    again, whole = weights(out / "topk"), weights(tmp_path / "whole" / "topk")
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_activations_that_are_not_finite(
    on_model: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mechscope.dictionaries.sources import models

    load = models.load_model

    def broken(*arguments: Any, **options: Any) -> HookedTransformer:
        model = load(*arguments, **options)
        with torch.no_grad():
            model.blocks[0].mlp.W_in.fill_(float("nan"))
        return model

    monkeypatch.setattr(models, "load_model", broken)
    code, _, err = call(capsys, "train", *on_model, "--out", tmp_path / "out")
    assert code == 2
    assert "NaN or infinite" in err


def test_a_loss_that_runs_away_is_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(
        capsys, "train", *KNOWN, "--architecture", "relu", "--lr", "1e30", "--out", tmp_path / "out"
    )
    assert code == 2
    assert "lower lr" in err


def test_show_and_eval_refuse_what_is_not_there(
    on_model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert call(capsys, "train", *KNOWN, "--out", out)[0] == 0
    assert "features 0 to 31, but not 32" in call(capsys, "show", out / "topk", "--feature", "32")[2]
    assert "there is nothing at" in call(capsys, "eval", tmp_path / "nowhere")[2]
    assert "There is a dictionary in topk" in call(capsys, "eval", out)[2]
    where = on_model[: on_model.index("--steps")]
    code, _, err = call(capsys, "eval", out / "topk", *where)
    assert code == 2
    assert "d_in = 64" in err
    assert "width 256" in err


@pytest.mark.slow
@pytest.mark.parametrize("data", ["replicated", "split"])
def test_two_processes_leave_what_one_does(
    data: str, on_model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [
        "-m",
        "mechscope",
        "sae",
        "train",
        *on_model,
        "--device",
        "cpu",
        "--data",
        data,
        "--out",
        str(two),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Only the first process speaks.
    assert done.stdout.count("topk (40 features)") == 1
    assert "2 processes" in done.stdout
    assert call(capsys, "train", *on_model, "--out", one)[0] == 0
    assert (two / "job.json").read_text() == (one / "job.json").read_text()
    alone, divided = weights(one / "topk"), weights(two / "topk")
    assert set(alone) == set(divided)
    for name in alone:
        torch.testing.assert_close(divided[name], alone[name], atol=1e-4, rtol=1e-3)

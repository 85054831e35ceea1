"""Names of the classic `utils` around models, tokenizers and data sets: against the reference, and misused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope import utils
from mechscope.data import text_datasets
from tests.classic.words import word_tokenizer
from tests.model.tiny import tiny_model


def peer_utils() -> Any:
    return pytest.importorskip("transformer_lens.utilities")


INITS = ("init_xavier_uniform_", "init_xavier_normal_", "init_kaiming_uniform_", "init_kaiming_normal_")


@pytest.mark.peer
@pytest.mark.parametrize("name", INITS)
@pytest.mark.parametrize("shape", [(7,), (6, 9), (3, 8, 4)])
def test_initialisers_draw_what_the_reference_draws(name: str, shape: tuple[int, ...]) -> None:
    calls: list[dict[str, Any]] = [{}, {"gain": 0.7}]
    if "kaiming" in name:
        calls += [{"nonlinearity": "leaky_relu", "a": 0.3}, {"mode": "fan_out"}, {"nonlinearity": "linear"}]
    for arguments in calls:
        torch.manual_seed(3)
        found = torch.empty(shape, dtype=torch.float64)
        assert getattr(utils, name)(found, **arguments) is found
        torch.manual_seed(3)
        expected = getattr(peer_utils(), name)(torch.empty(shape, dtype=torch.float64), **arguments)
        assert torch.allclose(found, expected, atol=1e-12), arguments
    if "kaiming" in name:
        with pytest.raises(ValueError, match="fan_in"):
            getattr(utils, name)(torch.empty(2, 2), mode="fan")


@pytest.mark.peer
def test_activations_take_their_input_by_name() -> None:
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    theirs = peer_utils()
    for name in ("gelu_new", "gelu_fast", "solu"):
        assert torch.allclose(getattr(utils, name)(input=x), getattr(theirs, name)(input=x), atol=1e-7)
    for name, function in theirs.SUPPORTED_ACTIVATIONS.items():
        if name != "xielu":
            assert torch.allclose(utils.ACTIVATION_FN_DICT[name](x), function(x), atol=1e-7), name


@pytest.mark.peer
@pytest.mark.parametrize("penalty", [0.5, 1.0, 3.0])
def test_a_repetition_penalty_changes_the_choice_as_in_the_reference(penalty: float) -> None:
    logits = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    tokens = torch.randint(0, 9, (5, 6), generator=torch.Generator().manual_seed(1))
    arguments = {"temperature": 0.0, "tokens": tokens, "repetition_penalty": penalty}
    assert torch.equal(
        utils.sample_logits(logits, **arguments), peer_utils().sample_logits(logits, **arguments)
    )
    with pytest.raises(ValueError, match="tokens so far"):
        utils.sample_logits(logits, repetition_penalty=2.0)
    with pytest.raises(ValueError, match="must be a positive number"):
        utils.sample_logits(logits, repetition_penalty=0.0, tokens=tokens)


@pytest.mark.peer
def test_check_structure_prints_what_the_reference_prints(capsys: pytest.CaptureFixture[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    base = torch.rand(4, 4, generator=generator)
    taller = base.clone()
    taller[1] += 5
    for other in (base * 2, taller, base.flip(0)):
        utils.check_structure(base, other)
        found = capsys.readouterr().out.splitlines()
        peer_utils().check_structure(base, other)
        expected = capsys.readouterr().out.splitlines()
        assert found[0] == expected[0]
    utils.check_structure(base, taller, verbose=True)
    assert "rows 0:1" in capsys.readouterr().out
    with pytest.raises(ValueError, match="two matrices of the same shape"):
        utils.check_structure(base, base[:2])


@pytest.mark.peer
def test_logits_as_a_data_frame() -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(0))
    for arguments in ({}, {"top_k": 3}, {"tokenizer": word_tokenizer(), "top_k": 5}):
        found, expected = (
            utils.logits_to_df(logits, **arguments),
            peer_utils().logits_to_df(logits, **arguments),
        )
        assert list(found) == list(expected)
        assert found["token_index"].tolist() == expected["token_index"].tolist()
        assert found["probability"].tolist() == pytest.approx(expected["probability"].tolist(), abs=1e-6)
    with pytest.raises(ValueError, match="one position"):
        utils.logits_to_df(logits[None])


def test_defaults_are_overridden_for_a_while_and_come_back() -> None:
    model = tiny_model(d_vocab=len(word_tokenizer()), n_ctx=32)
    model.set_tokenizer(word_tokenizer())
    assert utils.USE_DEFAULT_VALUE is None
    with utils.LocallyOverridenDefaults(model, prepend_bos=False, padding_side="left"):
        assert model.cfg.default_prepend_bos is False
        assert model.default_padding_side == model.tokenizer.padding_side == "left"
        with utils.LocallyOverridenDefaults(model, prepend_bos=True, padding_side=None):
            assert model.cfg.default_prepend_bos is True and model.default_padding_side == "left"
        assert model.cfg.default_prepend_bos is False
    assert model.cfg.default_prepend_bos is True and model.default_padding_side == "right"
    with (
        pytest.raises(RuntimeError, match="inside"),
        utils.LocallyOverridenDefaults(model, prepend_bos=False),
    ):
        raise RuntimeError("inside")
    assert model.cfg.default_prepend_bos is True
    with utils.LocallyOverridenDefaults(tiny_model(), padding_side="left"):
        pass  # a model without a tokenizer pads nothing, and that is no error
    for overrides, reason in (
        ({"bos": True}, "cannot be overridden"),
        ({"padding_side": "up"}, "must be one of"),
    ):
        with pytest.raises(ValueError, match=reason):
            utils.LocallyOverridenDefaults(model, **overrides)
    assert utils.override_or_use_default_value(3) == 3
    assert utils.override_or_use_default_value(3, 0) == 0


def test_small_helpers() -> None:
    def takes(a: int, b: int = 2, *, c: int = 3) -> None:
        del a, b, c

    assert utils.select_compatible_kwargs({"a": 1, "c": 2, "d": 3}, takes) == {"a": 1, "c": 2}
    assert utils.is_library_available("torch") and not utils.is_library_available("no_such_library")
    assert torch.equal(
        utils.get_matrix_corner(torch.arange(16).view(4, 4), n=2), torch.tensor([[0, 1], [4, 5]])
    )


# Tokenizers ---------------------------------------------------------------------------------------


def test_a_tokenizer_with_bos_adds_it_once_and_the_original_stays() -> None:
    plain = word_tokenizer()
    text = "the cat sat"
    with_bos = utils.get_tokenizer_with_bos(plain)
    assert with_bos.encode(text) == [plain.bos_token_id, *plain.encode(text)]
    assert plain.encode(text)[0] != plain.bos_token_id
    assert utils.get_tokenizer_with_bos(with_bos) is with_bos
    model = tiny_model(d_vocab=len(plain), n_ctx=32)
    model.set_tokenizer(with_bos)
    other = tiny_model(d_vocab=len(plain), n_ctx=32)
    other.set_tokenizer(plain)
    assert model.to_tokens(text).tolist() == other.to_tokens(text).tolist()
    assert (
        model.to_tokens(text, prepend_bos=False).tolist() == other.to_tokens(text, prepend_bos=False).tolist()
    )


def test_a_transformers_tokenizer_with_bos() -> None:
    transformers = pytest.importorskip("transformers")
    ours = word_tokenizer()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=ours.backend, bos_token=ours.bos_token, eos_token=ours.eos_token
    )
    with_bos = utils.get_tokenizer_with_bos(fast)
    assert with_bos.encode("the cat") == [fast.bos_token_id, *fast.encode("the cat")]

    class Written:
        bos_token, bos_token_id = "<s>", 1

        def encode(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

    with pytest.raises(TypeError, match="Written is not built on"):
        utils.get_tokenizer_with_bos(Written())


def test_text_with_bos_in_front() -> None:
    tokenizer = word_tokenizer()
    assert utils.get_input_with_manually_prepended_bos("<s>", "a") == "<s>a"
    assert utils.get_input_with_manually_prepended_bos(tokenizer, ["a", "b"]) == [
        f"{tokenizer.bos_token}a",
        f"{tokenizer.bos_token}b",
    ]


@pytest.mark.peer
@pytest.mark.parametrize(("side", "bos"), [("right", 1), ("left", 1), ("left", 0)])
def test_tokens_without_bos_are_the_references(side: str, bos: int) -> None:
    class Marks:
        padding_side, bos_token_id, pad_token_id = side, bos, 0

    rows = {
        "right": [[1, 5, 6, 7], [1, 5, 0, 0]],
        "left": [[bos, 5, 6, 7], [0, 0, bos, 5]],
    }[side]
    tokens = torch.tensor(rows)
    found = utils.get_tokens_with_bos_removed(Marks(), tokens)
    assert torch.equal(found, peer_utils().get_tokens_with_bos_removed(Marks(), tokens))


def test_tokens_without_a_bos_to_remove() -> None:
    class Marks:
        padding_side, bos_token_id, pad_token_id = "left", 1, 0

    with pytest.raises(ValueError, match="row 1 has no beginning-of-sequence"):
        utils.get_tokens_with_bos_removed(Marks(), torch.tensor([[1, 5, 6], [0, 5, 6]]))


# Data sets and files of the hub, without a network ------------------------------------------------


@pytest.fixture
def rows() -> Any:
    library = pytest.importorskip("datasets")
    return library.Dataset.from_dict({"text": ["the cat sat on the mat " * 4] * 6, "meta": list(range(6))})


@pytest.mark.parametrize("folder", ["pile", "NeelNanda/pile-10k"])
def test_a_data_set_on_this_machine_is_found(
    rows: Any, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.save_to_disk(str(tmp_path / "datasets" / folder))
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    found = utils.get_dataset("pile")
    assert found["text"][:] == rows["text"][:]
    texts = utils.keep_single_column(found, "text")
    assert list(texts.features) == ["text"] and len(texts) == 6
    tokens = utils.tokenize_and_concatenate(texts, word_tokenizer(), max_length=8, set_format=True)
    assert tokens[:2]["tokens"].shape == (2, 8)
    with pytest.raises(KeyError, match="no column 'texts'"):
        utils.keep_single_column(found, "texts")


@pytest.mark.filterwarnings("ignore")
def test_a_data_set_out_of_reach_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setenv("MECHSCOPE_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match=r"stay offline: load it once.*save_to_disk") as caught:
        utils.get_dataset("owt", cache_dir=str(tmp_path / "cache"))
    assert "stas/openwebtext-10k" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"no data set called 'pille'.*pile"):
        utils.get_dataset("pille")


def test_data_sets_need_their_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(text_datasets.importlib, "import_module", missing)
    with pytest.raises(ImportError, match="pip install datasets"):
        utils.get_dataset("pile")


def test_a_file_in_the_hubs_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "models--someone--toy" / "snapshots" / "abc"
    (folder / "sub").mkdir(parents=True)
    refs = tmp_path / "models--someone--toy" / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    torch.save({"W": torch.arange(3)}, folder / "weights.pth")
    torch.save({"W": torch.arange(3)}, folder / "weights.bin")
    (folder / "sub" / "config.json").write_text(json.dumps({"a": 1}))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    read = {"cache_dir": tmp_path}
    assert utils.download_file_from_hf("someone/toy", "weights.pth", **read)["W"].tolist() == [0, 1, 2]
    assert utils.download_file_from_hf("someone/toy", "config.json", subfolder="sub", **read) == {"a": 1}
    assert utils.download_file_from_hf("someone/toy", "weights.bin", **read) == folder / "weights.bin"
    forced = utils.download_file_from_hf("someone/toy", "weights.bin", force_is_torch=True, **read)
    assert forced["W"].tolist() == [0, 1, 2]
    with pytest.raises(FileNotFoundError, match=r"'other.pth' of someone/toy is not in this machine's"):
        utils.download_file_from_hf("someone/toy", "other.pth", **read)

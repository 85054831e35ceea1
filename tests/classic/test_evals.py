"""The classic evals: against models whose score is known, the peer, and misuse."""

from __future__ import annotations

import contextlib
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from mechscope import evals
from mechscope.evals import IOIDataset, induction_loss, ioi_eval
from mechscope.model.token_batch import Tokens
from mechscope.model.transformer import HookedTransformer
from tests.classic.words import word_tokenizer
from tests.model.letters import Letters
from tests.model.tiny import tiny_model, tiny_tokens

TEMPLATES = ["[A] and [B] sat at the [LOCATION], then [B] gave the [OBJECT] to [A]"]
NOUNS = {"LOCATION": ["sea", "mat"], "OBJECT": ["cat", "box"]}


class Stub(HookedTransformer):
    """A model without weights, whose logits follow from its tokens by a given rule."""

    def __init__(self, rule: Any, d_vocab: int, tokenizer: Any = None, n_ctx: int = 64) -> None:
        torch.nn.Module.__init__(self)
        self.rule = rule
        self.tokenizer = tokenizer
        self.cfg = SimpleNamespace(
            d_vocab=d_vocab, d_vocab_out=d_vocab, n_ctx=n_ctx, default_prepend_bos=True, device="cpu"
        )
        self.seen: list[torch.Tensor] = []

    def __call__(self, tokens: torch.Tensor, return_type: str = "logits") -> torch.Tensor:
        self.seen.append(tokens)
        logits = torch.zeros(*tokens.shape, self.cfg.d_vocab_out)
        self.rule(tokens, logits)
        return logits


def knows_nothing(tokens: torch.Tensor, logits: torch.Tensor) -> None:
    """Every token is as likely as any other."""


def copies(tokens: torch.Tensor, logits: torch.Tensor) -> None:
    """Predict what followed the first time this token was said."""
    for row in range(tokens.shape[0]):
        for pos in range(tokens.shape[1]):
            for before in range(pos):
                if tokens[row, before] == tokens[row, pos]:
                    logits[row, pos, tokens[row, before + 1]] = 50.0


def test_induction_loss_of_models_that_know_nothing_and_everything() -> None:
    assert float(induction_loss(Stub(knows_nothing, 40))) == pytest.approx(math.log(40), abs=1e-5)
    # tokens must differ from each other, or the stub's first match may be another one
    assert float(induction_loss(Stub(copies, 20_000), subseq_len=8)) < 1e-3


def test_induction_loss_says_random_tokens_twice() -> None:
    stub = Stub(knows_nothing, 30, word_tokenizer())
    induction_loss(stub, batch_size=3, subseq_len=5)
    tokens = stub.seen[0]
    assert tokens.shape == (3, 10) and (tokens[:, 0] == 0).all()
    assert torch.equal(tokens[:, 1:5], tokens[:, 6:])
    induction_loss(stub, batch_size=3, subseq_len=5, prepend_bos=False)
    assert torch.equal(stub.seen[1][:, :5], stub.seen[1][:, 5:])
    induction_loss(stub, batch_size=3, subseq_len=5, prepend_bos=False, seed=1)
    assert not torch.equal(stub.seen[1], stub.seen[2])
    assert float(induction_loss(tiny_model())) > 0


def test_induction_loss_says_only_tokens_that_the_model_can_predict() -> None:
    stub = Stub(knows_nothing, 40)
    stub.cfg.d_vocab_out = 7
    assert float(induction_loss(stub)) == pytest.approx(math.log(7), abs=1e-5)
    assert int(stub.seen[0].max()) == 6


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"subseq_len": 33}, "between 2 and 32.*not 33"),
        ({"subseq_len": 1}, "between 2 and 32"),
        ({"prepend_bos": True}, "beginning-of-sequence"),
    ],
)
def test_induction_loss_misused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        induction_loss(Stub(knows_nothing, 30), **options)


def dataset(**options: Any) -> IOIDataset:
    arguments: dict[str, Any] = {
        "templates": TEMPLATES,
        "nouns": NOUNS,
        "names": ["Sarah", "Daniel", "Rachel"],
    }
    return IOIDataset(word_tokenizer(), **{**arguments, "num_samples": 20, **options})


def test_sentences_hold_what_they_should() -> None:
    data, tokenizer = dataset(), word_tokenizer()
    assert len(data) == 20
    for number in range(20):
        entry = data[number]
        text = tokenizer.decode(entry["prompt"].tolist())
        io, s = (tokenizer.decode(entry[who].tolist()) for who in ("IO", "S"))
        assert entry["prompt"][0] == tokenizer.bos_token_id
        assert io != s and io[0] == s[0] == " "
        assert text.endswith(io) and text.count(io.strip()) == 2 and text.count(s.strip()) == 2
        assert "[" not in text
    assert dataset().samples == data.samples != dataset(seed=1).samples
    assert dataset(prepend_bos=False)[0]["prompt"][0] != tokenizer.bos_token_id
    pairs = dataset(symmetric=True)
    assert len(pairs) == 20
    for one, other in zip(pairs.samples[::2], pairs.samples[1::2], strict=True):
        assert (one["IO"], one["S"]) == (other["S"], other["IO"])
        exchanged = one["text"].replace(one["IO"].strip(), "_").replace(one["S"].strip(), one["IO"].strip())
        assert exchanged.replace("_", one["S"].strip()) == other["text"]
    assert len(IOIDataset(word_tokenizer(), num_samples=3)) == 3


def test_ioi_eval_of_models_that_know_the_answer_or_its_opposite() -> None:
    tokenizer = word_tokenizer()
    names = [
        tokenizer.encode(f" {name}", add_special_tokens=False)[0] for name in ("Sarah", "Daniel", "Rachel")
    ]

    def against_the_subject(by: float) -> Any:
        def rule(tokens: torch.Tensor, logits: torch.Tensor) -> None:
            for number, row in enumerate(tokens):
                said = [
                    int(token) for token in row if token in names
                ]  # the first word has no space before it
                logits[number, :, said[0]] = -by  # " [B]" comes first, then " [B]" again, then " [A]"

        return rule

    for by, accuracy in ((2.5, 1.0), (-2.5, 0.0)):
        stub = Stub(against_the_subject(by), len(tokenizer), tokenizer)
        found = ioi_eval(stub, dataset(), batch_size=7)
        assert found == {"Logit Difference": by, "Accuracy": accuracy}
        assert [len(batch) for batch in stub.seen] == [7, 7, 6]


def test_a_sentence_counts_the_same_in_any_batch() -> None:
    tokenizer = word_tokenizer()
    model = tiny_model(d_vocab=len(tokenizer), n_ctx=32)
    model.set_tokenizer(tokenizer)
    longer = [*TEMPLATES, "Then [A] and [B] sat on the [LOCATION], and then [B] gave the [OBJECT] to [A]"]
    data = dataset(templates=longer)
    assert len({len(data[number]["prompt"]) for number in range(20)}) > 1
    one, many = ioi_eval(model, data, batch_size=1), ioi_eval(model, data, batch_size=20)
    assert one["Logit Difference"] == pytest.approx(many["Logit Difference"], abs=1e-5)
    by_hand = []
    for number in range(20):
        entry = data[number]
        with torch.no_grad():
            last = model(entry["prompt"][:-1])[0, -1]
        by_hand.append(float(last[entry["IO"][0]] - last[entry["S"][0]]))
    assert one["Logit Difference"] == pytest.approx(sum(by_hand) / 20, abs=1e-5)
    assert one["Accuracy"] == pytest.approx(sum(value > 0 for value in by_hand) / 20)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"names": ["Sarah", "Sarah"]}, "two different names"),
        ({"templates": []}, "no templates"),
        ({"templates": ["[A] sat."]}, r"\[A\] and \[B\]"),
        ({"templates": ["[A] and [B] sat with [B]"]}, "end with"),
        ({"templates": ["[B] gave [THING] to [A]"]}, r"no words for \[THING\]"),
    ],
)
def test_a_data_set_that_cannot_be_made_is_an_error(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dataset(**options)


def test_sentences_begin_as_the_models_texts_do() -> None:
    tokenizer = word_tokenizer()
    for begins in (True, False):
        stub = Stub(knows_nothing, len(tokenizer), tokenizer)
        stub.cfg.default_prepend_bos = begins
        # Names of one sentence may begin with the same token in this tokenizer: what was read is what counts.
        with contextlib.suppress(ValueError):
            ioi_eval(stub, num_samples=2)
        assert all((row[0] == tokenizer.bos_token_id) == begins for batch in stub.seen for row in batch)
        assert stub.seen


def test_data_sets_of_other_tokenizers() -> None:
    letters = Letters()
    words: dict[str, Any] = {"templates": ["^[B] saw [A]"], "names": ["ann", "bob"], "num_samples": 4}
    data = IOIDataset(letters, **words)  # its encode has no add_special_tokens
    assert all(
        entry["prompt"].tolist().count(0) == 1 for entry in data
    )  # written in the text, so not doubled
    letters.bos_token_id = None  # type: ignore[assignment]
    with pytest.raises(ValueError, match="this tokenizer has none: pass prepend_bos=False"):
        IOIDataset(letters, **words)
    words["templates"] = ["[B] saw [A]"]
    assert all(0 not in entry["prompt"] for entry in IOIDataset(letters, prepend_bos=False, **words))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_differences_of_logits_in_half_precision(dtype: torch.dtype) -> None:
    class Narrow(Stub):
        def __call__(self, tokens: torch.Tensor, return_type: str = "logits") -> torch.Tensor:
            return super().__call__(tokens, return_type).to(dtype)

    def rule(tokens: torch.Tensor, logits: torch.Tensor) -> None:
        logits[:, :, 5], logits[:, :, 6] = (
            100.0,
            0.30078125,
        )  # both exact in bfloat16, unlike their difference

    entry = {"prompt": torch.tensor([0, 7, 5]), "IO": torch.tensor([5]), "S": torch.tensor([6])}
    assert ioi_eval(Narrow(rule, 30), [entry])["Logit Difference"] == pytest.approx(99.69921875, abs=1e-4)


def test_other_misuse() -> None:
    with pytest.raises(ValueError, match="tokenizer"):
        ioi_eval(tiny_model())
    same_start = {"prompt": torch.tensor([0, 5, 6]), "IO": torch.tensor([6]), "S": torch.tensor([6])}
    with pytest.raises(ValueError, match="same token"):
        ioi_eval(Stub(knows_nothing, 30), [same_start])
    with pytest.raises(ValueError, match="no batch"):
        evals.evaluate_on_dataset(tiny_model(), [])


def test_the_attention_mask_of_a_batch_is_read() -> None:
    model = tiny_model(dtype=torch.float64)
    tokens = tiny_tokens(3, 8)
    mask = torch.tensor([[1] * 8, [0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0]])
    alone = [
        model(row[real], return_type="loss", loss_per_token=True).flatten()
        for row, real in zip(tokens, mask.bool(), strict=True)
    ]
    expected = float(torch.cat(alone).mean().detach())
    for batch in ({"tokens": tokens, "attention_mask": mask}, {"tokens": Tokens(tokens, mask)}):
        assert evals.evaluate_on_dataset(model, [batch]) == pytest.approx(expected, rel=1e-9)


def test_loss_on_a_data_set_and_sanity_check() -> None:
    model = tiny_model()
    rows = [{"tokens": row} for row in tiny_tokens(6, 8)]
    found = evals.evaluate_on_dataset(model, DataLoader(rows, batch_size=2), truncate=2)
    expected = [
        float(model(tiny_tokens(6, 8)[2 * part : 2 * part + 2], return_type="loss").detach())
        for part in (0, 1)
    ]
    assert found == pytest.approx(sum(expected) / 2)
    tokenizer = word_tokenizer()
    reader: HookedTransformer = tiny_model(d_vocab=len(tokenizer), n_ctx=64)
    reader.set_tokenizer(tokenizer)
    assert evals.sanity_check(reader).ndim == 0


@pytest.mark.peer
def test_ioi_eval_and_induction_loss_agree_with_the_peer() -> None:
    peer = pytest.importorskip("transformer_lens.evals")
    tokenizer = word_tokenizer()
    table = torch.randn(len(tokenizer), len(tokenizer), generator=torch.Generator().manual_seed(0))

    def bigrams(tokens: torch.Tensor, logits: torch.Tensor) -> None:
        logits[:] = table[tokens]

    data = dataset()
    found = ioi_eval(Stub(bigrams, len(tokenizer), tokenizer), data)
    expected = peer.ioi_eval(Stub(bigrams, len(tokenizer), tokenizer), data)
    assert found == pytest.approx(expected, abs=1e-5)
    theirs = Stub(knows_nothing, 20_000, tokenizer)
    peer.induction_loss(theirs, batch_size=2, subseq_len=6, device="cpu")
    tokens = theirs.seen[0]
    assert (tokens[:, 0] == tokenizer.bos_token_id).all() and torch.equal(tokens[:, 1:6], tokens[:, 7:])

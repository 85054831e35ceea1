"""Small tests of what a language model can do: induction, indirect objects, the loss on a data set.

Source: Olsson et al. 2022 (induction); Wang et al. 2022 (indirect object identification).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset

from mechscope.arguments import is_whole_number, shown
from mechscope.data.text_datasets import get_dataset
from mechscope.data.token_rows import tokenize_and_concatenate
from mechscope.model.devices import check_device
from mechscope.model.loss import lm_cross_entropy_loss
from mechscope.model.special_tokens import begin_ids, text_ids, with_begin
from mechscope.model.token_batch import Tokens

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

# [A] is the one who receives (the indirect object), [B] the one who acts twice (the subject).
TEMPLATES = (
    "After the rain, [A] and [B] met at the [LOCATION]. [B] passed the [OBJECT] to [A]",
    "While [A] and [B] were waiting near the [LOCATION], [B] offered the [OBJECT] to [A]",
    "[A] and [B] walked home from the [LOCATION], and [B] handed the [OBJECT] to [A]",
)
NAMES = ("Sarah", "Daniel", "Rachel", "Adam", "Nicole", "Kevin")
NOUNS = {
    "LOCATION": ("station", "library", "garden", "market"),
    "OBJECT": ("book", "ring", "basket", "drink"),
}
DEFAULT_SEED = 0
"""An IOIDataset is the same every time unless a seed is given."""
PLACEHOLDER = re.compile(r"\[([A-Z_]+)\]")


def sanity_check(model: HookedTransformer) -> torch.Tensor:
    """The loss on a sentence that any English model should find easy, in nats per token."""
    _check_model(model)
    text = "The sun rises in the east and sets in the west. The sun rises in the east and sets in the west."
    return model(text, return_type="loss")


@torch.no_grad()
def evaluate_on_dataset(
    model: HookedTransformer,
    data_loader: Iterable[Mapping[str, torch.Tensor]],
    truncate: int = 100,
    device: torch.device | str | None = None,
) -> float:
    """The mean loss over batches with "tokens" [batch pos], in nats per token.

    A batch may also hold an "attention_mask" [batch pos], as tokenizers give it; `Tokens` know their own.

    Args:
        truncate: read at most so many batches.
        device: where the tokens go; None means the model's.

    Raises:
        ValueError: where there is no batch.
    """
    _check_model(model)
    losses = []
    for number, batch in enumerate(data_loader):
        if number >= truncate:
            break
        tokens = batch["tokens"].to(_device_of(model) if device is None else device)
        mask = batch.get("attention_mask")
        losses.append(float(model(tokens, return_type="loss", attention_mask=mask).mean()))
    if not losses:
        raise ValueError("there is nothing to evaluate on: the data loader gave no batch.")
    return sum(losses) / len(losses)


@torch.no_grad()
def induction_loss(
    model: HookedTransformer,
    tokenizer: Any = None,
    batch_size: int = 4,
    subseq_len: int | None = None,
    prepend_bos: bool | None = None,
    device: torch.device | str | None = None,
    *,
    seed: int = 0,
) -> torch.Tensor:
    """The loss on the second copy of random tokens said twice, in nats per token.

    Random tokens cannot be guessed, but their repetition can: ln(d_vocab_out) means no induction, 0 perfect
    induction. The first token of the second copy, which nothing announces, is not counted.

    Args:
        tokenizer: gives the beginning-of-sequence token; None means the model's.
        batch_size: how many sequences.
        subseq_len: tokens in each copy; None means 384, or half the context where that is less.
        prepend_bos: whether the first token is the beginning-of-sequence token; None follows the model.
        device: where the tokens go; None means the model's.
        seed: of the random tokens.

    Raises:
        ValueError: for copies that are too short or do not fit in the context.
    """
    _check_model(model)
    device = None if device is None else check_device(device)
    for name, value in (("batch_size", batch_size), ("subseq_len", 2 if subseq_len is None else subseq_len)):
        if not is_whole_number(value):
            raise TypeError(f"{name} is a whole number, not {shown(value)}.")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    cfg = model.cfg
    if subseq_len is None:
        subseq_len = min(384, cfg.n_ctx // 2)
    if not 2 <= subseq_len <= cfg.n_ctx // 2:
        raise ValueError(
            f"subseq_len must be between 2 and {cfg.n_ctx // 2}, half the model's context, not {subseq_len}."
        )
    tokenizer = model.tokenizer if tokenizer is None else tokenizer
    # A model that predicts fewer tokens than it reads can only be scored on those that it predicts.
    n_tokens = min(cfg.d_vocab, cfg.d_vocab_out)
    # Low ids are often special tokens and bytes, high ones rare fragments.
    low, high = (100, min(n_tokens, 20_000)) if n_tokens > 1_000 else (0, n_tokens)
    generator = torch.Generator().manual_seed(seed)
    half = torch.randint(low, high, (batch_size, subseq_len), generator=generator)
    tokens = torch.cat([half, half], dim=1)
    wants_bos = cfg.default_prepend_bos if prepend_bos is None else prepend_bos
    if wants_bos and tokenizer is not None and tokenizer.bos_token_id is not None:
        tokens[:, 0] = tokenizer.bos_token_id
    elif prepend_bos:
        raise ValueError("prepend_bos needs a tokenizer with a beginning-of-sequence token.")
    tokens = tokens.to(_device_of(model) if device is None else device)
    losses = lm_cross_entropy_loss(model(Tokens(tokens), return_type="logits"), tokens, per_token=True)
    return losses[:, subseq_len + 1 :].mean()


class IOIDataset(Dataset[dict[str, torch.Tensor]]):
    """Sentences whose last word is the one of two names that was said once.

    An entry has `prompt` [pos], the whole sentence with its answer; `IO`, the tokens of the answer; and
    `S`, those of the other name.

    Args:
        tokenizer: makes the tokens.
        templates: sentences with [A] (the answer, which ends them), [B], and the names of `nouns`.
        names: the people, at least two.
        nouns: words for each other placeholder.
        num_samples: how many sentences.
        symmetric: each sentence is followed by the one with the two names exchanged.
        prepend_bos: start with the beginning-of-sequence token.
        seed: of the choice; None means 0.

    Raises:
        ValueError: for a tokenizer without the beginning-of-sequence token that is wanted, fewer than two names,
            a template that lacks [A] or [B], or a placeholder that has no words.
    """

    def __init__(
        self,
        tokenizer: Any,
        templates: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        nouns: Mapping[str, Sequence[str]] | None = None,
        num_samples: int = 1000,
        symmetric: bool = False,
        prepend_bos: bool = True,
        seed: int | None = None,
    ) -> None:
        if tokenizer is None:
            raise ValueError("IOIDataset needs a tokenizer to make tokens of its sentences.")
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, not {num_samples}.")
        if prepend_bos and not begin_ids(tokenizer):
            raise ValueError(
                "prepend_bos needs a beginning-of-sequence token, but this tokenizer has none: pass prepend_bos=False."
            )
        self.tokenizer = tokenizer
        self.prepend_bos = prepend_bos
        self.templates = list(self.get_default_templates() if templates is None else templates)
        self.names = list(self.get_default_names() if names is None else names)
        nouns = self.get_default_nouns() if nouns is None else nouns
        self.nouns = {kind: list(words) for kind, words in nouns.items()}
        self._check()
        self._choice = random.Random(DEFAULT_SEED if seed is None else seed)
        self.samples: list[dict[str, str]] = []
        while len(self.samples) < num_samples:
            self.samples += self.get_sample(symmetric)
        del self.samples[num_samples:]

    def _check(self) -> None:
        if len(set(self.names)) < 2:
            raise ValueError(f"at least two different names are needed, not {self.names}.")
        if not self.templates:
            raise ValueError("there are no templates.")
        for template in self.templates:
            kinds = set(PLACEHOLDER.findall(template))
            if not {"A", "B"} <= kinds or not template.endswith("[A]"):
                raise ValueError(f"a template must name [A] and [B] and end with [A]: {template!r}.")
            for kind in kinds - {"A", "B"}:
                if not self.nouns.get(kind):
                    raise ValueError(f"nouns has no words for [{kind}] of the template {template!r}.")

    @staticmethod
    def get_default_names() -> list[str]:
        """The default names of people."""
        return list(NAMES)

    @staticmethod
    def get_default_templates() -> list[str]:
        """The default sentences."""
        return list(TEMPLATES)

    @staticmethod
    def get_default_nouns() -> dict[str, list[str]]:
        """The default words for each other placeholder."""
        return {kind: list(words) for kind, words in NOUNS.items()}

    def get_sample(self, symmetric: bool = False) -> list[dict[str, str]]:
        """One more sentence with its two names, or, if symmetric, it and the one with the names exchanged."""
        choice = self._choice
        template = choice.choice(self.templates)
        for kind, words in self.nouns.items():
            template = template.replace(f"[{kind}]", choice.choice(words))
        pair = choice.sample(sorted(set(self.names)), 2)
        return [
            {"text": template.replace("[A]", io).replace("[B]", s), "IO": f" {io}", "S": f" {s}"}
            for io, s in (pair, pair[::-1])[: 2 if symmetric else 1]
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        sample = self.samples[index]
        prompt = text_ids(self.tokenizer, sample["text"])
        if self.prepend_bos:
            prompt = with_begin(begin_ids(self.tokenizer), prompt)
        return {
            "prompt": torch.tensor(prompt),
            "IO": torch.tensor(text_ids(self.tokenizer, sample["IO"])),
            "S": torch.tensor(text_ids(self.tokenizer, sample["S"])),
        }


@torch.no_grad()
def ioi_eval(
    model: HookedTransformer,
    dataset: Dataset[dict[str, torch.Tensor]] | None = None,
    batch_size: int = 8,
    num_samples: int = 1000,
    tokenizer: Any = None,
    symmetric: bool = False,
) -> dict[str, float]:
    """How well a model names the indirect object.

    Without a data set, sentences begin with the beginning-of-sequence token if the model's texts do
    (`cfg.default_prepend_bos`).

    Returns:
        "Logit Difference", the mean of the answer's logit less the other name's, and "Accuracy", the
        share of sentences where it is positive. A name of several tokens counts by its first one.

    Raises:
        ValueError: where two names of a sentence begin with the same token.
    """
    _check_model(model)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    if dataset is None:
        dataset = IOIDataset(
            model.tokenizer if tokenizer is None else tokenizer,
            num_samples=num_samples,
            symmetric=symmetric,
            prepend_bos=getattr(model.cfg, "default_prepend_bos", True),
        )
    differences = []
    for batch in DataLoader(dataset, batch_size=batch_size, collate_fn=list):
        lengths = [len(entry["prompt"]) for entry in batch]
        ids = torch.zeros(len(batch), max(lengths), dtype=torch.long)
        for row, entry in zip(ids, batch, strict=True):
            row[: len(entry["prompt"])] = entry["prompt"]
        tokens = Tokens(ids, torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None])
        logits = model(tokens.to(_device_of(model)), return_type="logits")
        for row, entry, length in zip(logits, batch, lengths, strict=True):
            answer, other = int(entry["IO"][0]), int(entry["S"][0])
            if answer == other:
                raise ValueError(
                    f"the names of one sentence begin with the same token ({answer}), so a logit cannot tell them "
                    "apart; give the data set other names."
                )
            before_answer = row[length - len(entry["IO"]) - 1]
            differences.append(float(before_answer[answer]) - float(before_answer[other]))
    found = torch.tensor(differences)
    return {"Logit Difference": float(found.mean()), "Accuracy": float((found > 0).float().mean())}


def _check_model(model: Any) -> None:
    if not (callable(model) and hasattr(model, "cfg")):
        raise TypeError(f"a model is evaluated (mechscope.load_model gives one), not {shown(model)}.")


def _device_of(model: HookedTransformer) -> torch.device | str:
    return model.cfg.device or "cpu"


# Data sets by name --------------------------------------------------------------------------------


def _data_loader(name: str, tokenizer: Any, batch_size: int) -> DataLoader[Any]:
    rows = tokenize_and_concatenate(get_dataset(name), tokenizer)
    return DataLoader(rows, batch_size=batch_size, shuffle=True, drop_last=True)


def make_wiki_data_loader(tokenizer: Any, batch_size: int = 8) -> DataLoader[Any]:
    """Batches of tokens of Wikipedia articles (see `get_dataset` for where it searches)."""
    return _data_loader("wiki", tokenizer, batch_size)


def make_owt_data_loader(tokenizer: Any, batch_size: int = 8) -> DataLoader[Any]:
    """Batches of tokens of OpenWebText."""
    return _data_loader("owt", tokenizer, batch_size)


def make_pile_data_loader(tokenizer: Any, batch_size: int = 8) -> DataLoader[Any]:
    """Batches of tokens of the Pile."""
    return _data_loader("pile", tokenizer, batch_size)


def make_code_data_loader(tokenizer: Any, batch_size: int = 8) -> DataLoader[Any]:
    """Batches of tokens of Python code."""
    return _data_loader("code", tokenizer, batch_size)


DATASET_NAMES = ["wiki", "owt", "pile", "code"]
DATASET_LOADERS = [
    make_wiki_data_loader,
    make_owt_data_loader,
    make_pile_data_loader,
    make_code_data_loader,
]


def evaluate(
    model: HookedTransformer, truncate: int = 100, batch_size: int = 8, tokenizer: Any = None
) -> dict[str, float]:
    """The mean loss on each of DATASET_NAMES, in nats per token ("wiki_loss", …).

    Args:
        truncate: the most batches to read of each.
        tokenizer: None means the model's.

    Raises:
        FileNotFoundError: for a data set that is not on this machine and cannot be downloaded.
    """
    tokenizer = model.tokenizer if tokenizer is None else tokenizer
    loaders = {
        name: make(tokenizer, batch_size) for name, make in zip(DATASET_NAMES, DATASET_LOADERS, strict=True)
    }
    return {f"{name}_loss": evaluate_on_dataset(model, loader, truncate) for name, loader in loaders.items()}

"""The classic module `evals`: induction, indirect object identification, and the loss on data sets.

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

# [A] is the indirect object, [B] the subject, which occurs twice.
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
"""The seed of an IOIDataset if none is given."""
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

    A batch may also have an "attention_mask" [batch pos], as tokenizers return it; `Tokens` have their own.

    Args:
        model: the model.
        data_loader: the batches.
        truncate: read at most this many batches.
        device: where the tokens are moved; None means the model's device.

    Raises:
        ValueError: if there is no batch.
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
        raise ValueError("there is nothing to evaluate on: the data loader has no batches.")
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
    """The loss on the second copy of a random sequence that is repeated once, in nats per token.

    Random tokens cannot be predicted, but their repetition can: ln(d_vocab_out) means no induction, 0 perfect
    induction. The first token of the second copy cannot be predicted and is not counted.

    Args:
        model: the model.
        tokenizer: has the beginning-of-sequence token; None means the model's tokenizer.
        batch_size: the number of sequences.
        subseq_len: the number of tokens in each copy; None means 384, or half the context if that is less.
        prepend_bos: whether the first token is the beginning-of-sequence token; None follows the model.
        device: where the tokens are moved; None means the model's device.
        seed: the seed of the random tokens.

    Raises:
        TypeError: for a batch size or length that is not a whole number.
        ValueError: for copies that are too short or too long for the context.

    >>> import math
    >>> from mechscope.model.transformer import HookedTransformer
    >>> model = HookedTransformer({"n_layers": 1, "d_model": 8, "n_ctx": 64, "d_head": 4, "d_vocab": 50,
    ...                            "attn_only": True, "init_mode": "zeros"})
    >>> abs(float(induction_loss(model)) - math.log(50)) < 1e-4  # a model that knows nothing
    True
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
    # A model that predicts fewer tokens than it reads can only be scored on the tokens that it predicts.
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
    """Sentences with two names whose last word is the name that occurred only once.

    An entry has `prompt` [pos], the whole sentence with its answer; `IO`, the tokens of the answer; and `S`, the tokens
    of the other name.

    Args:
        tokenizer: the tokenizer.
        templates: sentences with [A] (the answer, at the end), [B], and placeholders of `nouns`.
        names: the names of people, at least two.
        nouns: the words for each other placeholder.
        num_samples: the number of sentences.
        symmetric: follow each sentence with the one in which the two names are exchanged.
        prepend_bos: start with the beginning-of-sequence token.
        seed: the seed of the random choices; None means 0.

    Raises:
        ValueError: for a tokenizer without the beginning-of-sequence token that `prepend_bos` needs, fewer than two
            names, a template without [A] or [B], or a placeholder without words.
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
            raise ValueError("IOIDataset needs a tokenizer for its sentences.")
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
            raise ValueError(f"IOIDataset needs at least two different names, not {self.names}.")
        if not self.templates:
            raise ValueError("there are no templates.")
        for template in self.templates:
            kinds = set(PLACEHOLDER.findall(template))
            if not {"A", "B"} <= kinds or not template.endswith("[A]"):
                raise ValueError(f"a template must name [A] and [B] and end with [A]: {template!r}.")
            for kind in kinds - {"A", "B"}:
                if not self.nouns.get(kind):
                    raise ValueError(f"nouns has no words for [{kind}] in the template {template!r}.")

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
        """A new sentence with its two names; if `symmetric`, also the one with the names exchanged."""
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
    """How well a model predicts the indirect object.

    Args:
        model: the model.
        dataset: the sentences; None makes an `IOIDataset`, with the beginning-of-sequence token if
            `cfg.default_prepend_bos` is True.
        batch_size: sentences per forward pass.
        num_samples: the number of sentences of a new data set.
        tokenizer: the tokenizer of a new data set; None means the model's.
        symmetric: see `IOIDataset`.

    Returns:
        "Logit Difference", the mean difference between the logits of the answer and the other name, and "Accuracy", the
        share of sentences where it is positive. Of a name with several tokens, the first one counts.

    Raises:
        ValueError: if the two names of a sentence begin with the same token.
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
                    f"the two names of a sentence begin with the same token ({answer}), so logits cannot distinguish "
                    "them; give the data set other names."
                )
            before_answer = row[length - len(entry["IO"]) - 1]
            differences.append(float(before_answer[answer]) - float(before_answer[other]))
    found = torch.tensor(differences)
    return {"Logit Difference": float(found.mean()), "Accuracy": float((found > 0).float().mean())}


def _check_model(model: Any) -> None:
    if not (callable(model) and hasattr(model, "cfg")):
        raise TypeError(
            f"give a model to evaluate (such as mechscope.load_model returns), not {shown(model)}."
        )


def _device_of(model: HookedTransformer) -> torch.device | str:
    return model.cfg.device or "cpu"


# Data sets by name --------------------------------------------------------------------------------


def _data_loader(name: str, tokenizer: Any, batch_size: int) -> DataLoader[Any]:
    rows = tokenize_and_concatenate(get_dataset(name), tokenizer)
    return DataLoader(rows, batch_size=batch_size, shuffle=True, drop_last=True)


def make_wiki_data_loader(tokenizer: Any, batch_size: int = 8) -> DataLoader[Any]:
    """Batches of tokens of Wikipedia articles (see `get_dataset` for where they are found)."""
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
        model: the model.
        truncate: read at most this many batches of each.
        batch_size: rows per batch.
        tokenizer: the tokenizer; None means the model's.

    Raises:
        FileNotFoundError: for a data set that is not on this machine and cannot be downloaded.
    """
    tokenizer = model.tokenizer if tokenizer is None else tokenizer
    loaders = {
        name: make(tokenizer, batch_size) for name, make in zip(DATASET_NAMES, DATASET_LOADERS, strict=True)
    }
    return {f"{name}_loss": evaluate_on_dataset(model, loader, truncate) for name, loader in loaders.items()}

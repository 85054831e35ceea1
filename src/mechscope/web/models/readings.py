"""What the microscope reads from runs of models that the server has: the same as viz/components/local_model.js."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from mechscope import patching
from mechscope.arguments import brief_repr
from mechscope.pages.endpoints import check_time, refused_as
from mechscope.tasks.metrics import Answers
from mechscope.techniques.direct_logit_attribution import LogitTerms
from mechscope.techniques.logit_lens import logit_lens
from mechscope.web.models.interventions import check_tokens, hooks_of
from mechscope.web.models.messages import (
    MOST_INTERVENTIONS,
    MOST_TOKENS,
    AttentionRequest,
    AttributionRequest,
    BestToken,
    LensRequest,
    LensTable,
    Losses,
    ModelShape,
    NextRequest,
    NextToken,
    NextTokens,
    PatchingMap,
    PatchingRequest,
    RunRequest,
    Table,
    TextRequest,
    TextTokens,
)
from mechscope.web.models.shelf import ModelShelf
from mechscope.web.models.token_labels import is_partial, token_labels

MOST_RUNS = 3
"""How many runs are kept, so that several questions about one run cost one pass."""
SWEEPS = {
    "residual": patching.get_act_patch_resid_pre,
    "attention": patching.get_act_patch_attn_out,
    "mlp": patching.get_act_patch_mlp_out,
    "heads": patching.get_act_patch_attn_head_out_all_pos,
}
"""What is patched → the sweep over it."""


@dataclass(frozen=True)
class Run:
    """What is kept of a run."""

    logits: torch.Tensor
    """[pos d_vocab_out]"""
    patterns: list[torch.Tensor]
    """Per layer [head query key]."""
    norms: torch.Tensor
    """Length of the residual stream [layer pos]: into each block, and at the end."""

    __repr__ = brief_repr


class Readings:
    """Handlers of the endpoints about models.

    Args:
        shelf: where models come from.
    """

    def __init__(self, shelf: ModelShelf) -> None:
        self.shelf = shelf
        self._runs: OrderedDict[tuple[Any, ...], tuple[weakref.ref[Any], Run]] = OrderedDict()

    def shape(self, name: str) -> ModelShape:
        """Load a model, and say what the microscope must know about it."""
        cfg = self.shelf.get(name).cfg
        return ModelShape(
            model_name=name,
            n_layers=cfg.n_layers,
            n_heads=cfg.n_heads,
            n_ctx=min(cfg.n_ctx, MOST_TOKENS),
            d_vocab=cfg.d_vocab,
            d_vocab_out=cfg.d_vocab_out,
            attn_only=cfg.attn_only,
            d_mlp=None if cfg.attn_only else cfg.d_mlp,
        )

    def tokens(self, request: TextRequest) -> TextTokens:
        """A text as tokens."""
        model = self.shelf.get(request.model)
        with refused_as(409):
            if model.tokenizer is None:
                ids = _numbers(request.text, model.cfg.d_vocab)
            else:
                tokens = model.to_tokens(
                    request.text, truncate=False, **({"prepend_bos": False} if request.is_word else {})
                )
                ids = tokens[0].tolist()
            if len(ids) > (most := min(model.cfg.n_ctx, MOST_TOKENS)):
                raise ValueError(
                    f"the text has {len(ids)} tokens for {request.model}, and it reads at most {most} here: shorten "
                    f"the text by {len(ids) - most}."
                )
            if not ids and not request.is_word:
                raise ValueError("the text has no tokens: type something.")
        return TextTokens(
            tokens=tuple(ids),
            strings=tuple(token_labels(model, ids)),
            split=any(is_partial(model, token) for token in ids),
        )

    def next(self, request: NextRequest) -> NextTokens:
        """The likeliest next tokens, and some others."""
        model, run = self._run(request)
        with refused_as(409):
            logits = run.logits[_checked("position", request.position, len(request.tokens))]
            for token in request.also:
                _checked("token", token, len(logits))
        probabilities = logits.softmax(-1)
        best = probabilities.topk(min(request.k, len(logits))).indices.tolist()

        def row(token: int) -> NextToken:
            (name,) = token_labels(model, [token])
            return NextToken(
                token=token, name=name, probability=float(probabilities[token]), logit=float(logits[token])
            )

        return NextTokens(best=tuple(map(row, best)), also=tuple(map(row, request.also)))

    def losses(self, request: RunRequest) -> Losses:
        """The loss on each next token."""
        _, run = self._run(request)
        following = torch.tensor(request.tokens[1:], dtype=torch.long)
        with refused_as(409):
            for token in request.tokens[1:]:
                _checked("token", token, run.logits.shape[-1])
        losses = torch.nn.functional.cross_entropy(run.logits[:-1], following, reduction="none")
        return Losses(losses=(*losses.tolist(), None))

    def attention(self, request: AttentionRequest) -> bytes:
        """The patterns of a layer as float32."""
        _, run = self._run(request)
        with refused_as(409):
            pattern = run.patterns[_checked("layer", request.layer, len(run.patterns))]
        return pattern.contiguous().numpy().astype("<f4").tobytes()

    def norms(self, request: RunRequest) -> Table:
        """Lengths of the residual stream."""
        _, run = self._run(request)
        rows = [f"into block {layer}" for layer in range(len(run.patterns))]
        return Table(rows=(*rows, "at the end"), values=tuple(run.norms.flatten().tolist()))

    def lens(self, request: LensRequest) -> LensTable:
        """The logit lens."""
        with self._hooked(request) as model:
            _checked("token", request.token, model.cfg.d_vocab_out)
            targets = torch.full((1, len(request.tokens)), request.token)
            found = logit_lens(model, torch.tensor([request.tokens]), targets=targets, top=1, progress=False)
        probabilities = torch.tensor(found.top_probability.values.values[0, :, :, 0])
        best = tuple(
            tuple(
                BestToken(name=name, probability=float(probability))
                for name, probability in zip(token_labels(model, tokens.tolist()), row, strict=True)
            )
            for tokens, row in zip(found.top_tokens[0, :, :, 0], probabilities, strict=True)
        )
        rows = ["embedding", *(f"after block {layer}" for layer in range(model.cfg.n_layers))]
        return LensTable(
            rows=tuple(rows), values=tuple(found.logit.values.values.ravel().tolist()), best=best
        )

    def attribution(self, request: AttributionRequest) -> Table:
        """Direct logit attribution of a token."""
        with self._hooked(request) as model:
            position = _checked("position", request.position, len(request.tokens))
            token = _checked("token", request.token, model.cfg.d_vocab_out)
            answers = Answers(torch.tensor([[position]]), torch.tensor([[[token]]]))
            tokens = torch.tensor([request.tokens])
            terms = LogitTerms(model, tokens, request.by == "everywhere", answers=answers)
            with torch.no_grad():
                if request.by == "source":
                    return _by_source(terms)
                values, names = terms.components(split_heads=True)
                whole = terms.total()
        rows: dict[str, torch.Tensor] = {}
        for name, value in zip(names, values[0].unbind(-1), strict=True):
            label = _label(name)
            rows[label] = rows[label] + value if label in rows else value
        rows["biases"] = rows.pop("biases", torch.zeros_like(values[0, :, 0]))  # last, as in the browser
        if request.edits:
            # What was added to the stream from outside, by steering or a patch.
            rows["interventions"] = whole[0] - values[0].sum(-1)
        return Table(rows=tuple(rows), values=tuple(torch.stack([*rows.values()]).flatten().tolist()))

    def patching(self, request: PatchingRequest) -> PatchingMap:
        """A patching map, computed by the sweep engine."""
        model = self.shelf.get(request.model)
        with refused_as(409):
            check_tokens(request.tokens, model)
            check_tokens(request.source, model, "source")
            if len(request.tokens) != len(request.source) or len(request.tokens) > MOST_TOKENS:
                raise ValueError(
                    f"the texts have {len(request.tokens)} and {len(request.source)} tokens; they must have the same "
                    f"number, and at most {MOST_TOKENS}."
                )
            if request.site == "mlp" and model.cfg.attn_only:
                raise ValueError(f"{request.model} has no MLPs: its blocks are attention only.")
            position = _checked("position", request.position, len(request.tokens))
            plus = _checked("plus", request.plus, model.cfg.d_vocab_out)
            minus = _checked("minus", request.minus, model.cfg.d_vocab_out)

        def measure(logits: torch.Tensor) -> torch.Tensor:
            check_time()
            return logits[0, position, plus] - logits[0, position, minus]

        with torch.no_grad():
            _, cache = model.run_with_cache(torch.tensor([request.source]), return_type=None)
            found = SWEEPS[request.site](
                model, torch.tensor([request.tokens]), cache, measure, progress=False
            )
        return PatchingMap(values=tuple(found.flatten().tolist()))

    # Runs ------------------------------------------------------------------------------------------------

    @contextmanager
    def _hooked(self, request: RunRequest) -> Generator[Any]:
        """The model with the interventions of a request in place."""
        model = self.shelf.get(request.model)
        with refused_as(409):
            if len(request.tokens) > MOST_TOKENS or len(request.edits) > MOST_INTERVENTIONS:
                raise ValueError(
                    f"a run has at most {MOST_TOKENS} tokens and {MOST_INTERVENTIONS} interventions, and this one has "
                    f"{len(request.tokens)} and {len(request.edits)}."
                )
            check_tokens(request.tokens, model)
            hooks = hooks_of(request.edits, model, len(request.tokens))
        with model.hooks(fwd_hooks=hooks), refused_as(409):
            yield model

    def _run(self, request: RunRequest) -> tuple[Any, Run]:
        model = self.shelf.get(request.model)
        key = (request.model, request.tokens, request.edits)
        of_model, run = self._runs.get(key, (None, None))
        # A model that has been loaded again may be another one of the same name.
        if run is None or of_model is None or of_model() is not model:
            with self._hooked(request), torch.no_grad():
                run = _compute(model, torch.tensor([request.tokens]))
            self._runs[key] = (weakref.ref(model), run)
            while len(self._runs) > MOST_RUNS:
                self._runs.popitem(last=False)
        self._runs.move_to_end(key)
        return model, run


def _compute(model: Any, tokens: torch.Tensor) -> Run:
    n_layers = model.cfg.n_layers
    streams = [f"blocks.{layer}.hook_resid_pre" for layer in range(n_layers)]
    streams.append(f"blocks.{n_layers - 1}.hook_resid_post")
    patterns = [f"blocks.{layer}.attn.hook_pattern" for layer in range(n_layers)]
    logits, cache = model.run_with_cache(tokens, names_filter=[*streams, *patterns])
    if not bool(logits.isfinite().all()):
        raise ValueError("with these interventions the logits are not finite numbers: use smaller ones.")
    return Run(
        logits[0].float().cpu(),
        [cache[name][0].float().cpu() for name in patterns],
        torch.stack([cache[name][0].float().norm(dim=-1).cpu() for name in streams]),
    )


def _by_source(terms: LogitTerms) -> Table:
    by_source = terms.sources()[:, 0, 0]  # [layer head key]
    whole = terms.heads()[:, 0, 0]  # [layer head]
    # A head whose output was edited does not come from its sources any more.
    edited = (by_source.sum(-1) - whole).abs() > 1e-3 * (1 + whole.abs())
    layers, heads, n_keys = by_source.shape
    values: list[float | None] = []
    for layer in range(layers):
        for head in range(heads):
            values += [None] * n_keys if edited[layer, head] else by_source[layer, head].tolist()
    rows = tuple(f"L{layer}H{head}" for layer in range(layers) for head in range(heads))
    return Table(rows=rows, values=tuple(values))


def _label(name: str) -> str:
    """The browser's name of a component: "a0.h1" → "L0H1", "m2" → "MLP 2"; everything constant is "biases"."""
    if name in ("embed", "pos_embed"):
        return name
    if "." in name:
        layer, _, head = name.partition(".")
        return f"L{layer[1:]}H{head[1:]}"
    return f"MLP {name[1:]}" if name.startswith("m") and name[1:].isdecimal() else "biases"


def _numbers(text: str, size: int) -> list[int]:
    words = text.replace(",", " ").split()
    for word in words:
        if not word.isascii() or not word.isdecimal() or len(word) > 12 or int(word) >= size:
            raise ValueError(
                f"this model reads numbers from 0 to {size - 1}, separated by spaces, and {word!r} is not one of them."
            )
    return [int(word) for word in words]


def _checked(what: str, value: int, size: int) -> int:
    if not 0 <= value < size:
        raise ValueError(f"{what} is {value}, and there are 0 to {size - 1}.")
    return value

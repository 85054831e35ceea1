"""What the microscope asks about a model that the server runs, and what it is answered. Does not load torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from mechscope.pages.endpoints import Length
from mechscope.settings import Range, Settings

MOST_TOKENS = 256
"""The longest text that the server reads for the microscope: attention grows with the square of it."""
MOST_INTERVENTIONS = 50
"""The most interventions in one run."""

Name = Annotated[str, Length(least=1, most=200)]
Text = Annotated[str, Length(most=20_000)]
Token = Annotated[int, Range(least=0, most=2**31 - 1)]
Place = Annotated[int, Range(least=0, most=100_000)]
"""A layer, head or position."""
Strength = Annotated[float, Range(least=-1e6, most=1e6)]


@dataclass(frozen=True, kw_only=True)
class Intervention(Settings):
    """One change of a run, as the microscope describes it (viz/components/edits.js has the same kinds)."""

    kind: Literal[
        "ablate_head",
        "ablate_mlp",
        "mean_head",
        "mean_mlp",
        "scale_head",
        "scale_mlp",
        "ablate_neuron",
        "add_neuron",
        "steer",
        "contrast",
        "patch",
    ]
    """What is done: set to zero, replaced by the mean over positions, multiplied, added to; a direction added that
    comes from the unembedding (steer) or from two texts (contrast); replaced by another text's activation (patch)."""
    layer: Place
    """The block."""
    head: Place | None = None
    """For kinds that end in _head: which one."""
    neuron: Place | None = None
    """For kinds that end in _neuron: which one of the MLP."""
    amount: Strength | None = None
    """For add_neuron: what is added to its activation at every position."""
    factor: Strength | None = None
    """For kinds that begin with scale_: what the output is multiplied by."""
    scale: Strength | None = None
    """For steer and contrast: how many unit lengths of the direction are added before the block."""
    position: Place | None = None
    """For steer and contrast: the only position where the direction is added; null means all."""
    token: Token | None = None
    """For steer: the token whose column of the unembedding is the direction."""
    minus_token: Token | None = None
    """For steer: a token whose column is subtracted."""
    plus: tuple[Token, ...] | None = None
    """For contrast: tokens of the text that the direction leads to."""
    minus: tuple[Token, ...] | None = None
    """For contrast: tokens of the text that it comes from."""
    site: Literal["residual", "attention", "mlp", "heads"] | None = None
    """For patch: what is replaced."""
    index: Place | None = None
    """For patch: the position, or for heads the head."""
    source: tuple[Token, ...] | None = None
    """For patch: tokens of the other text, as many as those of the run."""
    name: Annotated[str, Length(most=5_000)] = ""
    """For the reader: the token in words."""
    minus_name: Annotated[str, Length(most=5_000)] = ""
    """For the reader: the other token in words."""
    plus_text: Annotated[str, Length(most=5_000)] = ""
    """For the reader: the text that the direction leads to."""
    minus_text: Annotated[str, Length(most=5_000)] = ""
    """For the reader: the text that it comes from."""


@dataclass(frozen=True, kw_only=True)
class MachineModel(Settings):
    """A model that this machine has, or could fetch."""

    name: str
    """The name for load_model."""
    where: str
    """Where it is, in words."""
    megabytes: float | None
    """Size of its files; null if they are not on this machine."""
    is_here: bool
    """Whether it can be opened now."""
    is_loaded: bool
    """Whether it is in memory."""


@dataclass(frozen=True, kw_only=True)
class MachineModels(Settings):
    """The models that this machine has, and those that `mechscope models get` fetches."""

    models: tuple[MachineModel, ...]
    """Bundled ones first."""


@dataclass(frozen=True, kw_only=True)
class ModelRequest(Settings):
    """A model."""

    model: Name
    """Its name."""


@dataclass(frozen=True, kw_only=True)
class ModelShape(Settings):
    """What the microscope must know about a model."""

    model_name: str
    """Its name."""
    n_layers: int
    """How many blocks."""
    n_heads: int
    """How many heads in each."""
    n_ctx: int
    """The longest text in tokens that is read here."""
    d_vocab: int
    """How many tokens it reads."""
    d_vocab_out: int
    """How many tokens it predicts."""
    attn_only: bool
    """Whether its blocks have no MLP."""
    d_mlp: int | None
    """How many neurons an MLP has; null without MLPs."""


@dataclass(frozen=True, kw_only=True)
class TextRequest(Settings):
    """A text to turn into tokens."""

    model: Name
    """The model whose tokenizer is used."""
    text: Text
    """The text."""
    is_word: bool = False
    """Whether it is a word, before which no beginning-of-sequence token belongs."""


@dataclass(frozen=True, kw_only=True)
class TextTokens(Settings):
    """A text as tokens."""

    tokens: tuple[int, ...]
    """Their ids."""
    strings: tuple[str, ...]
    """Each of them as text; a part of a character as its bytes, as in <0xF0>."""
    split: bool
    """Whether some are only parts of characters."""


@dataclass(frozen=True, kw_only=True)
class RunRequest(Settings):
    """A run of a model on tokens, with interventions."""

    model: Name
    """The model's name."""
    tokens: tuple[Token, ...]
    """Token ids."""
    edits: tuple[Intervention, ...] = ()
    """Interventions, each on top of those before it."""


@dataclass(frozen=True, kw_only=True)
class NextRequest(RunRequest):
    """Which tokens come next at a position."""

    position: Place
    """The position."""
    k: Annotated[int, Range(least=0, most=100)] = 10
    """How many of the likeliest."""
    also: tuple[Token, ...] = ()
    """Tokens of interest besides."""


@dataclass(frozen=True, kw_only=True)
class NextToken(Settings):
    """A token and how likely it is next."""

    token: int
    """Its id."""
    name: str
    """As text."""
    probability: float
    """From 0 to 1."""
    logit: float
    """Its logit."""


@dataclass(frozen=True, kw_only=True)
class NextTokens(Settings):
    """The tokens that were asked about."""

    best: tuple[NextToken, ...]
    """The likeliest, in order."""
    also: tuple[NextToken, ...]
    """The tokens of interest, in the order of the request."""


@dataclass(frozen=True, kw_only=True)
class Losses(Settings):
    """Losses per token."""

    losses: tuple[float | None, ...]
    """At each position, the loss on the next token in nats; null at the last one."""


@dataclass(frozen=True, kw_only=True)
class AttentionRequest(RunRequest):
    """The attention patterns of a layer; answered with float32 numbers [head query key], little-endian."""

    layer: Place
    """The layer."""


@dataclass(frozen=True, kw_only=True)
class LensRequest(RunRequest):
    """The logit lens."""

    token: Token
    """The token whose logit is wanted."""


@dataclass(frozen=True, kw_only=True)
class AttributionRequest(RunRequest):
    """Direct logit attribution."""

    token: Token
    """The token whose logit is split."""
    position: Place
    """The position where it is predicted; of no meaning for "everywhere"."""
    by: Literal["component", "source", "everywhere"] = "component"
    """A number per component; each head by the position that it reads from; or components at every position."""


@dataclass(frozen=True, kw_only=True)
class Table(Settings):
    """Numbers by component or layer (rows)."""

    rows: tuple[str, ...]
    """What each row is."""
    values: tuple[float | None, ...]
    """Row by row; null where there is no number."""


@dataclass(frozen=True, kw_only=True)
class BestToken(Settings):
    """The likeliest token at one point of the logit lens."""

    name: str
    """As text."""
    probability: float
    """From 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class LensTable(Table):
    """The logit lens: logits of the token, layers by positions."""

    best: tuple[tuple[BestToken, ...], ...]
    """The likeliest token after each layer, at each position."""


@dataclass(frozen=True, kw_only=True)
class PatchingRequest(Settings):
    """A patching map."""

    model: Name
    """The model's name."""
    tokens: tuple[Token, ...]
    """Tokens of the run that is patched."""
    source: tuple[Token, ...]
    """Tokens of the run that activations are taken from, as many."""
    site: Literal["residual", "attention", "mlp", "heads"]
    """What is patched."""
    position: Place
    """Where the answer is read."""
    plus: Token
    """The token whose logit counts."""
    minus: Token
    """The token whose logit is subtracted."""


@dataclass(frozen=True, kw_only=True)
class PatchingMap(Settings):
    """The logit difference after each single patch."""

    values: tuple[float, ...]
    """Layers by positions or heads, row by row."""

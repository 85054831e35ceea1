"""The card of superposition-instances: what each group shows, and a line of figures for each of its settings."""

from __future__ import annotations

from collections.abc import Sequence

from mechscope.checkpoints.toy_networks import Group

ABOUT = {
    "intro": "importance 0.9^i. Two features at density 1, all five when they are sparse: the picture to start with",
    "counting": "importance 0.7^i, every start. How many features are represented as they get sparser; WᵀW as a "
    "heatmap",
    "pentagon": "importance 1, every start. Nearly all of them end as a regular pentagon, and some do not",
    "boundary": "importance of feature 1 from 0.1 to 10, densities at multiples of p*, where sharing begins to pay",
    "phase-grid": "a grid of importances and densities, to be drawn next to its closed form",
    "correlated": "features 0 and 1 are present together or not at all, and so are 2 and 3: right angles within a pair",
    "anticorrelated": "features 0 and 1 are never present together, nor are 2 and 3: they point in opposite directions",
    "crowd": "importance 1; biases begin at p/2, so that no output is stuck at zero when all features are dense. "
    "Dimensions per feature stay at 1/2 over a whole range of densities",
    "polytopes": "importance 1, every start. On both sides of that plateau: pentagons, square antiprisms",
    "privileged": "importance 0.75^i, h = ReLU(W x). Units that stand for one feature, or for several",
    "abs": "importance 0.8^i, features on [-1, 1], h = ReLU(W x), a separate W_out, and |x| as the target",
}
"""Name of a group → what distinguishes it, and what it shows."""
SHOWN = tuple(name for name in ABOUT if name not in ("boundary", "phase-grid"))
"""Groups whose settings are listed one by one; the others have a network for each cell of a map."""
QUOTED = ("abs_loss", "abs_loss_dense_trained", "abs_dense")
"""Numbers of step 01 that the card quotes without a condition on them."""

HEAD = """# {name}

Small networks that mechscope trained to squeeze more features through a layer than it has dimensions: those of step 01,
for pages that show superposition without training anything. It contains {kept} networks, the best starts of {trained}
that were trained; {parameters} numbers, stored in float16.

- Made by: `{command}` ({made_on}), seed {seed}.
- To load: `models = mechscope.load_toy_models()`, then `models["intro"].at(0.05).W`. These are no transformers.
- Each network: x ↦ ReLU(W_outᵀ h + b), h = W x, W_out = W, unless stated otherwise below.
- Data: synthetic, drawn with the seed; no text. A feature is present with probability p (its density), and is then
  uniform on [0, 1].
- Training: AdamW on the squared error weighted by importance, fresh data at every step, a learning rate that falls to
  zero over the second half. For each setting the start with the lowest loss is kept; “every start” means all of them.
- W of one or two dimensions is rotated so that feature 0 points along the first axis and feature 1 above it. That
  changes no output, and makes a series of densities comparable, like the frames of a film.
- Licence: MIT, like mechscope.

## Groups
"""

TAIL = """
## Losses

Losses of the best start of each setting as stored, on fresh data; next to them the lowest loss of any linear map with
the same number of dimensions (principal components, in closed form; for absolute values, the mean), and how many
features have a direction longer than 1/2. When all features are dense the two losses agree, except for `abs`, which no
linear map can do: superposition pays only if features are sparse. Loss is the mean over inputs of Σ Iᵢ (yᵢ − xᵢ)².

| group | density | loss | best linear map | share | features |
| --- | --- | --- | --- | --- | --- |
{rows}

## What is known inside

- Two features, one dimension: antipodal in {below_antipodal:.0f} % of the settings at 0.8 p* and below, the less
  important one ignored in {above_ignored:.0f} % at 1.7 p* and above. p* = 4I/(2 + 5I) for I ≤ 1, 4/(5 + 2I) for I ≥ 1.
- Five equal features: {pentagons:.0f} % of {pentagon_starts:.0f} starts are pentagons.
- Pairs: |cos| is {cos_correlated:.2f} or less between features that occur together, cos {cos_anticorrelated:.2f} or
  less between those that exclude each other.
- Crowd: {at_half:.0f} % of the represented features have half a dimension at densities from 0.35 to 0.5; all features
  together have {packing_least:.1f} to {packing_most:.1f} % of the dimensions.
- Privileged basis: {mono_dense:.0f} % of the units monosemantic at density 0.5 and above, {poly_sparse:.0f} %
  polysemantic at 0.08 and below.
- Absolute values: {abs_dense:.0f} % of the units monosemantic at density 1, {abs_sparse:.0f} % at 0.003. Note that the
  network trained at density 0.03 has a loss of {abs_loss:.4f} there, and the one trained at density 1, with only its
  biases scaled down, {abs_loss_dense_trained:.4f}.
- No condition requires the rarer polytopes, triangles and tetrahedra.
"""


def card_of(groups: Sequence[Group]) -> str:
    """The card's template; its numbers come from the recipe's figures and words, its settings from the groups."""
    by_name = {group.name: group for group in groups}
    listed = "\n".join(f"- `{name}`: {_shape(by_name[name])}; {ABOUT[name]}." for name in ABOUT)
    rows = "\n".join(
        f"| {name} | {density:.3g} | {{{name}_{setting}_loss:.2e}} | {{{name}_{setting}_linear:.2e}} "
        f"| {{{name}_{setting}_share:.2f}} | {{{name}_{setting}_features:.0f}} |"
        for name in SHOWN
        for setting, density in enumerate(by_name[name].density)
    )
    # The rows are a template themselves, so they are put in as text.
    return f"{HEAD}\n{listed}\n{TAIL.replace('{rows}', rows)}"


def _shape(group: Group) -> str:
    settings = len(group.density)
    many = "" if settings == 1 else f", {settings} settings"
    return (
        f"{group.n_features} features in {group.n_hidden} dimension{'s' if group.n_hidden > 1 else ''}{many}, "
        f"{group.starts} start{'s' if group.starts > 1 else ''} each, {group.steps:,} steps of {group.batch}"
    )

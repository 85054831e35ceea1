"""The claims of step 05."""

from __future__ import annotations

from mechscope.labs.claim import Claim, Condition
from mechscope.labs.sae.real_claims import REAL_CLAIMS

_SHARKEY = (
    "Sharkey, Braun and Millidge (2022), “Taking features out of superposition with sparse autoencoders”"
)
_BRICKEN = "Bricken et al. (2023), “Towards Monosemanticity”"
_GAO = "Gao et al. (2024), “Scaling and evaluating sparse autoencoders”"
_OURS = "design of this lab"

MODEL, PARTNER, LARGE, PEER = "language model", "partner model", "published size", "SAELens"
RARE = "long training"
"""Prerequisites of claims."""

CLAIMS = (
    Claim(
        id="5.1a",
        statement="If the features are known, a sparse autoencoder finds them (at a quarter of the published size).",
        paper="mean max cosine similarity ≥ 0.9 at the best cell of the grid",
        source=_SHARKEY,
        tag="design",
        how="Correlated features, each rarer than the one before, in random directions, two per dimension; "
        "ReLU with an L1 penalty; grid of penalties and sizes; mean over true features of the largest cosine with a "
        "decoder row. Nulls: the best cell's twin trained on activations whose dimensions were permuted "
        "independently, and one that was not trained.",
        conditions=(
            Condition("small_mmcs", "MMCS at the best cell", low=0.9),
            Condition("small_null", "MMCS of the better null", high=0.7, than="small_mmcs", than_what="that"),
        ),
    ),
    Claim(
        id="5.1b",
        statement="It does so at the published size too: 512 features in 256 dimensions, about five active at once.",
        paper="mean max cosine similarity ≥ 0.9 at the best cell of the grid",
        source=_SHARKEY,
        tag="C",
        how="As 5.1a; each feature is 0.99 times as frequent as the one before.",
        conditions=(
            Condition("large_mmcs", "MMCS at the best cell", low=0.9),
            Condition("large_null", "MMCS of the better null", high=0.7, than="large_mmcs", than_what="that"),
        ),
        needs=LARGE,
    ),
    Claim(
        id="5.2",
        statement="The features that step 01's toy model stores in superposition are recovered from its hidden layer.",
        paper="≥ 0.95 for represented features",
        source=_OURS,
        tag="design",
        how="A toy model of step 01, trained here; represented: ‖W_i‖ > 1/2; a ReLU dictionary of twice as many "
        "latents as features; mean max cosine similarity over represented features.",
        conditions=(
            Condition("toy_more", "features represented, for each dimension", low=2),
            Condition("toy_mmcs", "MMCS over represented features", low=0.95),
        ),
    ),
    Claim(
        id="5.3a",
        statement="TopK beats ReLU-L1: at equal L0 it leaves less variance unexplained.",
        paper="along the whole frontier, L0 8 to 64",
        source=f"{_GAO}, as quoted in courses",
        tag="Q",
        how="Both on a language model's neurons, equally long; FVU on held-out text, TopK's interpolated (log–log) to "
        "the L0 of each ReLU dictionary that lies in the range; the worst of them counts.",
        conditions=(
            Condition("frontier_points", "ReLU dictionaries in the range", low=2),
            Condition("frontier_worst", "FVU of TopK over that of ReLU, worst point", high=0.999),
        ),
        needs=MODEL,
    ),
    Claim(
        id="5.3b",
        statement="With the auxiliary loss few of TopK's latents are dead, whatever the number of active latents.",
        paper="< 10 %",
        source=f"{_GAO}, as quoted in courses",
        tag="Q",
        how="Latents that are never active on the held-out text; the largest share of any k.",
        conditions=(Condition("topk_dead", "dead latents", high=10, unit="%"),),
        needs=MODEL,
    ),
    Claim(
        id="5.4",
        statement="Resampling and the auxiliary loss both leave fewer dead latents than doing nothing.",
        paper="order",
        source=f"{_BRICKEN} (resampling); {_GAO} (auxiliary loss)",
        tag="P",
        how="TopK with many latents and a high learning rate, which kills some; same text, same steps. During "
        "training, a latent that has been silent for an eighth of it counts as dead; the result is the share never "
        "active on the held-out text. With 4 active latents instead of 32 neither method helped: so few slots leave no "
        "chance to a dead latent.",
        conditions=(
            Condition(
                "dead_auxiliary",
                "dead with the auxiliary loss",
                high=1,
                than="dead_nothing",
                than_what="with nothing",
            ),
            Condition(
                "dead_resampling",
                "dead with resampling",
                high=1,
                than="dead_nothing",
                than_what="with nothing",
            ),
        ),
        needs=MODEL,
    ),
    Claim(
        id="5.5",
        statement="With an L1 penalty the densities of latents are bimodal: some latents hardly ever fire.",
        paper="an ultra-low-density cluster",
        source=_BRICKEN,
        tag="P",
        how="log10 of density over all training text, for a separate ReLU dictionary: four latents per neuron, more "
        "than three times the steps of the others, the full penalty from the first step; 12 bins, smoothed over 3; the "
        "deepest valley between two peaks, and the share below it. With the frontier's training and densities on "
        "held-out text there was one hump; with a penalty that ramps up, a second one of 3 %.",
        conditions=(
            Condition("valley", "valley over the lower peak", high=0.8),
            Condition("below_valley", "living latents below the valley", low=5, high=95, unit="%"),
        ),
        needs=RARE,
    ),
    Claim(
        id="5.6",
        statement="In a one-layer language model, a few active latents do most of what the MLP does.",
        paper="79 % of the loss recovered (zero ablation)",
        source=_BRICKEN,
        tag="P",
        how="The TopK dictionary on the neurons of the bundled one-layer model, spliced in at every position but BOS "
        "of held-out text. Loss recovered: 1 − ΔCE / ΔCE of zero ablation, and the same for mean ablation; ΔCE in nats "
        "is also reported, since a ratio to a harsh ablation is always near 1.",
        conditions=(
            Condition("recovered_zero", "loss recovered, zero ablation", low=75, unit="%"),
            Condition("recovered_mean", "loss recovered, mean ablation", low=75, unit="%"),
            Condition("l0", "L0", high=20),
            Condition(
                "delta_ce", "ΔCE", high=0.25, than="mean_ce", than_what="that of mean ablation", unit="nats"
            ),
        ),
        needs=MODEL,
    ),
    Claim(
        id="5.7a",
        statement="Features are easier to predict from examples than neurons.",
        paper="features beat neurons (automatic interpretability)",
        source=_BRICKEN,
        tag="Q",
        how="A proxy without human raters: top contexts of a unit in one half of the held-out text, as log-odds of "
        "their last four tokens, separate its active contexts from others in the other half (AUC). Active means the "
        "same for all units: the top 1 % of tokens. Units are drawn at random.",
        conditions=(
            Condition(
                "detected_features",
                "AUC of features, mean",
                low=1,
                than="detected_neurons",
                than_what="that of neurons",
            ),
        ),
        needs=MODEL,
    ),
    Claim(
        id="5.7b",
        statement="Features are more universal than neurons: the dictionary of another model has them too.",
        paper="median max-correlation 0.72 for features, 0.46 for neurons",
        source=_BRICKEN,
        tag="Q",
        how="Another bundled model of the same family and width on the same held-out text, with a dictionary of its "
        "own; best correlation of each unit with one of the other side, median. After the quick budget's 250 steps the "
        "gap is about 0.13; the full budget's 1,200 steps bring it above 0.2.",
        conditions=(Condition("universality_gap", "median of features minus that of neurons", low=0.15),),
        needs=PARTNER,
    ),
    Claim(
        id="5.8",
        statement="Adding a feature's decoder row raises the tokens that it promotes, in proportion to the dose.",
        paper="sign and dose response",
        source=_OURS,
        tag="design",
        how="Features drawn at random; its own tokens are the five that its row promotes through W_out and the "
        "unembedding; doses from −2 to 2 times its largest activation, at every position of held-out text; logits less "
        "their mean. Others: the own tokens of the other features.",
        conditions=(
            Condition("steer_signs", "features with the right sign at every dose", low=90, unit="%"),
            Condition("steer_monotone", "features whose response rises with every dose", low=90, unit="%"),
            Condition("steer_specific", "own change over others', largest dose", low=3, unit="×"),
        ),
        needs=MODEL,
    ),
    Claim(
        id="5.9",
        statement="An honest baseline: one feature is no better than a dense probe on the same neurons.",
        paper="reported next to the dictionary",
        source=_OURS,
        tag="design",
        how="Held-out AUROC of “this token begins inside a comment”, three splits by sequence: logistic probes on the "
        "k features whose means differ most, on all neurons (dense), on all features.",
        conditions=(
            Condition("probe_dense", "dense probe", low=0.6),
            Condition("probe_one", "one feature", high=1, than="probe_dense", than_what="dense probe"),
        ),
        needs=MODEL,
    ),
    Claim(
        id="5.10",
        statement="A dictionary exported to SAELens gives the same reconstructions there as here.",
        paper="equal to 1e-5",
        source=_OURS,
        tag="design",
        how="The dictionary of 5.6 saved as a SAELens folder, loaded by SAELens and by us; largest difference of "
        "reconstructions over the largest activation. dictionary_learning, sparsify and Gemma Scope: in the tests.",
        conditions=(
            Condition("exchange_peer", "difference from SAELens", high=1e-5),
            Condition("exchange_read_back", "difference after reading it back", high=1e-5),
        ),
        needs=PEER,
    ),
    Claim(
        id="5.11",
        statement="Features split: where a small dictionary has one latent, a larger one has several.",
        paper="features of a small dictionary split into several of a larger one (no number)",
        source=_BRICKEN,
        tag="P",
        how="Decoder rows of a TopK dictionary of 64 latents beside those of the one of 5.6. A child of a small "
        "latent is a large one that is nearest to it, and nearer (cosine) than any random row is to any latent; "
        "split: two children or more. Random rows keep each neuron's weights and shuffle them over the latents; the "
        "null is a second draw of them. Siblings that were copies of one feature would have cosine 1. The bounds are "
        "ours.",
        remark="On the full budget fewer than a fifth of the latents split by this measure, while after the shorter "
        "training of the quick budget more than half do. The measure is strict: a child must be nearer than the "
        "nearest of 10,240 random rows. If it must be nearer than 99 % of them only, 83 and 84 % of the small "
        "dictionary's latents have two children or more (seeds 0 and 1), and none has with random rows. The measure "
        "and its bound were chosen on the quick budget and have not been changed since.",
        conditions=(
            Condition("features_split", "small latents that split", low=50, unit="%"),
            Condition(
                "features_split_random",
                "with random rows",
                high=0.1,
                than="features_split",
                than_what="that",
                unit="%",
            ),
            Condition("siblings", "mean cosine between siblings", high=0.9),
        ),
        needs=MODEL,
    ),
    *REAL_CLAIMS,
)

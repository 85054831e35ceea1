"""The claims of step 00. All of them are about MNIST."""

from __future__ import annotations

from mechscope.labs.claim import Claim, Condition

_OURS = "measured for this project on MNIST"
_BILINEAR = (
    "Pearce et al. (2025), “Bilinear MLPs enable weight-based mechanistic interpretability”; the two numbers are "
    "quoted from the abstract of a reproduction study of it (submitted to TMLR, 2026)"
)

CLAIMS = (
    Claim(
        id="0.1",
        statement="A linear classifier reads handwritten digits.",
        paper="92.6 %",
        source=_OURS,
        tag="X",
        how="Softmax regression on pixels/255; Adam 1e-3, batch 128, 10 epochs, no weight decay; test accuracy.",
        conditions=(Condition("accuracy_wd0", "test accuracy", low=92.1, high=93.1, unit="%"),),
    ),
    Claim(
        id="0.2",
        statement="Answering with the nearest class mean is much worse: the weights are more than averages.",
        paper="82.03 %",
        source=_OURS,
        tag="X",
        how="The class whose mean training image is nearest to the test image (Euclidean distance).",
        conditions=(Condition("nearest_mean_accuracy", "test accuracy", low=81.93, high=82.13, unit="%"),),
    ),
    Claim(
        id="0.3a",
        statement="You can just look: each weight row resembles its own digit more than any other. "
        "Trained on shuffled labels, rows resemble nothing.",
        paper="10 of 10, p ≤ .001; shuffled 0 to 3 of 10, 1.21 on average (24 shuffles), correlation about 0",
        source=_OURS,
        tag="X",
        how="Template of a class = its mean image minus the mean of the other classes' means. Pearson correlation of "
        "every row with every template over the pixels whose brightness varies (standard deviation above 0.05). "
        "Count the rows that match their own class best, at weight decay 1. p: how often rows in random order (9,999 "
        "orders) match as well on average. Null: the same training on labels in random order, many times over, since "
        "a single shuffle proves nothing (chance gives four or more matches in 1.4 % of shuffles); means over the "
        "shuffles.",
        conditions=(
            Condition("rows_matching_wd1", "rows that match their own digit best", low=10, unit="of 10"),
            Condition("permutation_p_wd1", "p of the row permutation test", high=0.001),
            Condition("rows_matching_null", "matches with shuffled labels, mean", high=2, unit="of 10"),
            Condition("size_correlation_null", "size of their correlation, mean", high=0.1),
            Condition("shuffles", "shuffles", low=20),
        ),
    ),
    Claim(
        id="0.3b",
        statement="The rows match their digits' templates, and match them better with weight decay.",
        paper="mean correlation 0.48 (decay 0), 0.64 (decay 1), 0.785 (decay 5)",
        source=_OURS,
        tag="X",
        how="Mean over the ten rows of the correlation with their own class's template; decoupled weight decay.",
        conditions=(
            Condition("correlation_wd0", "mean correlation at decay 0", low=0.45, high=0.51),
            Condition("correlation_wd1", "mean correlation at decay 1", low=0.61, high=0.67),
            Condition("correlation_wd5", "mean correlation at decay 5", low=0.755, high=0.815),
            Condition(
                "correlation_wd1",
                "mean correlation at decay 1",
                low=1,
                than="correlation_wd0",
                than_what="decay 0",
            ),
            Condition(
                "correlation_wd5",
                "mean correlation at decay 5",
                low=1,
                than="correlation_wd1",
                than_what="decay 1",
            ),
        ),
    ),
    Claim(
        id="0.3c",
        statement="Nothing is hidden: a digit's score is exactly its bias plus the contributions of the pixels.",
        paper="exact",
        source="linear algebra",
        tag="design",
        how="weight × brightness, pixel by pixel, summed with the bias and compared with the logit (float32).",
        conditions=(
            Condition(
                "evidence_error", "largest difference on the test images shown", high=1e-4, unit="logits"
            ),
        ),
    ),
    Claim(
        id="0.4a",
        statement="Weight decay buys smoother templates and pays for them in accuracy.",
        paper="smoothness rises and accuracy falls from decay 0 to 1 to 5; shuffled labels give rough rows",
        source=_OURS,
        tag="X",
        how="Smoothness = correlation of horizontally adjacent weights over all rows and pixels.",
        conditions=(
            Condition(
                "smoothness_wd1", "smoothness at decay 1", low=1, than="smoothness_wd0", than_what="decay 0"
            ),
            Condition(
                "smoothness_wd5", "smoothness at decay 5", low=1, than="smoothness_wd1", than_what="decay 1"
            ),
            Condition(
                "smoothness_null",
                "smoothness, shuffled",
                high=1,
                than="smoothness_wd1",
                than_what="the true labels",
            ),
            Condition(
                "accuracy_wd1",
                "accuracy at decay 1",
                high=1,
                than="accuracy_wd0",
                than_what="decay 0",
                unit="%",
            ),
            Condition(
                "accuracy_wd5",
                "accuracy at decay 5",
                high=1,
                than="accuracy_wd1",
                than_what="decay 1",
                unit="%",
            ),
        ),
    ),
    Claim(
        id="0.4b",
        statement="The size of this trade-off on MNIST.",
        paper="decay 1: 91.4–91.8 %, smoothness 0.88; decay 0: 0.80; decay 5: 89–90 %, 0.92",
        source=_OURS,
        tag="X",
        how="As in 0.4a.",
        conditions=(
            Condition("accuracy_wd1", "accuracy at decay 1", low=91.2, high=92.0, unit="%"),
            Condition("accuracy_wd5", "accuracy at decay 5", low=88.7, high=90.3, unit="%"),
            Condition("smoothness_wd0", "smoothness at decay 0", low=0.77, high=0.83),
            Condition("smoothness_wd1", "smoothness at decay 1", low=0.85, high=0.91),
            Condition("smoothness_wd5", "smoothness at decay 5", low=0.89, high=0.95),
        ),
    ),
    Claim(
        id="0.4c",
        statement="Shuffled labels give rough rows.",
        paper="smoothness 0.382 ± 0.014 at decay 1 (24 shuffles); 0.331 at decay 0, 0.481 at decay 5",
        source=_OURS,
        tag="X",
        how="As in 0.4a, at decay 1, mean over the shuffles of 0.3a. Labels of which only half are shuffled give "
        "0.614 and must fail.",
        conditions=(Condition("smoothness_null", "smoothness, shuffled", low=0.34, high=0.42),),
    ),
    Claim(
        id="0.5a",
        statement="A hidden layer is harder to read: its units' weights match digits worse than linear rows do.",
        paper="worse, by the same measure",
        source="a criterion of this project",
        tag="design",
        how="For each row, the largest |correlation| with any of the ten templates; mean over rows. "
        "128 ReLU units against 10 linear rows, at equal weight decay (0, and 1).",
        conditions=(
            Condition(
                "best_match_relu_wd0",
                "hidden, decay 0",
                high=1,
                than="best_match_wd0",
                than_what="linear rows",
            ),
            Condition(
                "best_match_relu_wd1",
                "hidden, decay 1",
                high=1,
                than="best_match_wd1",
                than_what="linear rows",
            ),
        ),
    ),
    Claim(
        id="0.5b",
        statement="Yet that network is the better classifier.",
        paper="≥ 97 %",
        source="a criterion of this project",
        tag="design",
        how="784 → 128 ReLU → 10, AdamW, learning rate falling to zero, no weight decay; test accuracy.",
        conditions=(Condition("accuracy_relu_wd0", "test accuracy", low=97.0, unit="%"),),
    ),
    Claim(
        id="0.6",
        statement="A bilinear layer is accurate and readable: weight decay leaves only a few eigenfeatures per digit.",
        paper="effective rank 38.5 → 15.5 (2.5 times fewer) at 97–98 %",
        source=_BILINEAR,
        tag="Q",
        how="Eigenvalues of each class's form ½ Σ P (w vᵀ + v wᵀ); effective rank = exp(entropy of |λ|/Σ|λ|), mean "
        "over "
        "classes, our choice of definition; without and with weight decay 1, all else equal: hidden width "
        "128, Gaussian "
        "noise of 0.3 on the training images. The absolute ranks depend on such choices; the ratio is compared.",
        conditions=(
            Condition(
                "rank_wd1", "effective rank with decay", high=0.5, than="rank_wd0", than_what="without decay"
            ),
            Condition("accuracy_bilinear_wd0", "accuracy without decay", low=97.0, unit="%"),
            Condition("accuracy_bilinear_wd1", "accuracy with decay", low=97.0, unit="%"),
        ),
    ),
)

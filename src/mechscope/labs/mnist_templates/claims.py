"""The claims of step 00. Those marked `needs="mnist"` name numbers that only MNIST itself can show."""

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
        needs="mnist",
    ),
    Claim(
        id="0.2",
        statement="Answering with the nearest class mean does much worse: the weights are more than averages.",
        paper="82.03 %",
        source=_OURS,
        tag="X",
        how="The class whose mean training image is nearest to the test image (Euclidean distance).",
        conditions=(Condition("nearest_mean_accuracy", "test accuracy", low=81.93, high=82.13, unit="%"),),
        needs="mnist",
    ),
    Claim(
        id="0.3a",
        statement="You can just look: each weight row resembles its own digit more than any other. "
        "Trained on shuffled labels, rows resemble nothing.",
        paper="10 of 10; shuffled 1 of 10, correlation about 0",
        source=_OURS,
        tag="X",
        how="Template of a class = its mean image minus the mean of the other classes' means. Pearson correlation of "
        "every row with every template over the pixels whose brightness varies (standard deviation above 0.05). "
        "Count the rows that match their own class best; weight decay 1, and the same with shuffled labels.",
        remark="One shuffle a seed is asked, and shuffles scatter. Of 120 others, 105 gave at most two matching rows, "
        "12 gave three, 2 gave four and 1 gave five; no mean correlation was larger than 0.05.",
        conditions=(
            Condition("rows_matching_wd1", "rows that match their own digit best", low=10, unit="of 10"),
            Condition("rows_matching_null", "the same with shuffled labels", high=3, unit="of 10"),
            Condition("size_correlation_null", "size of their mean correlation", high=0.1),
        ),
    ),
    Claim(
        id="0.3b",
        statement="How well the rows match their digits' templates, and that weight decay makes them match better.",
        paper="mean correlation 0.48 (decay 0), 0.64 (decay 1), 0.785 (decay 5)",
        source=_OURS,
        tag="X",
        how="Mean over the ten rows of the correlation with their own class's template; decoupled weight decay.",
        conditions=(
            Condition("correlation_wd1", "mean correlation at decay 1", low=0.60),
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
        needs="mnist",
    ),
    Claim(
        id="0.3c",
        statement="Nothing is hidden: a digit's score is its bias plus what each pixel says, exactly.",
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
        remark="On scikit-learn's digits of eight pixels a side, more decay makes rows rougher in the end (0.465 at "
        "decay 1, 0.457 at decay 5, alike in five seeds): it draws them towards the class templates, which there are "
        "themselves rough (0.36). MNIST's have 0.91.",
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
        statement="By how much, on MNIST.",
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
        needs="mnist",
    ),
    Claim(
        id="0.4c",
        statement="How rough the rows are that shuffled labels give.",
        paper="smoothness 0.43",
        source=_OURS,
        tag="X",
        how="As in 0.4a, at decay 1.",
        remark="The yardstick does not name its decay. 120 other shuffles gave 0.34 to 0.43 at decay 1; two gave 0.48 "
        "and 0.49 at decay 5.",
        conditions=(Condition("smoothness_null", "smoothness, shuffled", low=0.40, high=0.46),),
        needs="mnist",
    ),
    Claim(
        id="0.5a",
        statement="A hidden layer ends the easy reading: its units' weights match digits worse than linear rows do.",
        paper="worse, by the same measure",
        source="a yardstick of this project",
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
        statement="And yet that network is the better classifier.",
        paper="≥ 97 %",
        source="a yardstick of this project",
        tag="design",
        how="784 → 128 ReLU → 10, AdamW, learning rate falling to zero, no weight decay; test accuracy.",
        conditions=(Condition("accuracy_relu_wd0", "test accuracy", low=97.0, unit="%"),),
        needs="mnist",
    ),
    Claim(
        id="0.6",
        statement="A bilinear layer is accurate and readable: weight decay leaves only few eigenfeatures a digit.",
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
        needs="mnist",
    ),
)

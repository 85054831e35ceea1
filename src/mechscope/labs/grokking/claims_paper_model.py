"""Claims of step 02 about the paper's own model: p = 113, trained as published."""

from __future__ import annotations

from mechscope.labs.claim import Claim, Condition

NANDA = "Nanda et al. (2023), “Progress measures for grokking via mechanistic interpretability”"
_TRAINING = (
    "One layer, 4 heads, ReLU neurons, no norms, tokens [a, b, =]; full batch, AdamW 1e-3, weight decay 1, "
    "betas 0.9 and 0.98; width 128, 512 neurons, 30 % of the 113² pairs."
)


def story(size: str, rise: float) -> tuple[Condition, ...]:
    """The order of events of claim 2.8, for the measures of one size."""
    return (
        Condition(
            f"{size}_restricted_epoch",
            "epoch at which the restricted loss falls below half of guessing",
            high=1,
            than=f"{size}_test_epoch",
            than_what="that of the test loss",
        ),
        Condition(f"{size}_excluded_rise", "rise of the excluded loss before grokking", low=rise, unit="×"),
        Condition(f"{size}_train_loss_change", "training loss meanwhile, end over beginning", high=1),
        Condition(f"{size}_gini_embedding_change", "Gini of W_E, gained in the clean-up", low=0.05),
        Condition(f"{size}_gini_to_logits_change", "Gini of W_L, gained in the clean-up", low=0.05),
        Condition(f"{size}_squares_change", "Σw², end of the clean-up over its beginning", high=0.95),
    )


STORY_HOW = (
    "Key frequencies of the final model, at every kept checkpoint. Restricted: nothing but the mean and the key "
    "frequencies' cos and sin w_k(a+b) left in the logits, loss on the test pairs. Excluded: just these removed, "
    "loss on the training pairs; its end at grokking over its lowest value since memorising. Clean-up: from the test "
    "loss's peak to the end."
)

PAPER_MODEL = (
    Claim(
        id="2.1",
        statement="It groks: trained on 30 % of the pairs, the model learns all the others, much later.",
        paper="≈ 10,000 epochs, test accuracy → 100 %",
        source=NANDA,
        tag="P",
        how=f"{_TRAINING} First evaluation from which test accuracy stays ≥ 99.5 %.",
        conditions=(
            Condition("p113_grokked_epoch", "epoch of grokking", low=5000, high=20000),
            Condition("p113_test_accuracy", "test accuracy at the end", low=99.5, unit="%"),
        ),
        needs="p113",
    ),
    Claim(
        id="2.2",
        statement="It had memorised its training pairs long before, and knew nothing about the others.",
        paper="training accuracy 100 % by ≈ 1,400 epochs, test near chance",
        source=NANDA,
        tag="P",
        how="First evaluation from which training accuracy stays 100 %; at most 50 % later than the paper's date "
        "(being earlier is no failure). At the next checkpoint: test loss compared with guessing, and accuracy on test "
        "pairs (a, b) for which (b, a) was not trained on either, because what is learned early is that the order does "
        "not matter. The paper's date is where it draws the border between two phases; in the authors' saved 30 % run "
        "the training loss is below 0.01 at epoch 274.",
        conditions=(
            Condition("p113_memorised_epoch", "epoch of memorising", high=2100),
            Condition(
                "p113_test_loss_memorised",
                "test loss then",
                low=1,
                than="p113_guessing",
                than_what="guessing",
                unit="nats",
            ),
            Condition("p113_unmirrored_accuracy", "accuracy on unmirrored test pairs", high=5, unit="%"),
        ),
        needs="p113",
    ),
    Claim(
        id="2.3",
        statement="It computes with only a few frequencies.",
        paper="3 to 6 (which ones depends on the seed)",
        source=NANDA,
        tag="P",
        how="Fourier norms of W_L = W_out W_U over the logits; key frequencies are those above a quarter of the "
        "largest.",
        conditions=(Condition("p113_keys", "key frequencies", low=3, high=6),),
        needs="p113",
    ),
    Claim(
        id="2.4",
        statement="Its logits are sums of cosines: Σ α_k cos w_k(a+b-c).",
        paper="95 % of variance",
        source=NANDA,
        tag="P",
        how="Least squares over all p² pairs and p answers, key frequencies only.",
        conditions=(Condition("p113_explained", "variance explained", low=90, unit="%"),),
        needs="p113",
    ),
    Claim(
        id="2.5",
        statement="The map from neurons to logits has little more than two directions per key frequency.",
        paper="residual < 0.55 % of the (squared) Frobenius norm",
        source=NANDA,
        tag="P",
        how="1 − ‖P W_L‖² / ‖W_L‖², where P projects on cos and sin of the key frequencies (six at most), after "
        "removing what is the same for every answer. We infer that the paper's share is of the squared norm: in the "
        "published model, 10.8 % of the norm of its frequency-14 neurons and 1.16 % of its square lie outside the "
        "keys. A model trained with decay 0.1 (0.99 %), with a float32 loss (11 %) or without decay (16 %) must fail.",
        conditions=(Condition("p113_outside", "share outside the key frequencies", high=0.55, unit="%"),),
        needs="p113",
    ),
    Claim(
        id="2.6",
        statement="Neurons specialise: most of them compute with a single frequency.",
        paper="84.6 % of the neurons are explained by more than 85 %",
        source=NANDA,
        tag="P",
        how="2-D Fourier transform of each neuron over all pairs; share of its variance in products of {1, cos, sin} "
        "w_k a with {1, cos, sin} w_k b of its best frequency. Neurons that never fire count as not explained.",
        remark="The lesson shows what the other neurons are: they are active on nearly every pair, so that their ReLU "
        "does nothing, and they hardly affect the logits. Rounding matters here: seed 0 is close to the bound, and "
        "falls on the other side of it if the same training sums its numbers in another order.",
        conditions=(Condition("p113_single_neurons", "single-frequency neurons", low=75, unit="%"),),
        needs="p113",
    ),
    Claim(
        id="2.7",
        statement="So do heads: the attention of each varies with a single frequency.",
        paper="97.9 to 99.1 % of the variance (mainline model; the authors' other runs 83 to 97 and 39 to 67 %)",
        source=NANDA,
        tag="P",
        how="Attention from “=” to the first number over all pairs, fitted by ½ + α (cos w_k a − cos w_k b) + β (sin "
        "w_k a − sin w_k b) with the best frequency of each head; three of the four heads must be explained to 95 %.",
        remark="Whether a head keeps to one frequency depends on the training run. In seed 1 of our runs with one "
        "thread, three heads mix two frequencies: the best one explains 81 to 89 % of their attention, both together "
        "93 to 97 %. The same seed with two threads, which sum in another order, gave three clean heads. The authors' "
        "own runs vary in the same way.",
        conditions=(Condition("p113_single_heads", "heads explained to 95 %", low=75, unit="%"),),
        needs="p113",
    ),
    Claim(
        id="2.8",
        statement="While the training loss is flat, the algorithm grows first, and only then are memorised facts "
        "removed.",
        paper="restricted loss falls before test loss, excluded loss rises; Gini jumps and Σw² drops in the clean-up",
        source=NANDA,
        tag="P",
        how=STORY_HOW,
        conditions=story("p113", rise=10),
        needs="p113",
    ),
    Claim(
        id="2.9",
        statement="Removing any key frequency hurts; removing any other frequency does not.",
        paper="separation of at least 10 ×",
        source=f"the authors' notebook to {NANDA}",
        tag="C",
        how="Remove cos and sin w_k(a+b) of one frequency from the logits; change of the loss over all pairs, smallest "
        "among the keys over largest among the others.",
        conditions=(Condition("p113_separation", "separation", low=10, unit="×"),),
        needs="p113",
    ),
)

"""Live demos: an entry's idea on a bundled model that runs in the browser, with panels of the microscope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PANELS = ("interventions", "steering", "attention", "lens", "norms", "attribution", "patching")
"""Panels that an entry may show; the text, its tokens and the prediction are always there."""
REPEATED = "def weigh(stone): return stone; def weigh(stone): return"
FOX = "The fox saw the hen and the fox saw the"
GIVEN = "At the stadium, Molly and Lewis shared a table until Lewis offered a hat to"
SWAPPED = "At the stadium, Molly and Lewis shared a table until Molly offered a hat to"


@dataclass(frozen=True)
class LiveDemo:
    """What an entry's live demo opens with."""

    model: str
    """A bundled model with a tokenizer."""
    panels: tuple[str, ...]
    """Panels of the microscope, from `PANELS`; empty for an idea that the tokens and the prediction show."""
    prompt: str
    """The first text."""
    task: str
    """What to try and what to look for, in Markdown."""
    other: str = ""
    """For patching, the text to compare with, of as many tokens."""
    layer: int = 0
    """The layer of the head that is chosen at first."""
    head: int = 0
    """That head's index in its layer."""


LIVE: Mapping[str, LiveDemo] = {
    "token": LiveDemo(
        "mini-gelu-2l",
        (),
        FOX,
        "Each box is a token. This model knows only 512 of them, so “fox” is three tokens and your name is probably "
        "more. Type it, then write it in capitals, and count again.",
    ),
    "cross-entropy": LiveDemo(
        "mini-gelu-2l",
        (),
        FOX,
        "The stronger the colour of a token, the larger its loss. The second half repeats the first. Where is the "
        "model less surprised, and which token surprises it as much as before? Choose a token to see what the model "
        "expects after it.",
    ),
    "attention-pattern": LiveDemo(
        "mini-gelu-2l",
        ("attention",),
        FOX,
        "Each row is a token that reads, and each column a token that is read. In layer 0, one head looks at the token "
        "before its own, which draws a line below the diagonal. Which one is it? And which heads look mostly at the "
        "first token, which has no meaning of its own?",
    ),
    "causal-mask": LiveDemo(
        "mini-attn-only-2l",
        ("attention",),
        FOX,
        "The upper right triangle is empty in every head, because no token may read a later one. Change the last word: "
        "only the last rows of the maps change.",
    ),
    "previous-token-head": LiveDemo(
        "mini-attn-only-2l",
        ("attention", "interventions"),
        REPEATED,
        "L0H3 is the head. Set it to zero, choose layer 1, and look at what L1H3, which continues repetitions, "
        "has lost.",
        head=3,
    ),
    "induction-head": LiveDemo(
        "mini-attn-only-2l",
        ("attention", "interventions"),
        REPEATED,
        "The text says the same thing twice. At the second “we”, L1H3 looks at the token that followed the first one, "
        "and at the second “):” it looks at “return”. Set the head to zero and watch the losses of the second half.",
        layer=1,
        head=3,
    ),
    "in-context-learning": LiveDemo(
        "mini-attn-only-2l",
        (),
        REPEATED,
        "Compare the colour of each token with that of the same token in the first half: the model has learned "
        "something from this text alone. Replace the second half by other words, and the advantage is gone.",
    ),
    "ablation": LiveDemo(
        "mini-attn-only-2l",
        ("interventions", "attention"),
        REPEATED,
        "Set a head to zero, look at what happens to the losses and to the prediction, then undo it and replace the "
        "same head by its mean. Do both say the same about what the head is for?",
        layer=1,
        head=3,
    ),
    "steering": LiveDemo(
        "mini-gelu-2l",
        ("steering", "interventions"),
        FOX,
        "Add the direction of a word to the residual stream and watch the prediction follow. Make the strength ten "
        "times as large: is the text still one that the model could continue?",
    ),
    "logit-lens": LiveDemo(
        "ioi-twin",
        ("lens",),
        GIVEN,
        "Somebody is offered a hat, and the model says who. Read the last column upwards: after how many blocks does "
        "its best guess become the right name? A lens that shows nothing earlier does not prove that nothing was "
        "there.",
    ),
    "residual-stream": LiveDemo(
        "mini-gelu-4l",
        ("norms",),
        FOX,
        "The colour is the length of the vector that the blocks pass on. Find the token whose vector is much longer "
        "than the others after the last block; it is not one of your words.",
    ),
    "direct-logit-attribution": LiveDemo(
        "ioi-twin",
        ("attribution",),
        GIVEN,
        "The bars say what each component adds to the logit of the name. Choose the other name in the list of "
        "predictions: the same head writes for one and against the other.",
    ),
    "name-mover-head": LiveDemo(
        "ioi-twin",
        ("attention", "attribution"),
        GIVEN,
        "L2H1 reads the last word's row: it looks at the name that occurred once, and writes it to the output. Let "
        "Molly offer the hat instead of Lewis and see where it looks then.",
        layer=2,
        head=1,
    ),
    "duplicate-token-head": LiveDemo(
        "ioi-twin",
        ("attention", "interventions"),
        GIVEN,
        "At its second occurrence, L0H3 looks at the first “Lewis”; at all other names it looks at the token itself. "
        "Set it to zero and see whether the model still knows who receives the hat.",
        head=3,
    ),
    "activation-patching": LiveDemo(
        "ioi-twin",
        ("patching",),
        GIVEN,
        "The second text swaps who offers the hat. Each cell of the map is one experiment: copy that activation from "
        "the second text into the run on the first. Follow the bright cells upwards: where does the information leave "
        "the name for the last word?",
        other=SWAPPED,
    ),
}
"""Slug → its live demo."""

"""The page of the indirect-object circuit in the web lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.scoreboard.published_pages import Link, Role, ShownCircuit, published_page

if TYPE_CHECKING:
    from mechscope.pages.site import SitePage

WORDS = {
    "name mover": "attend to the name that occurs once and copy it to the answer.",
    "backup name mover": "do the same once the name movers are switched off.",
    "negative name mover": "write against the name that they attend to.",
    "S-inhibition": "tell the name movers not to look at S, the subject, whose name occurs twice.",
    "induction": "notice at the second mention that the name has been there, by what follows the first one.",
    "duplicate token": "attend from the second mention of a name to its first.",
    "previous token": "mark the word after the first mention with that name.",
}
"""Class of heads → what its heads do. Source: Wang et al. 2022, section 3."""


def ioi_page() -> SitePage:
    """The circuit of step 04: 26 heads of GPT-2 small."""
    return published_page(
        "ioi",
        "Indirect object in GPT-2 small",
        "How GPT-2 small knows who was given something: 26 heads in seven classes.",
        _shown,
    )


def _shown() -> ShownCircuit:
    from mechscope.labs.ioi.heads import GPT2_CLASSES, node_of
    from mechscope.labs.ioi.published import drawn_circuit
    from mechscope.model.transformer import HookedTransformer

    # The circuit needs a model only for the numbers of its layers and heads.
    shape = HookedTransformer(
        {
            "n_layers": 12,
            "n_heads": 12,
            "d_model": 12,
            "d_head": 1,
            "d_mlp": 1,
            "n_ctx": 1,
            "d_vocab": 1,
            "attn_only": True,
        }
    )
    return ShownCircuit(
        words="“When Mary and John went to the store, John gave a drink to”: the next word should be “Mary”, the "
        "indirect object, and not the name that occurs twice.",
        roles=[
            Role(f"{name} heads", [node_of(head) for head in heads], WORDS[name])
            for name, heads in GPT2_CLASSES.items()
        ],
        edges=drawn_circuit(shape).edges(),
        source="Wang et al. 2022, Interpretability in the wild: a circuit for indirect object identification in GPT-2 "
        "small; the edges are those between the classes of their figure 2, and from the last classes to the logits",
        python="import mechscope as ms\nfrom mechscope.labs.ioi.published import drawn_circuit\n\n"
        'drawn_circuit(ms.load_model("gpt2-small")).show()\n',
        links=(
            Link("steps/04-ioi/", "Step 04 takes this circuit apart, claim by claim"),
            Link("models/ioi-twin/", "A small model that learned the same task, under the microscope"),
            Link("circuits/planted/ioi/", "A planted circuit of the same design, whose truth is known"),
        ),
    )

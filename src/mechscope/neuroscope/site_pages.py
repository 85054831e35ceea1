"""The pages of the neuroscope in the web lab: the units of a store, the page of a unit, and the labels of a store.

One page shows any unit: which one is behind # in its address, as in `neuroscope/unit/#mini-gelu-1l/mlp0/17`. Its script
asks the server, or reads files that say the same. So a store of a hundred thousand units needs no more pages than a
store of ten, and a store that is made while the server runs is there at once. The page of labels is made in the same
way: `neuroscope/labels/#mini-gelu-1l`, which is where `neuroscope/mini-gelu-1l/labels/` leads.
"""

from __future__ import annotations

from pathlib import Path

from mechscope.neuroscope.endpoints import neuroscope_endpoints
from mechscope.neuroscope.site_data import LABELS_ROUTE, ROUTE, static_files
from mechscope.pages.site import Backlink, HomeEntry, SitePage, SiteRoom

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
UNIT_ROUTE = f"{ROUTE}unit/"
HOME = HomeEntry(
    "The neuroscope",
    "Pick a neuron of a language model and read the texts that excite it most. Guess what it does, and test the guess "
    "by typing.",
    ROUTE,
)
TERMS = (
    "neuron",
    "polysemanticity",
    "monosemanticity",
    "context-neuron",
    "max-activating-example",
    "interpretability-illusion",
)
"""Terms of the glossary whose pages lead here: a reader can see on any neuron what they mean."""


def site_pages() -> SiteRoom:
    """The list of units, the page of a unit, and the list of labels."""
    return SiteRoom(
        [
            SitePage(
                ROUTE,
                "The neuroscope",
                TEMPLATES / "neuroscope.html",
                navigation="Neuroscope",
                scripts=("neuroscope_page.js",),
                summary="What makes each unit of a model fire.",
            ),
            SitePage(UNIT_ROUTE, "A unit", TEMPLATES / "unit.html", scripts=("unit_page.js",)),
            SitePage(LABELS_ROUTE, "Labels", TEMPLATES / "labels.html", scripts=("labels_page.js",)),
        ],
        modules=sorted(HERE.glob("*.js")),
        styles=[HERE / "neuroscope.css"],
        made_files=static_files(),
        home=[HOME],
        endpoints=neuroscope_endpoints(),
        redirects={f"{ROUTE}*/labels/": LABELS_ROUTE, f"{ROUTE}*": UNIT_ROUTE},
        backlinks=[
            Backlink(f"glossary/{term}/", ROUTE, "Guess what a neuron does, in the neuroscope", "Try it")
            for term in TERMS
        ],
    )

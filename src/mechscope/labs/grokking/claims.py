"""All claims of step 02, in the order in which they are shown."""

from __future__ import annotations

from mechscope.labs.grokking.claims_composition import COMPOSITION_CLAIMS
from mechscope.labs.grokking.claims_other_models import OTHER_MODELS, OWN_CRITERIA
from mechscope.labs.grokking.claims_paper_model import PAPER_MODEL

CLAIMS = (*PAPER_MODEL, *OTHER_MODELS, *COMPOSITION_CLAIMS, *OWN_CRITERIA)

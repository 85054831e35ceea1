from .evidence import Check as Check
from .evidence import Evidence as Evidence
from .evidence import Verdict as Verdict
from .hypotheses import Behaviour as Behaviour
from .hypotheses import Direction as Direction
from .hypotheses import Heads as Heads
from .hypotheses import Hypothesis as Hypothesis
from .redteam import redteam as redteam

"""Inference of the hidden entropy: forms of one interface, of which a filter is given one.

| form | class | S of a particle |
|---|---|---|
| isothermal | `ConstantEntropy` | what it was when the particle came into view |
| filter | `ScoreFilter` | moves along the gradient of ln p of the next position, and by the law |
| encoder | `EntropyEncoder` | a function of its neighbourhood in the same frame |

Only positions are scored, whatever the form: the likelihood of an inferred variable has no minimum.
"""

from colloidlab.model.entropy.constant import ConstantEntropy
from colloidlab.model.entropy.encoder import EntropyEncoder
from colloidlab.model.entropy.inference import EntropyInference, StepOutcome
from colloidlab.model.entropy.score_filter import ScoreFilter

__all__ = ["ConstantEntropy", "EntropyEncoder", "EntropyInference", "ScoreFilter", "StepOutcome"]

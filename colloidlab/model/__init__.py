"""The metriplectic (GENERIC) model: state, energy, friction, brackets, inference and training.

Data flows through small parts with one job each:

    pairs -> kernel -> density -> energy (T, P, c) -> friction amplitudes -> brackets -> filter -> likelihood

The brackets know nothing about how the functions were obtained: analytic laws
(the ground truth of the samples) and learned ones plug into the same code.
"""

from colloidlab.model.arrays import Fields, evaluate
from colloidlab.model.published import PublishedLaws, load_published

__all__ = ["Fields", "PublishedLaws", "evaluate", "load_published"]

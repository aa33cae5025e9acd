"""The metriplectic (GENERIC) model: state, energy, friction, brackets, inference and training.

Data flows through small parts with one job each:

    pairs -> kernel -> density -> energy (T, P, c) -> friction amplitudes -> brackets -> filter -> likelihood

The brackets know nothing about how the functions were obtained: analytic laws
(the ground truth of the samples) and learned ones plug into the same code.
"""

from colloidlab.model.analytic import HarmonicEnergy, ideal_gas
from colloidlab.model.arrays import LawValues, encode, evaluate
from colloidlab.model.bath import Bath
from colloidlab.model.energy import SumOfExponentials
from colloidlab.model.entropy import ConstantEntropy, EntropyEncoder, ScoreFilter
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.inertia import SizeMasses, SpeciesMasses
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.model.potential import RadialPotential
from colloidlab.model.published import PublishedLaws, load_published
from colloidlab.model.reference import reference_neighbourhoods
from colloidlab.model.shear import PowerLawShear
from colloidlab.model.species import SpeciesAmplitudes, SpeciesKernel, SpeciesPotential
from colloidlab.model.strain import measure_strain
from colloidlab.model.tabulated import tabulate

__all__ = [
    "Bath",
    "ConstantEntropy",
    "EntropyEncoder",
    "HarmonicEnergy",
    "LawValues",
    "Laws",
    "PowerLawAmplitudes",
    "PowerLawShear",
    "PublishedLaws",
    "RadialKernel",
    "RadialPotential",
    "ScoreFilter",
    "SizeMasses",
    "SpeciesAmplitudes",
    "SpeciesKernel",
    "SpeciesMasses",
    "SpeciesPotential",
    "SumOfExponentials",
    "encode",
    "evaluate",
    "ideal_gas",
    "load_published",
    "measure_strain",
    "reference_neighbourhoods",
    "tabulate",
]

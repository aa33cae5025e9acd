"""What tracks say about a material: rearrangement, order, structure and motion.

One file a quantity: `nonaffine` (D²min, local strain), `bond_order` (ψ6), `radial`
(g(r)) with `shells` (its first peak and minimum), `displacement` (MSD, VACF), `van_hove`
(distribution of displacements), `non_gaussian` (alpha2), `scattering` (F_s),
`diffusivity` (D, localisation error, inertia), `lag` (time scale of rearrangement).
`stage.compute` runs them all.
"""

from colloidlab.indicators.bond_order import psi6, psi6_table
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.diffusivity import Diffusion, StepCorrelation, diffusion, step_correlation
from colloidlab.indicators.displacement import msd, vacf
from colloidlab.indicators.lag import LagChoice, default_lag
from colloidlab.indicators.non_gaussian import non_gaussian
from colloidlab.indicators.nonaffine import NonAffine, d2min, d2min_table
from colloidlab.indicators.radial import pair_correlation
from colloidlab.indicators.scattering import self_scattering
from colloidlab.indicators.shells import first_minimum, first_peak
from colloidlab.indicators.stage import IndicatorResult, compute
from colloidlab.indicators.van_hove import VanHove, van_hove

__all__ = [
    "Curve",
    "Diffusion",
    "IndicatorResult",
    "LagChoice",
    "NonAffine",
    "StepCorrelation",
    "VanHove",
    "compute",
    "d2min",
    "d2min_table",
    "default_lag",
    "diffusion",
    "first_minimum",
    "first_peak",
    "msd",
    "non_gaussian",
    "pair_correlation",
    "psi6",
    "psi6_table",
    "self_scattering",
    "step_correlation",
    "vacf",
    "van_hove",
]

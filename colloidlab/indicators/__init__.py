"""What tracks say about a material: rearrangement, order, structure, motion and flow.

One file a quantity: `nonaffine` (D²min, local strain), `hop` (p_hop), `cage` and `cage_msd` (relative to the neighbours),
`t1_events` and `neighbour_changes`, `triangulation`, `bond_order` (ψn), `voronoi`, `radial` (g(r)) with `shells` (its
first peak and minimum), `structure_factor`, `local_density`, `pair_entropy`, `displacement` (MSD, VACF), `particle_msd` and
`particle_diffusion` (of single particles), `van_hove` and
`van_hove_distinct`, `non_gaussian` (alpha2), `scattering` (F_s), `overlap` (Q, chi4), `diffusivity` (D, localisation error,
inertia), `oscillation`, `mean_flow`, `flow_residual`, `deformation` (common strain), `lag` (time scale of rearrangement).
`stage.compute` measures those of its catalogue.
"""

from colloidlab.indicators.bond_order import psi, psi6, psi6_table, psi_table
from colloidlab.indicators.cage import cage_relative, cage_table
from colloidlab.indicators.cage_msd import cage_msd
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.deformation import strain_series
from colloidlab.indicators.diffusivity import Diffusion, StepCorrelation, diffusion, step_correlation
from colloidlab.indicators.displacement import msd, vacf
from colloidlab.indicators.flow_residual import flow_residual, flow_residual_table
from colloidlab.indicators.hop import hop_table
from colloidlab.indicators.lag import LagChoice, default_lag
from colloidlab.indicators.local_density import local_density, local_density_table
from colloidlab.indicators.mean_flow import MeanFlow, mean_flow, mean_flow_table
from colloidlab.indicators.neighbour_changes import neighbour_changes, neighbour_changes_table
from colloidlab.indicators.non_gaussian import non_gaussian
from colloidlab.indicators.nonaffine import NonAffine, d2min, d2min_table
from colloidlab.indicators.oscillation import Oscillation, find_oscillation
from colloidlab.indicators.overlap import Overlap, overlap
from colloidlab.indicators.pair_entropy import excess_entropy, pair_entropy_table, particle_entropy
from colloidlab.indicators.particle_diffusion import diffusion_table
from colloidlab.indicators.particle_msd import msd_since, msd_table
from colloidlab.indicators.radial import pair_correlation
from colloidlab.indicators.scattering import self_scattering
from colloidlab.indicators.shells import first_minimum, first_peak
from colloidlab.indicators.stage import IndicatorResult, compute
from colloidlab.indicators.structure_factor import structure_factor
from colloidlab.indicators.t1_events import match_events, t1_events, t1_rate
from colloidlab.indicators.triangulation import Triangulation, triangulate, triangulate_tracks
from colloidlab.indicators.van_hove import VanHove, van_hove
from colloidlab.indicators.van_hove_distinct import van_hove_distinct
from colloidlab.indicators.voronoi import voronoi_areas, voronoi_table

__all__ = [
    "Curve",
    "Diffusion",
    "IndicatorResult",
    "LagChoice",
    "MeanFlow",
    "NonAffine",
    "Oscillation",
    "Overlap",
    "StepCorrelation",
    "Triangulation",
    "VanHove",
    "cage_msd",
    "cage_relative",
    "cage_table",
    "compute",
    "d2min",
    "d2min_table",
    "default_lag",
    "diffusion",
    "diffusion_table",
    "excess_entropy",
    "find_oscillation",
    "first_minimum",
    "first_peak",
    "flow_residual",
    "flow_residual_table",
    "hop_table",
    "local_density",
    "local_density_table",
    "match_events",
    "mean_flow",
    "mean_flow_table",
    "msd",
    "msd_since",
    "msd_table",
    "neighbour_changes",
    "neighbour_changes_table",
    "non_gaussian",
    "overlap",
    "pair_correlation",
    "pair_entropy_table",
    "particle_entropy",
    "psi",
    "psi6",
    "psi6_table",
    "psi_table",
    "self_scattering",
    "step_correlation",
    "strain_series",
    "structure_factor",
    "t1_events",
    "t1_rate",
    "triangulate",
    "triangulate_tracks",
    "vacf",
    "van_hove",
    "van_hove_distinct",
    "voronoi_areas",
    "voronoi_table",
]

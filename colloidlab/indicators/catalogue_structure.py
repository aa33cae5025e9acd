"""Structure of a recording, as `colloidlab indicators` measures it."""

from __future__ import annotations

import numpy as np

from colloidlab.errors import InputError
from colloidlab.indicators.bond_order import psi6_table, psi_table
from colloidlab.indicators.local_density import RADIUS_CUTOFFS, local_density_table
from colloidlab.indicators.pair_entropy import (
    REACH_SPACINGS,
    SMOOTHING_SPACINGS,
    excess_entropy,
    pair_entropy_table,
)
from colloidlab.indicators.scene import Part, Scene
from colloidlab.indicators.structure_factor import structure_factor
from colloidlab.indicators.voronoi import voronoi_table

_Q_PEAKS, _Q_BINS = 3.5, 140
"""S(q) is drawn to this many times 2π over the distance of neighbours."""

_BINS_A_SPACING = 20
_ENTROPY_SPACINGS = 5.0
"""Where the integral of the pair entropy ends: that of a liquid has levelled off, that of a crystal never does."""
_SIX = 6


def radial(scene: Scene) -> Part:
    """g(r), and who counts as a neighbour."""
    part = Part(summary={"neighbour_cutoff_px": scene.cutoff, "spacing_px": scene.spacing})
    if scene.cutoff_note:
        part.notes.append(scene.cutoff_note)
    g = scene.pair_correlation
    if isinstance(g, InputError):
        part.notes.append(f"g(r) was not computed: {g}")
    else:
        part.curves.append(("g_r", g.calibrated(scene.calibration, x=(1, 0), y=(0, 0))))
    return part


def scattering(scene: Scene) -> Part:
    """S(q), over some three peaks."""
    q_max = scene.config.sq_max_per_px or _Q_PEAKS * 2 * np.pi / scene.spacing
    curve = structure_factor(
        scene.shots.positions,
        q_max=q_max,
        n_bins=_Q_BINS,
        region=scene.corners,
        monitor=scene.monitor,
    )
    part = Part(summary={"sq_max_per_px": q_max})
    part.curves.append(("s_q", curve.calibrated(scene.calibration, x=(-1, 0), y=(0, 0))))
    return part


def hexatic(scene: Scene) -> Part:
    """psi6, and psi_n beside it where another fold is asked for."""
    table, fold = psi6_table(scene.tracks, triangulations=scene.triangulations), scene.config.psi_fold
    if fold != _SIX:
        other = psi_table(scene.tracks, fold, triangulations=scene.triangulations)
        table = table.merge(other, on=["frame", "particle"], validate="one_to_one")
    part = Part(table, summary={"psi_fold": fold})
    if table["psi6"].notna().any():
        means = table.mean()
        part.summary["psi6_mean"] = float(means["psi6"])
        if fold != _SIX:
            part.summary["psi_fold_mean"] = float(means[f"psi{fold}"])
    else:
        part.notes.append("psi6_mean is absent: no particle has all its neighbours inside the view")
    return part


def cells(scene: Scene) -> Part:
    """Voronoi cells."""
    table = voronoi_table(scene.tracks, triangulations=scene.triangulations)
    part = Part(table)
    sure = table[~table["edge_cell"]]
    if len(sure):
        part.summary["defect_fraction"] = float((sure["coordination"] != _SIX).mean())
    return part


def density(scene: Scene) -> Part:
    """Particles per area (in space: per volume) within some cutoffs."""
    usual, most = RADIUS_CUTOFFS * scene.cutoff, 0.5 * float(scene.sides.max())
    radius = min(usual, most)
    table = local_density_table(scene.tracks, radius_px=radius, region=scene.corners, monitor=scene.monitor)
    part = Part(table, summary={"density_radius_px": radius})
    if radius < usual:
        part.notes.append(
            f"the local density is within {radius:.3g} px, half the longer side of the view, instead of two neighbour "
            f"cutoffs ({usual:.3g} px), with which it would be the same of every particle"
        )
    return part


def order_of_pairs(scene: Scene) -> Part:
    """Two-body excess entropy, of the whole and of each particle."""
    r_max = min(_ENTROPY_SPACINGS * scene.spacing, scene.r_max)
    curve = excess_entropy(
        scene.shots.positions,
        r_max=r_max,
        n_bins=max(int(r_max / scene.spacing * _BINS_A_SPACING), 1),
        region=scene.corners,
        monitor=scene.monitor,
    )
    part = Part(summary={"pair_entropy": float(curve.y[-1]), "pair_entropy_reach_px": r_max})
    if r_max < _ENTROPY_SPACINGS * scene.spacing:
        part.notes.append(
            f"the pair entropy is that of correlations up to {r_max:.3g} px, as far as the view shows g(r), instead of "
            f"{_ENTROPY_SPACINGS:g} distances of neighbours ({_ENTROPY_SPACINGS * scene.spacing:.3g} px)"
        )
    part.curves.append(("pair_entropy", curve.calibrated(scene.calibration, x=(1, 0), y=(0, 0))))
    part.columns = pair_entropy_table(
        scene.tracks,
        r_max_px=REACH_SPACINGS * scene.spacing,
        smoothing_px=SMOOTHING_SPACINGS * scene.spacing,
        region=scene.corners,
        monitor=scene.monitor,
    )
    return part

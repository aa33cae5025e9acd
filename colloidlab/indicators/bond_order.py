"""Hexatic bond-orientational order."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError

from colloidlab.errors import InputError
from colloidlab.indicators.trajectories import Floats, snapshots
from colloidlab.progress import SILENT, Monitor

Region = tuple[float, float, float, float]
"""Rectangle x0, y0, x1, y1 in which centres are seen, px."""

PSI6_COLUMNS = ("frame", "particle", "psi6", "psi6_angle_rad")

_ROUNDING = 1e-9


def psi6(positions: Floats, *, region: Region | None = None) -> NDArray[np.complex128]:
    """Hexatic order ψ6 = ⟨exp(6iθ_ij)⟩ over the Delaunay neighbours j, with θ the angle of r_j − r_i.

    NaN wherever the neighbours are not certain: on the convex hull, and where the
    circumcircle of one of the particle's Delaunay triangles leaves `region`. Exactly
    those neighbourhoods could change if the particles outside the view were known, so
    a finite value is what the whole sample would have given.

    Parameters
    ----------
    positions : float array, shape (n, 2)
    region : (x0, y0, x1, y1), optional
        Rectangle in which particles are seen [the bounding box of the positions].

    Returns
    -------
    psi6 : complex array, shape (n,)
        |ψ6| is 1 in a perfect triangular lattice; arg ψ6 / 6 is its direction.

    References
    ----------
    Halperin & Nelson, Phys. Rev. Lett. 41, 121 (1978).
    """
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise InputError(f"psi6 needs positions of shape (n, 2), not {positions.shape}")
    unknown = np.full(positions.shape[0], np.nan + 1j * np.nan)
    whole = np.flatnonzero(np.isfinite(positions).all(axis=1))
    if whole.size < 4:
        return unknown
    points = positions[whole]
    # Qhull works with absolute tolerances: far from the origin it would lose digits.
    centred = points - points.mean(axis=0)
    try:
        mesh = Delaunay(centred)
    except QhullError:
        return unknown  # all on one line
    starts, neighbours = mesh.vertex_neighbor_vertices
    number = np.diff(starts)
    origin = np.repeat(np.arange(whole.size), number)
    bond = centred[neighbours] - centred[origin]
    phase = ((bond[:, 0] + 1j * bond[:, 1]) / np.hypot(bond[:, 0], bond[:, 1])) ** 6
    total = np.bincount(origin, phase.real, whole.size) + 1j * np.bincount(origin, phase.imag, whole.size)
    uncertain = number == 0
    uncertain[mesh.convex_hull] = True
    x0, y0, x1, y1 = region if region is not None else (*points.min(axis=0), *points.max(axis=0))
    limits = np.array([[x0, y0], [x1, y1]]) - points.mean(axis=0)
    uncertain[mesh.simplices[_leaves(centred[mesh.simplices], limits)]] = True
    unknown[whole] = np.where(uncertain, np.nan, total / np.maximum(number, 1))
    return unknown


def psi6_table(
    tracks: pd.DataFrame, *, region: Region | None = None, monitor: Monitor = SILENT
) -> pd.DataFrame:
    """Modulus and direction of ψ6 for every particle and frame.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y in px.
    region : (x0, y0, x1, y1), optional
        As for `psi6`, the same for all frames [the bounding box of each frame].
    monitor : Monitor

    Returns
    -------
    DataFrame
        frame, particle, psi6 (modulus), psi6_angle_rad (phase / 6, between −π/6 and π/6).
    """
    shots = snapshots(tracks)
    if shots.frames.size == 0:
        whole = ("frame", "particle")
        return pd.DataFrame({c: np.zeros(0, np.int64 if c in whole else np.float64) for c in PSI6_COLUMNS})
    order = [psi6(points[:, :2], region=region) for points in monitor.track(shots.positions, "psi6")]
    values = np.concatenate(order)
    return pd.DataFrame(
        {
            "frame": np.repeat(shots.frames, [o.size for o in order]),
            "particle": np.concatenate(shots.particles),
            "psi6": np.abs(values),
            "psi6_angle_rad": np.angle(values) / 6,
        }
    )


def _leaves(triangles: Floats, limits: Floats) -> NDArray[np.bool_]:
    """Which circumcircles reach beyond the rectangle from limits[0] to limits[1]; triangles (n, 3, 2)."""
    a = triangles[:, 0]
    b, c = triangles[:, 1] - a, triangles[:, 2] - a
    twice_area = 2 * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    bb, cc = np.sum(b**2, axis=1), np.sum(c**2, axis=1)
    flat = twice_area == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (
            np.column_stack([c[:, 1] * bb - b[:, 1] * cc, b[:, 0] * cc - c[:, 0] * bb]) / twice_area[:, None]
        )
        radius = np.hypot(centre[:, 0], centre[:, 1])[:, None]
        slack = _ROUNDING * np.ptp(limits, axis=0)
        beyond = (centre + a - radius < limits[0] - slack) | (centre + a + radius > limits[1] + slack)
    return np.asarray(flat | beyond.any(axis=1))

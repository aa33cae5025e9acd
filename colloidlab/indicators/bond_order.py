"""Bond-orientational order over the Delaunay neighbours: hexatic and any other fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.errors import InputError
from colloidlab.indicators.trajectories import Floats, snapshots
from colloidlab.indicators.triangulation import Region, Triangulation, matching, triangulate
from colloidlab.progress import SILENT, Monitor

__all__ = ["PSI6_COLUMNS", "Region", "bond_order", "psi", "psi6", "psi6_table"]

PSI6_COLUMNS = ("frame", "particle", "psi6", "psi6_angle_rad")


def psi(
    positions: Floats, n: int = 6, *, region: Region | None = None, box: Floats | None = None
) -> NDArray[np.complex128]:
    """Bond-orientational order ψn = ⟨exp(i n θ_ij)⟩ over the Delaunay neighbours j, θ the angle of r_j − r_i.

    NaN wherever the neighbours are not certain: on the convex hull, and where the
    circumcircle of one of the particle's Delaunay triangles leaves `region`. Exactly
    those neighbourhoods could change if the particles outside the view were known, so
    a finite value is what the whole sample would have given.

    Parameters
    ----------
    positions : float array, shape (n_particles, 2)
        Rows with NaN are absent.
    n : int
        Fold of the order: 6 hexatic, 4 tetratic.
    region : (x0, y0, x1, y1), optional
        Rectangle in which particles are seen [the bounding box of the positions].
    box : float array, shape (2,), optional
        Sides of a periodic box, instead of a region; all values are then finite.

    Returns
    -------
    psi : complex array, shape (n_particles,)
        |ψ6| is 1 in a perfect triangular lattice; arg ψn / n is its direction.

    References
    ----------
    Halperin & Nelson, Phys. Rev. Lett. 41, 121 (1978).
    """
    return bond_order(triangulate(positions, region=region, box=box), n)


def psi6(
    positions: Floats, *, region: Region | None = None, box: Floats | None = None
) -> NDArray[np.complex128]:
    """Hexatic order, `psi` with n = 6."""
    return psi(positions, 6, region=region, box=box)


def bond_order(mesh: Triangulation, n: int = 6) -> NDArray[np.complex128]:
    """ψn of a frame that has been triangulated; see `psi`."""
    if n < 1:
        raise InputError(f"the fold of the bond order is {n}; it must be at least 1")
    i, j = mesh.edges.T
    # Seen from j the bond points the other way: exp(i n (θ + π)) = (-1)^n exp(i n θ).
    phase = ((mesh.bonds[:, 0] + 1j * mesh.bonds[:, 1]) / np.hypot(mesh.bonds[:, 0], mesh.bonds[:, 1])) ** n
    both = np.concatenate([phase, phase if n % 2 == 0 else -phase])
    ends = np.concatenate([i, j])
    total = np.bincount(ends, both.real, mesh.n) + 1j * np.bincount(ends, both.imag, mesh.n)
    return np.where(mesh.certain, total / np.maximum(mesh.coordination, 1), np.nan + 1j * np.nan)


def psi6_table(
    tracks: pd.DataFrame,
    *,
    region: Region | None = None,
    box: Floats | None = None,
    triangulations: list[Triangulation] | None = None,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """Modulus and direction of ψ6 for every particle and frame.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y in px.
    region : (x0, y0, x1, y1), optional
        As for `psi`, the same for all frames [the bounding box of each frame].
    box : float array, shape (2,), optional
        Sides of a periodic box, px.
    triangulations : list of Triangulation, optional
        Of these tracks, from `triangulate_tracks`; region and box are then theirs.
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
    meshes = matching(shots, triangulations, region=region, box=box, monitor=monitor, label="psi6")
    values = np.concatenate([bond_order(mesh) for mesh in meshes])
    return pd.DataFrame(
        {
            "frame": np.repeat(shots.frames, [mesh.n for mesh in meshes]),
            "particle": np.concatenate(shots.particles),
            "psi6": np.abs(values),
            "psi6_angle_rad": np.angle(values) / 6,
        }
    )

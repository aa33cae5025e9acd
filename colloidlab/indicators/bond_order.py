"""Bond-orientational order over the Delaunay neighbours: hexatic and any other fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.errors import InputError
from colloidlab.indicators.trajectories import Floats, snapshots
from colloidlab.indicators.triangulation import Region, Triangulation, matching, triangulate
from colloidlab.progress import SILENT, Monitor

__all__ = ["PSI6_COLUMNS", "Region", "bond_order", "psi", "psi6", "psi6_table", "psi_table"]

PSI6_COLUMNS = ("frame", "particle", "psi6", "psi6_angle_rad")


def psi(
    positions: Floats,
    n: int = 6,
    *,
    region: Region | None = None,
    box: Floats | None = None,
    weighted: bool = False,
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
    weighted : bool
        Each neighbour counts with the length of the edge that the two Voronoi cells share. A square lattice
        needs it: which diagonal of a square is a Delaunay edge is up to chance, and its edge has no length.

    Returns
    -------
    psi : complex array, shape (n_particles,)
        |ψ6| is 1 in a perfect triangular lattice; arg ψn / n is its direction.

    References
    ----------
    Halperin & Nelson, Phys. Rev. Lett. 41, 121 (1978). Weights: Mickel, Kapfer, Schröder-Turk & Mecke, J. Chem.
    Phys. 138, 044501 (2013).
    """
    return bond_order(triangulate(positions, region=region, box=box), n, weighted=weighted)


def psi6(
    positions: Floats, *, region: Region | None = None, box: Floats | None = None
) -> NDArray[np.complex128]:
    """Hexatic order, `psi` with n = 6."""
    return psi(positions, 6, region=region, box=box)


def bond_order(mesh: Triangulation, n: int = 6, *, weighted: bool = False) -> NDArray[np.complex128]:
    """ψn of a frame that has been triangulated; see `psi`."""
    if n < 1:
        raise InputError(f"the fold of the bond order is {n}; it must be at least 1")
    i, j = mesh.edges.T
    # Seen from j the bond points the other way: exp(i n (θ + π)) = (-1)^n exp(i n θ).
    phase = ((mesh.bonds[:, 0] + 1j * mesh.bonds[:, 1]) / np.hypot(mesh.bonds[:, 0], mesh.bonds[:, 1])) ** n
    # Edges of the hull have no facet, and their ends are not certain.
    weight = np.nan_to_num(mesh.facets) if weighted else np.ones(i.size)
    both = np.concatenate([weight * phase, weight * (phase if n % 2 == 0 else -phase)])
    ends = np.concatenate([i, j])
    total = np.bincount(ends, both.real, mesh.n) + 1j * np.bincount(ends, both.imag, mesh.n)
    whole = np.bincount(ends, np.tile(weight, 2), mesh.n)
    return np.where(mesh.certain, total / np.where(whole > 0, whole, 1), np.nan + 1j * np.nan)


def psi6_table(
    tracks: pd.DataFrame,
    *,
    region: Region | None = None,
    box: Floats | None = None,
    triangulations: list[Triangulation] | None = None,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """Modulus and direction of ψ6 for every particle and frame: `psi_table` of six folds, every neighbour counting alike."""
    return psi_table(
        tracks, 6, region=region, box=box, triangulations=triangulations, weighted=False, monitor=monitor
    )


def psi_table(
    tracks: pd.DataFrame,
    n: int,
    *,
    region: Region | None = None,
    box: Floats | None = None,
    triangulations: list[Triangulation] | None = None,
    weighted: bool = True,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """Modulus and direction of ψn for every particle and frame.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y in px.
    n, weighted
        As for `psi`.
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
        frame, particle, psi{n} (modulus), psi{n}_angle_rad (phase / n, between −π/n and π/n).
    """
    shots = snapshots(tracks)
    meshes = matching(shots, triangulations, region=region, box=box, monitor=monitor, label=f"psi{n}")
    values = np.concatenate(
        [np.zeros(0, complex), *(bond_order(mesh, n, weighted=weighted) for mesh in meshes)]
    )
    return pd.DataFrame(
        {
            "frame": np.repeat(shots.frames, [mesh.n for mesh in meshes]).astype(np.int64),
            "particle": np.concatenate([np.zeros(0, np.int64), *shots.particles]),
            f"psi{n}": np.abs(values),
            f"psi{n}_angle_rad": np.angle(values) / n,
        }
    )

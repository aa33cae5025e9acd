"""Bond-orientational order over the Delaunay neighbours: hexatic and any other fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.errors import InputError
from colloidlab.indicators.localisation import localisation_sigma
from colloidlab.indicators.trajectories import Floats, by_frame, snapshots, sorted_rows
from colloidlab.indicators.triangulation import Region, Triangulation, matching, triangulate
from colloidlab.progress import SILENT, Monitor

__all__ = [
    "PSI6_COLUMNS",
    "Region",
    "bond_order",
    "bond_order_error",
    "psi",
    "psi6",
    "psi6_table",
    "psi_table",
]

PSI6_COLUMNS = ("frame", "particle", "psi6", "psi6_angle_rad", "psi6_error")


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


def bond_order_error(mesh: Triangulation, sigma: Floats, n: int = 6) -> Floats:
    """Standard deviation of |ψn|, every neighbour counting alike, from localisation errors.

    To first order in errors that are independent of each other, of the particle and of its neighbours, who stay the
    same. With ψ = (1/N) Σ_j exp(i n θ_j) and φ = arg ψ a bond that turns by δθ_j changes |ψ| by a_j δθ_j,

        a_j = −(n/N) sin(n θ_j − φ),    δθ_j = t_j · (δr_j − δr) / r_j,    t_j across the bond.

    Near |ψ| = 0 and 1 the second order is larger: there it is a lower bound.

    Parameters
    ----------
    mesh : Triangulation
    sigma : float array, shape (mesh.n, 2), px
        Localisation error per axis.
    n : int
        Fold of the order.

    Returns
    -------
    error : float array, shape (mesh.n,)
        NaN where ψ is, and where one of the errors that enter is.
    """
    order = bond_order(mesh, n)
    count = np.bincount(mesh.edges.ravel(), minlength=mesh.n)
    own, shared = np.zeros((mesh.n, 2)), np.zeros(mesh.n)
    for (of, other), bond in ((mesh.edges.T, mesh.bonds), (mesh.edges.T[::-1], -mesh.bonds)):
        angle = np.arctan2(bond[:, 1], bond[:, 0])
        across = np.column_stack([-bond[:, 1], bond[:, 0]]) / (bond**2).sum(1, keepdims=True)
        turned = -n / count[of] * np.sin(n * angle - np.angle(order[of]))
        slope = turned[:, None] * across
        shared += np.bincount(of, ((slope * sigma[other]) ** 2).sum(1), mesh.n)
        for axis in range(2):
            own[:, axis] += np.bincount(of, slope[:, axis], mesh.n)
    return np.sqrt(shared + ((own * sigma) ** 2).sum(1))


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
        frame, particle, psi{n} (modulus), psi{n}_angle_rad (phase / n, between −π/n and π/n), and where every neighbour
        counts alike psi{n}_error, see `bond_order_error`; empty where the tracks state no localisation error.
    """
    shots = snapshots(tracks)
    meshes = matching(shots, triangulations, region=region, box=box, monitor=monitor, label=f"psi{n}")
    values = np.concatenate(
        [np.zeros(0, complex), *(bond_order(mesh, n, weighted=weighted) for mesh in meshes)]
    )
    table = pd.DataFrame(
        {
            "frame": np.repeat(shots.frames, [mesh.n for mesh in meshes]).astype(np.int64),
            "particle": np.concatenate([np.zeros(0, np.int64), *shots.particles]),
            f"psi{n}": np.abs(values),
            f"psi{n}_angle_rad": np.angle(values) / n,
        }
    )
    if weighted:
        return table
    sigma = by_frame(localisation_sigma(tracks)[sorted_rows(tracks, by=("frame", "particle"))], shots)
    errors = [bond_order_error(mesh, of_frame, n) for mesh, of_frame in zip(meshes, sigma, strict=True)]
    return table.assign(**{f"psi{n}_error": np.concatenate([np.zeros(0), *errors])})

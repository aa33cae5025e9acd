"""Delaunay triangulation of a frame: who is whose neighbour, and how surely.

Everything that stands on it (ψ, Voronoi cells, neighbour changes, T1 events) takes the
same `Triangulation`, so that a frame is triangulated once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError

from colloidlab.errors import InputError
from colloidlab.indicators.mesh import NO_TRIANGLES, edges_of, leave, triangles_of
from colloidlab.indicators.trajectories import Floats, Integers, Snapshots, snapshots
from colloidlab.progress import SILENT, Monitor

Region = tuple[float, float, float, float]
"""Rectangle x0, y0, x1, y1 in which centres are seen, px."""

_ROUNDING = 1e-9
_FIRST_MARGIN = 2.0
"""Width of the images around a periodic box at the first attempt, in mean spacings."""


@dataclass(frozen=True)
class Triangulation:
    """Delaunay triangulation of the particles of one frame.

    What could change if the particles outside the view were known is marked: an edge is
    certain if the circumcircles of both its triangles lie in the view, a particle if those
    of all its triangles do. What is certain is what the whole sample would have given.

    Parameters
    ----------
    n : int
        Particles, the triangulated and the others.
    edges : int array, shape (n_edges, 2)
        Neighbours i < j, each pair once.
    bonds : float array, shape (n_edges, 2)
        r_j − r_i, px; to the neighbouring image in a periodic box.
    facets : float array, shape (n_edges,)
        Length of the edge that the two Voronoi cells share, px; NaN on the hull.
    apexes : int array, shape (n_edges, 2)
        Third corner of the triangle on either side of an edge, -1 beyond the hull.
    triangles : int array, shape (n_triangles, 3)
        Counterclockwise.
    certain_edges : bool array, shape (n_edges,)
    certain : bool array, shape (n,)
    """

    n: int
    edges: NDArray[np.int32]
    bonds: Floats
    facets: Floats
    apexes: NDArray[np.int32]
    triangles: NDArray[np.int32]
    certain_edges: NDArray[np.bool_]
    certain: NDArray[np.bool_]

    @property
    def coordination(self) -> Integers:
        """Number of neighbours, shape (n,)."""
        return np.bincount(self.edges.ravel(), minlength=self.n)


def triangulate(
    positions: Floats, *, region: Region | None = None, box: Floats | None = None
) -> Triangulation:
    """Delaunay triangulation of positions in the plane.

    Parameters
    ----------
    positions : float array, shape (n, 2), px
        Rows with NaN have no neighbours.
    region : (x0, y0, x1, y1), optional
        Rectangle in which particles are seen [the bounding box of the positions].
    box : float array, shape (2,), optional
        Sides of a periodic box; everything is then certain.

    Raises
    ------
    InputError
        Positions of another shape, a region together with a box, or too few particles in the box.

    Notes
    -----
    Four neighbours on one circle (a square lattice) have two equally good triangulations, of
    which one is given. No triangles: fewer than three positions, or all on one line.
    """
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise InputError(f"a triangulation needs positions of shape (n, 2), not {positions.shape}")
    whole = np.flatnonzero(np.isfinite(positions).all(axis=1))
    if box is not None:
        if region is not None:
            raise InputError("a periodic box has no edges; give a region or a box, not both")
        return _periodic(positions[whole], whole, positions.shape[0], np.asarray(box, dtype=np.float64))
    if whole.size == 0:
        return _described(
            positions[whole], NO_TRIANGLES, NO_TRIANGLES, np.zeros((2, 2)), whole, positions.shape[0]
        )
    points = positions[whole]
    # Determinants and Qhull's absolute tolerances lose digits far from the origin.
    middle = points.mean(axis=0)
    x0, y0, x1, y1 = region if region is not None else (*points.min(axis=0), *points.max(axis=0))
    limits = np.array([[x0, y0], [x1, y1]]) - middle
    triangles, twins = triangles_of(points - middle)
    return _described(points - middle, triangles, twins, limits, whole, positions.shape[0])


def triangulate_tracks(
    tracks: pd.DataFrame,
    *,
    region: Region | None = None,
    box: Floats | None = None,
    monitor: Monitor = SILENT,
) -> list[Triangulation]:
    """One triangulation for each frame that has particles, as `trajectories.snapshots` orders them.

    The table functions that take `triangulations` want those of the same tracks. Three-dimensional
    tracks are projected on x and y.
    """
    shots = snapshots(tracks)
    return [
        triangulate(points[:, :2], region=region, box=box)
        for points in monitor.track(shots.positions, "neighbours")
    ]


def matching(
    shots: Snapshots,
    triangulations: list[Triangulation] | None,
    *,
    region: Region | None,
    box: Floats | None,
    monitor: Monitor,
    label: str,
) -> list[Triangulation]:
    """The triangulations that were handed in, if they are of these snapshots; new ones otherwise.

    Raises
    ------
    InputError
        They are of other tracks.
    """
    if triangulations is None:
        return [
            triangulate(points[:, :2], region=region, box=box)
            for points in monitor.track(shots.positions, label)
        ]
    if [t.n for t in triangulations] != [p.shape[0] for p in shots.positions]:
        raise InputError("the triangulations are of other tracks; triangulate these tracks")
    return triangulations


def delaunay_pairs(positions: Floats, *, box: Floats | None = None) -> Integers:
    """Delaunay neighbours i < j in two or three dimensions, as `neighbours.pairs_within` gives pairs.

    Parameters
    ----------
    positions : float array, shape (n, D), D = 2 or 3
        Rows with NaN have no neighbours.
    box : float array, shape (2,), optional
        Sides of a periodic box, in two dimensions.
    """
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim == 2 and positions.shape[1] == 3 and box is None:
        whole = np.flatnonzero(np.isfinite(positions).all(axis=1))
        try:
            mesh = Delaunay(positions[whole] - positions[whole].mean(axis=0))
        except (QhullError, ValueError):
            return np.zeros((0, 2), dtype=np.int64)  # too few, or all in one plane
        starts, others = mesh.vertex_neighbor_vertices
        pairs = np.column_stack([np.repeat(np.arange(whole.size), np.diff(starts)), others])
        return whole[pairs[pairs[:, 0] < pairs[:, 1]]].astype(np.int64)
    return triangulate(positions, box=box).edges.astype(np.int64)


def _described(
    points: Floats, triangles: Integers, twins: Integers, limits: Floats, whole: Integers, n: int
) -> Triangulation:
    """Edges, facets and certainty of a mesh over `points`, which are the rows `whole` of n."""
    outside = leave(points, triangles, limits, _ROUNDING * np.ptp(limits, axis=0))
    edges, facets, apexes, sure, known = edges_of(points, triangles, twins, outside)
    bonds = points[edges[:, 1]] - points[edges[:, 0]]
    certain = np.zeros(n, dtype=np.bool_)
    certain[whole] = known
    return Triangulation(
        n,
        whole[edges].astype(np.int32),
        bonds,
        facets,
        np.where(apexes < 0, -1, whole[apexes]).astype(np.int32),
        whole[triangles].astype(np.int32),
        sure,
        certain,
    )


def _periodic(points: Floats, whole: Integers, n: int, box: Floats) -> Triangulation:
    """Triangulate the box with as many images around it as the circumcircles at its border need."""
    m = points.shape[0]
    if m == 0:
        return _described(points, NO_TRIANGLES, NO_TRIANGLES, np.zeros((2, 2)), whole, n)
    inside = points % box
    inside = np.where(inside >= box, 0.0, inside)
    # Ties (lattices) are broken alike in all images, by less than any position is known.
    spacing = float(np.sqrt(np.prod(box) / m))
    inside = inside + np.random.default_rng(0).uniform(-_ROUNDING, _ROUNDING, inside.shape) * spacing
    margin = _FIRST_MARGIN * spacing
    while True:
        owner, shift = _images(inside, box, margin)
        seen = inside[owner] + shift * box - box / 2
        triangles, twins = triangles_of(seen)
        central = (shift == 0).all(axis=1)
        mine = central[triangles].any(axis=1)
        limits = np.array([-box / 2 - margin, box / 2 + margin])
        leaves = leave(seen, triangles[mine], limits, np.zeros(2)).any()
        if mine.any() and not leaves and (twins[mine] >= 0).all():
            return _folded(seen, triangles, twins, owner, central, whole, n)
        if margin > 2 * box.max():
            raise InputError("the particles fill too little of the periodic box to be triangulated")
        margin *= 2


def _images(inside: Floats, box: Floats, margin: float) -> tuple[Integers, Integers]:
    """Which particle and which image each point within `margin` of the box is; the box itself first."""
    reach = np.ceil(margin / box).astype(np.int64)
    owners, shifts = [np.arange(inside.shape[0])], [np.zeros((inside.shape[0], 2), dtype=np.int64)]
    for kx in range(-reach[0], reach[0] + 1):
        for ky in range(-reach[1], reach[1] + 1):
            if kx == 0 and ky == 0:
                continue
            at = inside + np.array([kx, ky]) * box
            near = np.flatnonzero(((at > -margin) & (at < box + margin)).all(axis=1))
            owners.append(near)
            shifts.append(np.tile(np.array([[kx, ky]]), (near.size, 1)))
    return np.concatenate(owners), np.concatenate(shifts)


def _folded(
    seen: Floats,
    triangles: Integers,
    twins: Integers,
    owner: Integers,
    central: NDArray[np.bool_],
    whole: Integers,
    n: int,
) -> Triangulation:
    """Each edge and triangle once: that image of it whose lowest particle is in the box itself."""
    edges, facets, apexes, _, _ = edges_of(
        seen, triangles, twins, np.zeros(triangles.shape[0], dtype=np.bool_)
    )
    turned = owner[edges[:, 0]] > owner[edges[:, 1]]
    low, high = np.where(turned, edges[:, ::-1].T, edges.T)
    keep = central[low] & (owner[low] != owner[high])
    low, high = low[keep], high[keep]
    pairs = np.column_stack([owner[low], owner[high]])
    keys = np.sort(pairs[:, 0] * whole.size + pairs[:, 1])
    if keys.size != 3 * whole.size or (keys[1:] == keys[:-1]).any():
        raise InputError(
            "the periodic box is too small: particles are neighbours of their own images, or twice of one other"
        )
    first = triangles[np.arange(triangles.shape[0]), np.argmin(owner[triangles], axis=1)]
    certain = np.zeros(n, dtype=np.bool_)
    certain[whole] = True
    return Triangulation(
        n,
        whole[pairs].astype(np.int32),
        seen[high] - seen[low],
        facets[keep],
        whole[owner[apexes[keep]]].astype(np.int32),
        whole[owner[triangles[central[first]]]].astype(np.int32),
        np.ones(pairs.shape[0], dtype=np.bool_),
        certain,
    )

"""Triangles of points in the plane, and their edges, facets and circumcircles."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError

from colloidlab.indicators.sweep_hull import sweep_hull
from colloidlab.indicators.trajectories import Floats, Integers

NO_TRIANGLES = np.zeros((0, 3), dtype=np.int64)


def triangles_of(points: Floats) -> tuple[Integers, Integers]:
    """Triangles and twins as `sweep_hull` gives them; Qhull decides where rounding matters."""
    if points.shape[0] < 3:
        return NO_TRIANGLES, NO_TRIANGLES
    triangles, twins = sweep_hull(points)
    if triangles.size:
        return triangles, twins
    try:
        mesh = Delaunay(points)
    except QhullError:
        return NO_TRIANGLES, NO_TRIANGLES  # all on one line
    triangles = mesh.simplices.astype(np.int64)
    # Qhull names the triangle across from corner k, which is across the edge that starts at k + 1.
    across = mesh.neighbors[:, [2, 0, 1]].astype(np.int64)
    ends = np.roll(triangles, -1, axis=1)
    start_there = triangles[across] == ends[:, :, None]
    return triangles, np.where(across < 0, -1, 3 * across + np.argmax(start_there, axis=2))


@njit(cache=True, nogil=True)
def leave(points: Floats, triangles: Integers, limits: Floats, slack: Floats) -> NDArray[np.bool_]:
    """Which circumcircles reach beyond the rectangle from limits[0] to limits[1]."""
    found = np.empty(triangles.shape[0], dtype=np.bool_)
    for t in range(triangles.shape[0]):
        a, b, c = points[triangles[t, 0]], points[triangles[t, 1]], points[triangles[t, 2]]
        bx, by, cx, cy = b[0] - a[0], b[1] - a[1], c[0] - a[0], c[1] - a[1]
        bb, cc, twice = bx * bx + by * by, cx * cx + cy * cy, 2 * (bx * cy - by * cx)
        if twice == 0:
            found[t] = True
            continue
        x, y = (cy * bb - by * cc) / twice, (bx * cc - cx * bb) / twice
        radius = np.hypot(x, y)
        found[t] = (
            a[0] + x - radius < limits[0, 0] - slack[0]
            or a[1] + y - radius < limits[0, 1] - slack[1]
            or a[0] + x + radius > limits[1, 0] + slack[0]
            or a[1] + y + radius > limits[1, 1] + slack[1]
        )
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def edges_of(
    points: Floats, triangles: Integers, twins: Integers, outside: NDArray[np.bool_]
) -> tuple[Integers, Floats, Integers, NDArray[np.bool_], NDArray[np.bool_]]:
    """Edges i < j, their facets ½|r_ij|(cot + cot of the angles across), apexes, and what is certain."""
    most = triangles.size
    edges, apexes = np.empty((most, 2), np.int64), np.empty((most, 2), np.int64)
    facets, sure = np.empty(most), np.empty(most, np.bool_)
    known = np.zeros(points.shape[0], dtype=np.bool_)
    for t in range(triangles.shape[0]):
        for k in range(3):
            known[triangles[t, k]] = True
    count = 0
    for t in range(triangles.shape[0]):
        for k in range(3):
            other = twins[t, k]
            i, j = triangles[t, k], triangles[t, (k + 1) % 3]
            if outside[t] or other < 0:
                known[i] = known[j] = False
            if outside[t]:
                known[triangles[t, (k + 2) % 3]] = False
            if other > 3 * t + k:
                continue
            edges[count, 0], edges[count, 1] = min(i, j), max(i, j)
            top = triangles[t, (k + 2) % 3]
            apexes[count, 0], apexes[count, 1] = top, -1
            facets[count], sure[count] = np.nan, False
            if other >= 0:
                bottom = triangles[other // 3, (other + 2) % 3]
                apexes[count, 1] = bottom
                length = np.hypot(points[i, 0] - points[j, 0], points[i, 1] - points[j, 1])
                cots = _cotangent(points, top, i, j) + _cotangent(points, bottom, j, i)
                facets[count] = 0.5 * length * max(cots, 0.0)
                sure[count] = not (outside[t] or outside[other // 3])
            count += 1
    return edges[:count].copy(), facets[:count].copy(), apexes[:count].copy(), sure[:count].copy(), known


@njit(cache=True, nogil=True, error_model="numpy")
def _cotangent(points: Floats, at: int, i: int, j: int) -> float:
    """Cotangent of the angle at a corner of a counterclockwise triangle."""
    ax, ay = points[i, 0] - points[at, 0], points[i, 1] - points[at, 1]
    bx, by = points[j, 0] - points[at, 0], points[j, 1] - points[at, 1]
    return float((ax * bx + ay * by) / (ax * by - ay * bx))

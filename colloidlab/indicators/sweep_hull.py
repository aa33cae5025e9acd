"""Delaunay triangulation of points in the plane, compiled: radial sweep with flips.

Points are added in order of their distance from a first triangle; each is joined to the
edges of the convex hull that it sees, and edges are flipped until every circumcircle is
empty (the sweep-hull of Sinclair, arXiv:1604.01428, in the arrangement of half-edges of
Mapbox's delaunator). Signs are only trusted beyond the rounding error of the
determinants (Shewchuk 1997): an orientation that is not certain ends the attempt, for the
caller to hand the points to Qhull; a point that is on a circle within rounding is left
outside it.

| symbol | name | meaning |
|---|---|---|
| half-edge e = 3 t + k | | from corner k of triangle t to its next corner, counterclockwise |
| | `corner[e]` | point where half-edge e starts |
| | `twin[e]` | the same edge from the other triangle, -1 on the hull |
| | `after`, `before` | next and previous point on the hull, counterclockwise |
| | `outer[i]` | half-edge of the hull that starts at point i |

References
----------
Shewchuk, Discrete & Computational Geometry 18, 305 (1997).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from colloidlab.indicators.trajectories import Floats, Integers

_ORIENTATION_ERROR = 3.3306690738754716e-16
_CIRCLE_ERROR = 1.1102230246251577e-15
"""Shewchuk's bounds A of the determinants, relative to the sums of their absolute terms."""


class _Mesh(NamedTuple):
    corner: Integers
    twin: Integers
    after: Integers
    before: Integers
    outer: Integers
    waiting: Integers


@njit(cache=True, nogil=True, error_model="numpy")
def sweep_hull(points: Floats) -> tuple[Integers, Integers]:
    """Triangles and what lies across their edges; empty where a sign is within rounding.

    Parameters
    ----------
    points : float array, shape (n, 2)
        Finite; best near the origin.

    Returns
    -------
    triangles : int array, shape (n_triangles, 3)
        Counterclockwise.
    twins : int array, shape (n_triangles, 3)
        For the edge from corner k to the next one: the same edge as 3 t + k of the other triangle, -1 on
        the hull.
    """
    n = points.shape[0]
    nothing = np.zeros((0, 3), dtype=np.int64)
    first, second, third = _seed(points)
    if third < 0:
        return nothing, nothing
    mesh = _Mesh(
        np.empty(6 * n, np.int64),
        np.full(6 * n, -1, dtype=np.int64),
        np.full(n, -1, dtype=np.int64),
        np.full(n, -1, dtype=np.int64),
        np.full(n, -1, dtype=np.int64),
        np.empty(6 * n, np.int64),
    )
    centre = _circumcentre(points, first, second, third)
    for i, j, e in ((first, second, 0), (second, third, 1), (third, first, 2)):
        mesh.corner[e], mesh.outer[i], mesh.after[i], mesh.before[j] = i, e, j, i
    # A literal is a type of its own: what is called with it would be compiled twice.
    used: int = np.int64(3)  # type: ignore[assignment]
    hashed = np.full(int(np.ceil(np.sqrt(n))), -1, dtype=np.int64)
    for i in (first, second, third):
        hashed[_direction(points, i, centre, hashed.size)] = i
    distance = (points[:, 0] - centre[0]) ** 2 + (points[:, 1] - centre[1]) ** 2
    for i in np.argsort(distance):
        if i in (first, second, third):
            continue
        used = _add(points, mesh, i, used, hashed, centre)
        if used < 0:
            return nothing, nothing
    return mesh.corner[:used].copy().reshape(-1, 3), mesh.twin[:used].copy().reshape(-1, 3)


@njit(cache=True, nogil=True, error_model="numpy")
def _seed(points: Floats) -> tuple[int, int, int]:
    """A small triangle near the middle, counterclockwise; third -1 when there is none."""
    middle_x = 0.5 * (points[:, 0].min() + points[:, 0].max())
    middle_y = 0.5 * (points[:, 1].min() + points[:, 1].max())
    first = int(np.argmin((points[:, 0] - middle_x) ** 2 + (points[:, 1] - middle_y) ** 2))
    distance = (points[:, 0] - points[first, 0]) ** 2 + (points[:, 1] - points[first, 1]) ** 2
    distance[first] = np.inf
    second = int(np.argmin(distance))
    third, least = -1, np.inf
    for i in range(points.shape[0]):
        if i != first and i != second and _side(points, first, second, i) != 0:
            x, y = _circumcentre(points, first, second, i)
            radius = (x - points[first, 0]) ** 2 + (y - points[first, 1]) ** 2
            if radius < least:
                third, least = i, radius
    if third >= 0 and _side(points, first, second, third) < 0:
        return first, third, second
    return first, second, third


@njit(cache=True, nogil=True, error_model="numpy")
def _add(
    points: Floats, mesh: _Mesh, i: int, used: int, hashed: Integers, centre: tuple[float, float]
) -> int:
    """Join point i, outside the hull, to all edges that it sees; new number of half-edges, -1 if unsure."""
    key = _direction(points, i, centre, hashed.size)
    start = -1
    for step in range(hashed.size):
        start = hashed[(key + step) % hashed.size]
        if start != -1 and mesh.after[start] != start:
            break
    start = mesh.before[start]
    e = start
    while True:
        side = _side(points, i, e, mesh.after[e])
        if side == 0:
            return -1
        if side < 0:
            break
        e = mesh.after[e]
        if e == start:
            return -1
    n = mesh.after[e]
    used = _attach(mesh, e, i, n, -1, -1, mesh.outer[e], used)
    mesh.outer[i] = _legalise(points, mesh, used - 1, e)
    mesh.outer[e] = used - 3
    while True:
        q = mesh.after[n]
        side = _side(points, i, n, q)
        if side == 0:
            return -1
        if side > 0:
            break
        used = _attach(mesh, n, i, q, mesh.outer[i], -1, mesh.outer[n], used)
        mesh.outer[i] = _legalise(points, mesh, used - 1, e)
        mesh.after[n] = n  # no longer on the hull
        n = q
    if e == start:
        while True:
            q = mesh.before[e]
            side = _side(points, i, q, e)
            if side == 0:
                return -1
            if side > 0:
                break
            used = _attach(mesh, q, i, e, -1, mesh.outer[e], mesh.outer[q], used)
            _legalise(points, mesh, used - 1, e)
            mesh.outer[q] = used - 3
            mesh.after[e] = e
            e = q
    mesh.before[i], mesh.after[e], mesh.before[n], mesh.after[i] = e, i, i, n
    hashed[key] = i
    hashed[_direction(points, e, centre, hashed.size)] = e
    return used


@njit(cache=True, nogil=True, error_model="numpy")
def _attach(mesh: _Mesh, i: int, j: int, k: int, a: int, b: int, c: int, used: int) -> int:
    """New triangle of the points i, j, k whose edges have the twins a, b, c."""
    mesh.corner[used], mesh.corner[used + 1], mesh.corner[used + 2] = i, j, k
    _pair(mesh, used, a)
    _pair(mesh, used + 1, b)
    _pair(mesh, used + 2, c)
    return used + 3


@njit(cache=True, nogil=True, error_model="numpy")
def _pair(mesh: _Mesh, a: int, b: int) -> None:
    mesh.twin[a] = b
    if b != -1:
        mesh.twin[b] = a


@njit(cache=True, nogil=True, error_model="numpy")
def _legalise(points: Floats, mesh: _Mesh, a: int, on_hull: int) -> int:
    """Flip edges, beginning with half-edge a, until circumcircles are empty; the edge that leads to a."""
    waiting = 0
    while True:
        b = mesh.twin[a]
        a0 = a - a % 3
        last = a0 + (a + 2) % 3
        flip = False
        if b != -1:
            b0 = b - b % 3
            beyond = b0 + (b + 2) % 3
            p0, p1 = mesh.corner[last], mesh.corner[beyond]
            flip = _within_circle(points, p0, mesh.corner[a], mesh.corner[a0 + (a + 1) % 3], p1)
        if flip:
            mesh.corner[a], mesh.corner[b] = p1, p0
            moved = mesh.twin[beyond]
            if moved == -1:
                # The flip took along an edge of the hull.
                i = on_hull
                while mesh.outer[i] != beyond:
                    i = mesh.before[i]
                    if i == on_hull:
                        break
                if mesh.outer[i] == beyond:
                    mesh.outer[i] = a
            _pair(mesh, a, moved)
            _pair(mesh, b, mesh.twin[last])
            _pair(mesh, last, beyond)
            mesh.waiting[waiting] = b0 + (b + 1) % 3
            waiting += 1
        else:
            if waiting == 0:
                return last
            waiting -= 1
            a = mesh.waiting[waiting]


@njit(cache=True, nogil=True, error_model="numpy")
def _direction(points: Floats, i: int, centre: tuple[float, float], size: int) -> int:
    """Pseudo-angle of a point around the centre, falling counterclockwise, as a place in the hash."""
    dx, dy = points[i, 0] - centre[0], points[i, 1] - centre[1]
    if dx == 0 and dy == 0:
        return 0
    p = dx / (abs(dx) + abs(dy))
    turn = (3 - p if dy < 0 else 1 + p) / 4
    return int(np.floor(turn * size)) % size


@njit(cache=True, nogil=True, error_model="numpy")
def _side(points: Floats, i: int, j: int, k: int) -> int:
    """1 where i, j, k turn counterclockwise, -1 clockwise, 0 where rounding could decide."""
    left = (points[i, 0] - points[k, 0]) * (points[j, 1] - points[k, 1])
    right = (points[i, 1] - points[k, 1]) * (points[j, 0] - points[k, 0])
    det = left - right
    if abs(det) <= _ORIENTATION_ERROR * (abs(left) + abs(right)):
        return 0
    return 1 if det > 0 else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _within_circle(points: Floats, i: int, j: int, k: int, p: int) -> bool:
    """Whether p is surely inside the circle of the counterclockwise triangle i, j, k."""
    dx, dy = points[i, 0] - points[p, 0], points[i, 1] - points[p, 1]
    ex, ey = points[j, 0] - points[p, 0], points[j, 1] - points[p, 1]
    fx, fy = points[k, 0] - points[p, 0], points[k, 1] - points[p, 1]
    dd, ee, ff = dx * dx + dy * dy, ex * ex + ey * ey, fx * fx + fy * fy
    det = dd * (ex * fy - ey * fx) + ee * (fx * dy - fy * dx) + ff * (dx * ey - dy * ex)
    terms = (
        dd * (abs(ex * fy) + abs(ey * fx))
        + ee * (abs(fx * dy) + abs(fy * dx))
        + ff * (abs(dx * ey) + abs(dy * ex))
    )
    return det > _CIRCLE_ERROR * terms


@njit(cache=True, nogil=True, error_model="numpy")
def _circumcentre(points: Floats, i: int, j: int, k: int) -> tuple[float, float]:
    bx, by = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
    cx, cy = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1]
    bb, cc = bx * bx + by * by, cx * cx + cy * cy
    twice = 2 * (bx * cy - by * cx)
    return points[i, 0] + (cy * bb - by * cc) / twice, points[i, 1] + (bx * cc - cx * bb) / twice

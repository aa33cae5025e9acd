"""Following particles through all frames: one assignment after the other, with memory.

A particle that finds no feature is kept for some frames at the place where it is expected, and competes with
those that were seen last; what it may cost depends on how long it has been away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from colloidlab.tracks.assignment import Floats, Integers, solve
from colloidlab.tracks.candidates import Costs, find_candidates, sort_into_cells


class Motion(NamedTuple):
    """Expected displacement between successive frames that hold features, on the nodes of a grid.

    Between the nodes it is interpolated linearly, beyond them continued; one node along an axis is a constant.
    """

    low: Floats
    """Place of the first node, shape (3,)."""
    step: Floats
    """Distance of the nodes along each axis, shape (3,)."""
    nodes: Floats
    """Displacement, shape (n_frames - 1, n_x, n_y, n_z, 3); n_frames - 1 may be 0 for none at all."""


REST = Motion(np.zeros(3), np.ones(3), np.zeros((0, 1, 1, 1, 3)))
"""Nothing is expected to move."""


class _Followed(NamedTuple):
    """Particles that may find a feature in the next frame."""

    expected: Floats
    """Where, shape (n, 3)."""
    row: Integers
    """Row in which each was last seen."""
    seen: Integers
    """Frame of that row."""


@dataclass(frozen=True)
class Chain:
    """Identity of the particle of every row, and what it would cost to do without its link to the past."""

    particle: Integers
    margin: Floats
    """NaN where a track begins; in the unit of the costs. Empty where not asked for."""


def follow(
    frame: Integers,
    positions: Floats,
    costs: Costs,
    *,
    memory: int,
    motion: Motion = REST,
    scale: Floats | None = None,
    margins: bool = False,
) -> Chain:
    """Link the features of all frames.

    Parameters
    ----------
    frame : int64 array, shape (n,)
        In rising order.
    positions : float array, shape (n, d), d = 2 or 3
        Finite.
    costs : Costs
        For lengths in units of scale.
    memory : int
        Frames that a particle may be absent.
    motion : Motion
        In the units of the positions.
    scale : float array, shape (d,), optional
        Multiplies positions, so that the reach is a sphere.
    margins : bool
        Whether the margins are wanted.
    """
    particle = np.empty(len(frame), dtype=np.int64)
    margin = np.full(len(frame) if margins else 0, np.nan)
    if len(frame) > 0:
        n_axes = positions.shape[1]
        factors = np.ones(3)
        factors[:n_axes] = 1.0 if scale is None else scale
        scaled = Motion(motion.low * factors, motion.step * factors, motion.nodes * factors)
        starts = np.concatenate([[0], np.flatnonzero(frame[1:] != frame[:-1]) + 1, [len(frame)]])
        flat, strides = _flat(positions)
        times = frame[starts[:-1]]
        _follow(flat, strides, factors[:n_axes], starts, times, costs, memory, scaled, particle, margin)
    return Chain(particle, margin)


def _flat(positions: Floats) -> tuple[Floats, tuple[int, int]]:
    """The positions as they lie in memory, and how far apart rows and axes are: copies and compiles nothing twice."""
    n, n_axes = positions.shape
    if positions.flags.f_contiguous and not positions.flags.c_contiguous:
        return positions.T.reshape(-1), (1, n)
    return np.ascontiguousarray(positions).reshape(-1), (n_axes, 1)


@njit(cache=True, nogil=True)
def _follow(
    flat: Floats,
    strides: tuple[int, int],
    scales: Floats,
    starts: Integers,
    times: Integers,
    costs: Costs,
    memory: int,
    motion: Motion,
    particle: Integers,
    margin: Floats,
) -> None:
    """Write the identities and the margins of all rows."""
    reach = costs.reach.max()
    n_known = 0
    followed = _Followed(np.empty((0, 3)), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    for f in range(len(times)):
        begin, stop = starts[f], starts[f + 1]
        if f > 0 and len(motion.nodes) > 0:
            _advance(followed.expected, motion, f - 1)
        here = sort_into_cells(_points(flat, strides, scales, begin, stop), reach)
        gaps = np.minimum(times[f] - followed.seen, len(costs.reach)) - 1
        candidates = find_candidates(followed.expected, gaps, here, costs)
        link, price = solve(candidates, stop - begin, len(margin) > 0)
        particle[begin:stop] = -1
        for source in range(len(link)):
            if link[source] >= 0:
                now = begin + here.order[candidates.target[link[source]]]
                particle[now] = particle[followed.row[source]]
                if len(margin) > 0:
                    margin[now] = price[source]
        for now in range(begin, stop):
            if particle[now] < 0:
                particle[now] = n_known
                n_known += 1
        if f + 1 < len(times):
            oldest = times[f + 1] - memory - 1
            followed = _carried_on(followed, link, here.points, begin + here.order, times[f], oldest)


@njit(cache=True, nogil=True)
def _carried_on(
    followed: _Followed, link: Integers, points: Floats, rows: Integers, now: int, oldest: int
) -> _Followed:
    """The particles of this frame, and those without a link that were seen no earlier than `oldest`."""
    n_here = len(points) if now >= oldest else 0
    n = n_here
    for source in range(len(link)):
        n += link[source] < 0 and followed.seen[source] >= oldest
    carried = _Followed(np.empty((n, 3)), np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64))
    carried.expected[:n_here] = points[:n_here]
    carried.row[:n_here] = rows[:n_here]
    carried.seen[:n_here] = now
    n = n_here
    for source in range(len(link)):
        if link[source] < 0 and followed.seen[source] >= oldest:
            for a in range(3):
                carried.expected[n, a] = followed.expected[source, a]
            carried.row[n], carried.seen[n] = followed.row[source], followed.seen[source]
            n += 1
    return carried


@njit(cache=True, nogil=True)
def _points(flat: Floats, strides: tuple[int, int], scales: Floats, begin: int, stop: int) -> Floats:
    """Positions of some rows in units of the reach, shape (n, 3)."""
    points = np.zeros((stop - begin, 3))
    for a in range(len(scales)):
        for i in range(stop - begin):
            points[i, a] = scales[a] * flat[(begin + i) * strides[0] + a * strides[1]]
    return points


@njit(cache=True, nogil=True, error_model="numpy")
def _advance(points: Floats, motion: Motion, step: int) -> None:
    """Move points as the field of this step has it."""
    low, distance = motion.low, motion.step
    nodes = motion.nodes[step]
    base = np.zeros(3, dtype=np.int64)
    part = np.zeros(3)
    for i in range(len(points)):
        for a in range(3):
            if nodes.shape[a] > 1:
                place = (points[i, a] - low[a]) / distance[a]
                base[a] = int(min(max(place, 0.0), nodes.shape[a] - 2.0))
                part[a] = place - base[a]
        x, y, z = 0.0, 0.0, 0.0
        for corner in range(8):
            upper_x, upper_y, upper_z = corner & 1, (corner >> 1) & 1, corner >> 2
            weight = part[0] if upper_x else 1.0 - part[0]
            weight *= part[1] if upper_y else 1.0 - part[1]
            weight *= part[2] if upper_z else 1.0 - part[2]
            if weight != 0.0:
                j, k, l = base[0] + upper_x, base[1] + upper_y, base[2] + upper_z
                x += weight * nodes[j, k, l, 0]
                y += weight * nodes[j, k, l, 1]
                z += weight * nodes[j, k, l, 2]
        points[i, 0] += x
        points[i, 1] += y
        points[i, 2] += z


def displacement(points: Floats, motion: Motion, step: int) -> Floats:
    """Expected displacement of points, shape (n, d), from one frame that holds features to the next."""
    moved = np.zeros((len(points), 3))
    moved[:, : points.shape[1]] = points
    before = moved.copy()
    _advance(moved, motion, step)
    return np.asarray((moved - before)[:, : points.shape[1]])

"""How fast prescribed particles move past those around them: steps must be short enough that these make way in time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree

from colloidlab.rollout.boundary import STRETCH, Plan

SHARE_A_STEP = 0.1
"""Of the distance of neighbours, that a prescribed particle should move past others in a step."""

TOO_FAST = 0.12
"""The same, beyond which it is a likely cause of what goes wrong."""

CANNOT_FOLLOW = 0.5
"""The same, beyond which it jumps over its neighbours."""

_WITHOUT_JUMPS = 0.99

_LEAST_FOR_A_FLOW = 20
"""Simulated particles, from which the gradient of their velocity at the start is known."""


def distance_of_neighbours(r: np.ndarray) -> float:
    """Median distance, px, of the nearest other particle in one frame; infinite where nobody has one."""
    present = r[np.isfinite(r).all(axis=1)]
    if len(present) < 2:
        return float("inf")
    return float(np.median(cKDTree(present).query(present, k=2)[0][:, 1]))


def boundary_speed(plan: Plan) -> float:
    """Largest speed, px/frame, of a prescribed particle relative to the flow of the simulated ones at the start.

    What the material around a wall will do is not known before; that it begins by staying behind is the safe side. Of the
    displacements from frame to frame the largest hundredth in each is left out: tracks have jumps that nobody has made.
    """
    flow = _flow(plan)
    fastest = 0.0
    for k in range(0, plan.n_frames - 1, STRETCH):
        r, v = _prescribed(plan, k, k + STRETCH)
        there = np.isfinite(v).all(axis=-1)
        fastest = max(fastest, float(np.max(_size(v - flow(r))[there], initial=0.0)))
        for moved in _size(np.diff(r, axis=0) - flow(r[:-1])):
            moved = moved[np.isfinite(moved)]
            fastest = max(fastest, float(np.quantile(moved, _WITHOUT_JUMPS)) if len(moved) else 0.0)
    return fastest


def jump_of_boundary(plan: Plan, steps: int) -> float:
    """How far at most a prescribed particle moves past others in a step, over the distance of neighbours."""
    return boundary_speed(plan) / distance_of_neighbours(plan.r[0]) / steps


def speed_near(plan: Plan, k: int, here: np.ndarray, reach: float) -> float:
    """Largest speed, px/frame, of a prescribed particle that is within a reach of a place about frames k and k + 1."""
    r, v = _prescribed(plan, max(k - 1, 0), k + 1)
    near = _size(r - here) < reach
    moved = _size(np.diff(r, axis=0))[near[:-1] | near[1:]]
    return float(max(np.nanmax(_size(v)[near], initial=0.0), np.nanmax(moved, initial=0.0)))


def _prescribed(plan: Plan, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities of the prescribed particles in frames first to last."""
    frames = slice(first, last + 1)
    return plan.r[frames][:, ~plan.simulated], plan.v[frames][:, ~plan.simulated]


def _size(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)


def _flow(plan: Plan) -> Callable[[np.ndarray], np.ndarray]:
    """Velocity of the simulated particles at the start as a linear function of place, by least squares."""
    r, v = plan.r[0, plan.simulated], plan.v[0, plan.simulated]
    if len(r) < _LEAST_FOR_A_FLOW:
        mean = v.mean(axis=0) if len(v) else np.zeros(v.shape[1])
        return lambda place: mean
    centre, size = r.mean(axis=0), r.std()
    fit = np.linalg.lstsq(np.column_stack([np.ones(len(r)), (r - centre) / size]), v, rcond=None)[0]
    return lambda place: fit[0] + (place - centre) / size @ fit[1:]

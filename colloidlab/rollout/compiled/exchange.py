"""Compiled loops over particles: the dissipative step of `rollout.integrators.dissipation`."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from colloidlab.rollout.compiled.adjacency import Adjacency
from colloidlab.rollout.compiled.friction import Friction, Impulses
from colloidlab.rollout.compiled.lookup import look_up_energy
from colloidlab.rollout.compiled.mechanics import Geometry, Particles, holds
from colloidlab.rollout.compiled.tables import Tables

Array = np.ndarray

_MOST = 40
_ULPS = 4 * 2.220446049250313e-16


@njit(cache=True, nogil=True)
def kick(
    start: int,
    stop: int,
    ends: Adjacency,
    pairs: Geometry,
    friction: Friction,
    time: Array,
    mean: Array,
    wind: float,
    out: Impulses,
) -> None:
    """Impulses with friction at the mean velocities `mean`, of pairs start … stop - 1."""
    for p in range(start, stop):
        if pairs.x[p] >= 1:
            continue
        i, j = ends.i[p], ends.j[p]
        x = mean[i, 0] - mean[j, 0] - pairs.image[p] * wind
        y, z = mean[i, 1] - mean[j, 1], mean[i, 2] - mean[j, 2]
        perp, par = time[i] * friction.g_perp[p], time[i] * friction.g_par[p]
        along = (par - perp) * (x * pairs.e[p, 0] + y * pairs.e[p, 1] + z * pairs.e[p, 2])
        out.kick[p, 0] = out.f[p, 0] - perp * x - along * pairs.e[p, 0]
        out.kick[p, 1] = out.f[p, 1] - perp * y - along * pairs.e[p, 1]
        out.kick[p, 2] = out.f[p, 2] - perp * z - along * pairs.e[p, 2]


@njit(cache=True, nogil=True)
def move(
    start: int,
    stop: int,
    ends: Adjacency,
    pairs: Geometry,
    impulses: Impulses,
    time: Array,
    v: Array,
    mean: Array,
    shaken: Array,
    tables: Tables,
    mass: Array,
    after: Array,
    next_mean: Array,
) -> None:
    """Velocities after all kicks, and the mean velocities that follow; `shaken`, shape (n, 3), is the noise of a bath."""
    for k in range(start, stop):
        x, y, z = 0.0, 0.0, 0.0
        for p in range(ends.first[k], ends.first[k + 1]):
            if pairs.x[p] < 1:
                x += impulses.kick[p, 0]
                y += impulses.kick[p, 1]
                z += impulses.kick[p, 2]
        for q in range(ends.second[k], ends.second[k + 1]):
            p = ends.by_second[q]
            if pairs.x[p] < 1:
                x -= impulses.kick[p, 0]
                y -= impulses.kick[p, 1]
                z -= impulses.kick[p, 2]
        drag = tables.bath_friction * time[k]
        after[k, 0] = v[k, 0] + (x + shaken[k, 0] - drag * mean[k, 0]) / mass[k]
        after[k, 1] = v[k, 1] + (y + shaken[k, 1] - drag * mean[k, 1]) / mass[k]
        after[k, 2] = v[k, 2] + (z + shaken[k, 2] - drag * mean[k, 2]) / mass[k]
        for a in range(3):
            next_mean[k, a] = 0.5 * (v[k, a] + after[k, a])


@njit(cache=True, nogil=True)
def lose(
    start: int, stop: int, ends: Adjacency, pairs: Geometry, mean: Array, wind: float, out: Impulses
) -> None:
    """Work of the last kicks at the mean velocities that followed."""
    for p in range(start, stop):
        if pairs.x[p] >= 1:
            continue
        i, j = ends.i[p], ends.j[p]
        x = mean[i, 0] - mean[j, 0] - pairs.image[p] * wind
        y, z = mean[i, 1] - mean[j, 1], mean[i, 2] - mean[j, 2]
        out.work[p] = -0.5 * (out.kick[p, 0] * x + out.kick[p, 1] * y + out.kick[p, 2] * z)


@njit(cache=True, nogil=True)
def reinject(
    start: int,
    stop: int,
    ends: Adjacency,
    pairs: Geometry,
    impulses: Impulses,
    U: Array,
    energy: Array,
) -> None:
    """Internal energies with the work and the heat of all pairs."""
    for k in range(start, stop):
        total = U[k]
        for p in range(ends.first[k], ends.first[k + 1]):
            if pairs.x[p] < 1:
                total += impulses.work[p] + impulses.heat[p]
        for q in range(ends.second[k], ends.second[k + 1]):
            p = ends.by_second[q]
            if pairs.x[p] < 1:
                total += impulses.work[p] - impulses.heat[p]
        energy[k] = total


@njit(cache=True, nogil=True)
def solve_entropy(
    start: int,
    stop: int,
    energy: Array,
    before: Array,
    particles: Particles,
    tables: Tables,
    after: Array,
    missed: Array,
) -> int:
    """S with U(S, V) = energy, as `model.inversion` finds it; returns how many left the table."""
    count = 0
    for k in range(start, stop):
        S = np.float64(before[k])
        missed[k] = 0
        if S != S:
            after[k] = S
            continue
        log_v = math.log(particles.volume[k])
        for _ in range(_MOST):
            if not holds(tables.energy, S, log_v) or energy[k] != energy[k]:
                missed[k] = 1
                count += 1
                break
            U, T, T_S, _ = look_up_energy(tables.energy, S, log_v)
            short = energy[k] - U
            if abs(short) <= _ULPS * max(abs(energy[k]), abs(U)):
                break
            change = short / T
            inv_c = T_S / T
            if short > 0 and inv_c > 0:
                change = math.log1p(change * inv_c) / inv_c
            S += change
        after[k] = S
    return count


@njit(cache=True, nogil=True)
def mark_failures(
    start: int, stop: int, before: Array, after: Array, particles: Particles, most: float, failed: Array
) -> int:
    """`dissipation.fell_too_far`; returns how many did."""
    count = 0
    for k in range(start, stop):
        failed[k] = 0
        if before[k] == before[k]:
            kept = (after[k] - before[k]) * particles.inv_c[k] >= -most
            if not kept or not math.isfinite(after[k]):
                failed[k] = 1
                count += 1
    return count

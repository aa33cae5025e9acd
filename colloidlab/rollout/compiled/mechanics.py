"""Compiled loops over pairs and particles: distances, volumes, thermodynamics and forces; formulas of `model.brackets`.

Vectors have three components here, the third of which is zero in two dimensions: loops of fixed length are fast.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from colloidlab.rollout.compiled.adjacency import Adjacency
from colloidlab.rollout.compiled.lookup import look_up, look_up_energy
from colloidlab.rollout.compiled.tables import Table2, Tables

Array = np.ndarray


class Box(NamedTuple):
    """Periodic lengths, shape (3,), 0 where open; an image one length up along y is displaced by `tilt` along x."""

    lengths: Array
    tilt: float


class Geometry(NamedTuple):
    """Of all pairs of an `Adjacency`.

    e : shape (n_pairs, 3)
    x, w, dw, du : shape (n_pairs,); reduced distance, 1 where the pair is too far to matter, W, (dW/dx)/h and (dPhi/dx)/h
    u : shape (n_pairs,); Phi
    image : int8, shape (n_pairs,); lengths of the box between both ends along y
    kind : int8, shape (n_pairs,)
    """

    e: Array
    x: Array
    w: Array
    dw: Array
    u: Array
    du: Array
    image: Array
    kind: Array


class Particles(NamedTuple):
    """Float64 arrays of shape (n,): volume, thermodynamics (`model.energy.Thermo`), ln T, theta, P V^2, and the mass, which
    stays; `missed` (uint8) where the table of the energy did not hold the particle."""

    volume: Array
    U: Array
    T: Array
    inv_c: Array
    log_t: Array
    theta: Array
    push: Array
    mass: Array
    missed: Array


@njit(cache=True, nogil=True)
def measure(
    start: int, stop: int, ends: Adjacency, r: Array, scale: Array, box: Box, tables: Tables, out: Geometry
) -> None:
    """Distances of the pairs start … stop - 1, and what depends on nothing else."""
    length_x, length_y, length_z = box.lengths[0], box.lengths[1], box.lengths[2]
    for p in range(start, stop):
        i, j = ends.i[p], ends.j[p]
        x, y, z = r[i, 0] - r[j, 0], r[i, 1] - r[j, 1], r[i, 2] - r[j, 2]
        images = 0.0
        if length_y > 0:
            images = np.rint(y / length_y)
            y -= images * length_y
            x -= images * box.tilt
        if length_x > 0:
            x -= length_x * np.rint(x / length_x)
        if length_z > 0:
            z -= length_z * np.rint(z / length_z)
        square = x * x + y * y + z * z
        h = tables.cutoff * 0.5 * (scale[i] + scale[j])
        if square < h * h:
            distance = max(math.sqrt(square), 1e-12)
            kind = out.kind[p]
            w, dw = look_up(tables.kernel, kind, distance / h)
            u, du = look_up(tables.potential, kind, distance / h)
            out.x[p], out.w[p], out.dw[p], out.u[p], out.du[p] = distance / h, w, dw / h, u, du / h
            out.image[p] = np.int8(images)
            out.e[p, 0], out.e[p, 1], out.e[p, 2] = x / distance, y / distance, z / distance
        else:
            out.x[p], out.w[p], out.u[p] = 1.0, 0.0, 0.0


@njit(cache=True, nogil=True)
def add_up(start: int, stop: int, ends: Adjacency, values: Array, out: Array) -> None:
    """Sum of a quantity of the pairs over those of each particle, added to `out`."""
    for k in range(start, stop):
        total = 0.0
        for p in range(ends.first[k], ends.first[k + 1]):
            total += values[p]
        for q in range(ends.second[k], ends.second[k + 1]):
            total += values[ends.by_second[q]]
        out[k] += total


@njit(cache=True, nogil=True)
def find_volumes(start: int, stop: int, ends: Adjacency, w: Array, at_zero: float, volume: Array) -> None:
    """V = 1/(W(0) + sum_j W)."""
    for k in range(start, stop):
        volume[k] = at_zero
    add_up(start, stop, ends, w, volume)
    for k in range(start, stop):
        volume[k] = 1.0 / volume[k]


@njit(cache=True, nogil=True, inline="always")
def holds(table: Table2, S: float, log_v: float) -> bool:
    """Does the table of the energy hold this state? NaN, of an absent particle, is let through."""
    outside = table.low > S or table.high < S or log_v < table.low_2 or log_v > table.high_2
    return not outside


@njit(cache=True, nogil=True, inline="always")
def put_thermo(k: int, U: float, T: float, push: float, inv_c: float, k_B: float, out: Particles) -> None:
    """Store the thermodynamics of a particle."""
    out.U[k], out.T[k], out.inv_c[k], out.push[k] = U, T, inv_c, push
    out.log_t[k] = math.log(T) if T > 0 else np.nan
    out.theta[k] = (1 - k_B * inv_c) / T


@njit(cache=True, nogil=True)
def find_thermo(start: int, stop: int, S: Array, tables: Tables, out: Particles) -> int:
    """U, T, P V^2, 1/c; returns how many the table does not hold."""
    count = 0
    for k in range(start, stop):
        if S[k] != S[k]:
            out.U[k], out.T[k], out.inv_c[k], out.push[k] = np.nan, np.nan, np.nan, np.nan
            out.log_t[k], out.theta[k], out.missed[k] = np.nan, np.nan, 0
            continue
        log_v = math.log(out.volume[k])
        out.missed[k] = not holds(tables.energy, S[k], log_v)
        count += out.missed[k]
        U, T, T_S, slope = look_up_energy(tables.energy, S[k], log_v)
        # P V^2, with P = -(dU/d ln V)/V.
        put_thermo(k, U, T, -slope * out.volume[k], T_S / T, tables.k_B, out)
    return count


@njit(cache=True, nogil=True)
def find_energies(
    start: int, stop: int, S: Array, volume: Array, table: Table2, U: Array, missed: Array
) -> int:
    """U alone; returns how many the table does not hold."""
    count = 0
    for k in range(start, stop):
        missed[k], U[k] = 0, np.nan
        if S[k] == S[k]:
            log_v = math.log(volume[k])
            missed[k] = not holds(table, S[k], log_v)
            count += missed[k]
            U[k] = look_up_energy(table, S[k], log_v)[0]
    return count


@njit(cache=True, nogil=True)
def patch_thermo(chosen: Array, raw: Array, k_B: float, out: Particles) -> None:
    """Store what the energy itself has said of some particles: U, T, P V^2 and 1/c in `raw`, shape (n_chosen, 4)."""
    for n in range(len(chosen)):
        put_thermo(chosen[n], raw[n, 0], raw[n, 1], raw[n, 2], raw[n, 3], k_B, out)


@njit(cache=True, nogil=True)
def find_forces(
    start: int, stop: int, ends: Adjacency, pairs: Geometry, particles: Particles, force: Array
) -> None:
    """F_i = -sum_j [(P_i V_i^2 + P_j V_j^2) W' + Phi'] e_ij."""
    for k in range(start, stop):
        x, y, z = 0.0, 0.0, 0.0
        mine = particles.push[k]
        for p in range(ends.first[k], ends.first[k + 1]):
            if pairs.x[p] < 1:
                push = (mine + particles.push[ends.j[p]]) * pairs.dw[p] + pairs.du[p]
                x -= push * pairs.e[p, 0]
                y -= push * pairs.e[p, 1]
                z -= push * pairs.e[p, 2]
        for q in range(ends.second[k], ends.second[k + 1]):
            p = ends.by_second[q]
            if pairs.x[p] < 1:
                push = (mine + particles.push[ends.i[p]]) * pairs.dw[p] + pairs.du[p]
                x += push * pairs.e[p, 0]
                y += push * pairs.e[p, 1]
                z += push * pairs.e[p, 2]
        force[k, 0], force[k, 1], force[k, 2] = x, y, z

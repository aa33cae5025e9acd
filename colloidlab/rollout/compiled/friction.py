"""Compiled loops over pairs: friction, conduction and noise; formulas of `model.brackets` and `rollout.integrators`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from colloidlab.rollout.compiled.adjacency import Adjacency
from colloidlab.rollout.compiled.lookup import draw, look_up_amplitudes
from colloidlab.rollout.compiled.mechanics import Geometry, Particles
from colloidlab.rollout.compiled.tables import Tables

Array = np.ndarray

_ALONE = 0xFFFFFFFF
"""As in `rollout.noise`: in the place of the other particle, for the numbers of a single one."""


class Friction(NamedTuple):
    """Of all pairs, shape (n_pairs,).

    k_perp, k_par, g_perp, g_par, C2 : as in `brackets.Evaluation`
    conducted : C^2 (theta_i - theta_j) + k_B (dC^2/dT_i /c_i - dC^2/dT_j /c_j)
    missed : uint8; a temperature that the table of the amplitudes does not hold
    """

    k_perp: Array
    k_par: Array
    g_perp: Array
    g_par: Array
    C2: Array
    conducted: Array
    missed: Array


class Impulses(NamedTuple):
    """What a pair exchanges in a part of a step.

    f : shape (n_pairs, 3); random impulse
    kick : shape (n_pairs, 3); impulse on i with friction
    heat : shape (n_pairs,); from j to i
    work : shape (n_pairs,); what either end gets of the kinetic energy that is lost
    """

    f: Array
    kick: Array
    heat: Array
    work: Array


class Source(NamedTuple):
    """Identity and seed of every particle, int64; those of `rollout.noise.CounterNoise`."""

    identity: Array
    seed: Array


@njit(cache=True, nogil=True, inline="always")
def put_friction(
    p: int,
    i: int,
    j: int,
    A: tuple[float, float, float],
    B: tuple[float, float, float],
    C: tuple[float, float, float],
    particles: Particles,
    k_B: float,
    dim: int,
    out: Friction,
) -> None:
    """Store what the amplitudes of a pair make: A^2 and its derivatives with T_i and T_j, and B and C alike."""
    A2, B2, C2 = A[0], B[0], C[0]
    inv_c_i, inv_c_j = particles.inv_c[i], particles.inv_c[j]
    dA2 = A[1] * inv_c_i + A[2] * inv_c_j
    dB2 = B[1] * inv_c_i + B[2] * inv_c_j
    k_perp, k_par = 0.5 * A2, A2 * (1 - 1 / dim) + B2 / dim
    sum_theta = particles.theta[i] + particles.theta[j]
    out.k_perp[p], out.k_par[p], out.C2[p] = k_perp, k_par, C2
    out.g_perp[p] = 0.5 * (sum_theta * k_perp + k_B * 0.5 * dA2)
    out.g_par[p] = 0.5 * (sum_theta * k_par + k_B * (dA2 * (1 - 1 / dim) + dB2 / dim))
    out.conducted[p] = C2 * (particles.theta[i] - particles.theta[j]) + k_B * (
        C[1] * inv_c_i - C[2] * inv_c_j
    )


@njit(cache=True, nogil=True)
def find_friction(
    start: int,
    stop: int,
    ends: Adjacency,
    pairs: Geometry,
    particles: Particles,
    tables: Tables,
    dim: int,
    out: Friction,
) -> int:
    """Friction of pairs start … stop - 1; returns how many the table does not hold."""
    count = 0
    table = tables.amplitudes
    for p in range(start, stop):
        out.missed[p] = 0
        x = pairs.x[p]
        if x >= 1:
            continue
        i, j, kind = ends.i[p], ends.j[p], pairs.kind[p]
        cold, hot = particles.log_t[i], particles.log_t[j]
        if cold > hot:
            cold, hot = hot, cold
        if cold < table.low_2 or hot > table.high_2:
            out.missed[p] = 1
            count += 1
        a_i, b_i, c_i, da_i, db_i, dc_i = look_up_amplitudes(table, kind, x, particles.log_t[i])
        a_j, b_j, c_j, da_j, db_j, dc_j = look_up_amplitudes(table, kind, x, particles.log_t[j])
        envelope = (1 - x) ** 3 * (1 + 3 * x)
        A2, B2, C2 = math.exp(a_i + a_j), math.exp(b_i + b_j), math.exp(c_i + c_j)
        if tables.enveloped[kind, 0]:
            A2 *= envelope
        if tables.enveloped[kind, 1]:
            B2 *= envelope
        if tables.enveloped[kind, 2]:
            C2 *= envelope
        cold_i, cold_j = 1 / particles.T[i], 1 / particles.T[j]
        A = A2, A2 * da_i * cold_i, A2 * da_j * cold_j
        B = B2, B2 * db_i * cold_i, B2 * db_j * cold_j
        C = C2, C2 * dc_i * cold_i, C2 * dc_j * cold_j
        put_friction(p, i, j, A, B, C, particles, tables.k_B, dim, out)
    return count


@njit(cache=True, nogil=True)
def patch_friction(
    chosen: Array, raw: Array, ends: Adjacency, particles: Particles, k_B: float, dim: int, out: Friction
) -> None:
    """The same for pairs whose amplitudes the laws themselves have given, `raw` of shape (n_chosen, 9).

    Fields of `PairAmplitudes` in their order.
    """
    for n in range(len(chosen)):
        p = chosen[n]
        A = raw[n, 0], raw[n, 3], raw[n, 4]
        B = raw[n, 1], raw[n, 5], raw[n, 6]
        C = raw[n, 2], raw[n, 7], raw[n, 8]
        put_friction(p, ends.i[p], ends.j[p], A, B, C, particles, k_B, dim, out)


@njit(cache=True, nogil=True)
def weigh(
    start: int,
    stop: int,
    ends: Adjacency,
    pairs: Geometry,
    friction: Friction,
    v: Array,
    wind: float,
    out: Array,
) -> None:
    """What each pair adds to the drag, the conduction and the work of both ends; `out` of shape (n_pairs, 3)."""
    for p in range(start, stop):
        if pairs.x[p] >= 1:
            continue
        i, j = ends.i[p], ends.j[p]
        x = v[i, 0] - v[j, 0] - pairs.image[p] * wind
        y, z = v[i, 1] - v[j, 1], v[i, 2] - v[j, 2]
        along = x * pairs.e[p, 0] + y * pairs.e[p, 1] + z * pairs.e[p, 2]
        perp, par = friction.k_perp[p], friction.k_par[p]
        out[p, 0] = max(friction.g_perp[p], friction.g_par[p])
        out[p, 1] = friction.C2[p]
        out[p, 2] = 0.25 * (perp * (x * x + y * y + z * z) + (par - perp) * along * along)


@njit(cache=True, nogil=True)
def count_parts(
    start: int,
    stop: int,
    ends: Adjacency,
    pairs: Geometry,
    weights: Array,
    particles: Particles,
    dt: float,
    limits: tuple[float, float, float],
    tables: Tables,
    out: Array,
) -> None:
    """`dissipation.parts_needed` for particles start … stop - 1."""
    decay_most, conduction_most, spread_most = limits
    for k in range(start, stop):
        drag, conduction, work = tables.bath_friction, 0.0, 0.0
        for p in range(ends.first[k], ends.first[k + 1]):
            if pairs.x[p] < 1:
                drag += weights[p, 0]
                conduction += weights[p, 1]
                work += weights[p, 2]
        for q in range(ends.second[k], ends.second[k + 1]):
            p = ends.by_second[q]
            if pairs.x[p] < 1:
                drag += weights[p, 0]
                conduction += weights[p, 1]
                work += weights[p, 2]
        slope = particles.inv_c[k] / particles.T[k]
        needed = drag * dt / particles.mass[k] / decay_most
        needed = max(needed, conduction * dt * slope / particles.T[k] / conduction_most)
        needed = max(needed, 2 * tables.k_B * dt * (work + conduction) * slope**2 / spread_most**2)
        out[k] = max(math.ceil(needed), 1.0) if needed == needed else 1.0


@njit(cache=True, nogil=True)
def shake(
    start: int,
    stop: int,
    ends: Adjacency,
    pairs: Geometry,
    friction: Friction,
    time: Array,
    attempt: Array,
    step: int,
    part: int,
    source: Source,
    k_B: float,
    dim: int,
    out: Impulses,
) -> None:
    """Random impulses and all heat of pairs start … stop - 1."""
    for p in range(start, stop):
        if pairs.x[p] >= 1:
            continue
        i, j = ends.i[p], ends.j[p]
        one, other, sign = source.identity[i], source.identity[j], 1.0
        if one > other:
            one, other, sign = other, one, -1.0
        x, y, z, heat = draw(one, other, step, part + (attempt[i] << 16), source.seed[i])
        if dim == 2:
            z, heat = 0.0, z
        scale = sign * math.sqrt(2 * k_B * time[i])
        perp, par = math.sqrt(friction.k_perp[p]), math.sqrt(friction.k_par[p])
        along = (par - perp) * (x * pairs.e[p, 0] + y * pairs.e[p, 1] + z * pairs.e[p, 2])
        out.f[p, 0] = scale * (perp * x + along * pairs.e[p, 0])
        out.f[p, 1] = scale * (perp * y + along * pairs.e[p, 1])
        out.f[p, 2] = scale * (perp * z + along * pairs.e[p, 2])
        out.heat[p] = time[i] * friction.conducted[p] + scale * math.sqrt(friction.C2[p]) * heat


@njit(cache=True, nogil=True)
def shake_in_bath(
    start: int,
    stop: int,
    time: Array,
    attempt: Array,
    step: int,
    part: int,
    source: Source,
    strength: float,
    dim: int,
    out: Array,
) -> None:
    """Random impulses of a bath, shape (n, 3)."""
    for k in range(start, stop):
        x, y, z, _ = draw(source.identity[k], _ALONE, step, part + (attempt[k] << 16), source.seed[k])
        scale = math.sqrt(strength * time[k])
        out[k, 0], out[k, 1], out[k, 2] = scale * x, scale * y, scale * z if dim == 3 else 0.0

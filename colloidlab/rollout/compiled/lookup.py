"""Splines and random numbers one at a time: the values of `model.splines` and `rollout.noise` for compiled loops.

What takes a table is put into the loop that calls it: handing over the arrays would take longer than using them.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from colloidlab.model.splines import DEGREE
from colloidlab.rollout.compiled.tables import Table1, Table2

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@njit(cache=True, nogil=True, inline="always")
def _cell(x: float, low: float, step: float, cells: int) -> tuple[int, float]:
    place = (x - low) / step
    cell = min(max(int(place), 0), cells - 1)
    return cell, place - cell


@njit(cache=True, nogil=True, inline="always")
def look_up(table: Table1, kind: int, x: float) -> tuple[float, float]:
    """Value and first derivative."""
    cell, t = _cell(x, table.low, table.step, table.coefficients.shape[1])
    c = table.coefficients[kind, cell]
    value, slope = c[DEGREE], 0.0
    for m in range(DEGREE - 1, -1, -1):
        slope = slope * t + value
        value = value * t + c[m]
    return value, slope / table.step


@njit(cache=True, nogil=True, inline="always")
def look_up_energy(table: Table2, S: float, log_v: float) -> tuple[float, float, float, float]:
    """U, dU/dS, d2U/dS2 and dU/d(ln V)."""
    cell, t = _cell(S, table.low, table.step, table.coefficients.shape[1])
    cell_2, u = _cell(log_v, table.low_2, table.step_2, table.coefficients.shape[2])
    c = table.coefficients[0, cell, cell_2]
    value, slope, half_curvature, across = 0.0, 0.0, 0.0, 0.0
    for m in range(DEGREE, -1, -1):
        row, row_slope = c[m, DEGREE], 0.0
        for k in range(DEGREE - 1, -1, -1):
            row_slope = row_slope * u + row
            row = row * u + c[m, k]
        half_curvature = half_curvature * t + slope
        slope = slope * t + value
        value = value * t + row
        across = across * t + row_slope
    return value, slope / table.step, 2 * half_curvature / table.step**2, across / table.step_2


@njit(cache=True, nogil=True, inline="always")
def look_up_amplitudes(
    table: Table2, kind: int, x: float, log_t: float
) -> tuple[float, float, float, float, float, float]:
    """ln a, ln b, ln c, and their derivatives with ln T."""
    cell, t = _cell(x, table.low, table.step, table.coefficients.shape[1])
    cell_2, u = _cell(log_t, table.low_2, table.step_2, table.coefficients.shape[2])
    c = table.coefficients[kind, cell, cell_2]
    t2 = t * t
    t3, t4 = t2 * t, t2 * t2
    t5 = t4 * t
    a, b, h, da, db, dh = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(DEGREE, -1, -1):
        p, q, s = c[k, 0], c[k, 1], c[k, 2]
        da, db, dh = da * u + a, db * u + b, dh * u + h
        a = a * u + (p[0] + p[1] * t + p[2] * t2 + p[3] * t3 + p[4] * t4 + p[5] * t5)
        b = b * u + (q[0] + q[1] * t + q[2] * t2 + q[3] * t3 + q[4] * t4 + q[5] * t5)
        h = h * u + (s[0] + s[1] * t + s[2] * t2 + s[3] * t3 + s[4] * t4 + s[5] * t5)
    return a, b, h, da / table.step_2, db / table.step_2, dh / table.step_2


@njit(cache=True, nogil=True)
def draw(one: int, other: int, step: int, part: int, seed: int) -> tuple[float, float, float, float]:
    """Four standard normal numbers: Philox 4x32-10, and Box and Muller's method."""
    a, b = np.uint64(one), np.uint64(other)
    c, d = np.uint64(step) & _MASK, np.uint64(part)
    key_0, key_1 = np.uint64(seed) & _MASK, (np.uint64(seed) >> _HALF) & _MASK
    for _ in range(10):
        first, second = a * _MULTIPLIER_0, c * _MULTIPLIER_1
        a, b, c, d = (
            (second >> _HALF) ^ b ^ key_0,
            second & _MASK,
            (first >> _HALF) ^ d ^ key_1,
            first & _MASK,
        )
        key_0, key_1 = (key_0 + _WEYL_0) & _MASK, (key_1 + _WEYL_1) & _MASK
    scale = 1.0 / 4294967296.0
    radius = math.sqrt(-2 * math.log((a + 0.5) * scale))
    turn = 2 * math.pi * ((b + 0.5) * scale)
    radius_2 = math.sqrt(-2 * math.log((c + 0.5) * scale))
    turn_2 = 2 * math.pi * ((d + 0.5) * scale)
    return (
        radius * math.cos(turn),
        radius * math.sin(turn),
        radius_2 * math.cos(turn_2),
        radius_2 * math.sin(turn_2),
    )

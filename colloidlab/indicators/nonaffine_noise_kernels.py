"""The compiled loop behind the errors of D²min and strain; symbols as in `nonaffine_noise`."""

from __future__ import annotations

import numpy as np
from numba import njit

from colloidlab.indicators.nonaffine_kernels import both_seen, image


@njit(cache=True, nogil=True)
def noise_rows(  # type: ignore[no-untyped-def]
    reference, current, maps, start, neighbour, sides, inverse, var_reference, var_current
):
    """Traces behind the cumulants (n, 3), residual with its noise (n,), variance of the strain (n, D, D)."""
    n_dim = len(sides)
    n = reference.shape[0]
    present = both_seen(reference, current)
    cumulants = np.full((n, 3), np.nan)
    cross = np.full(n, np.nan)
    strain = np.full((n, n_dim, n_dim), np.nan)
    most = np.max(np.diff(start)) if n else 0
    ends = np.empty(most, np.int64)
    before, left, dual = np.empty((most, n_dim)), np.empty((most, n_dim)), np.empty((most, n_dim))
    own = np.empty(most)
    shape, inverted = np.empty((n_dim, n_dim)), np.empty((n_dim, n_dim))
    for i in range(n):
        if not present[i] or np.isnan(maps[i, 0, 0]):
            continue
        m = np.int64(0)  # a literal is a type of its own: what is called with it would be compiled twice
        for k in range(start[i], start[i + 1]):
            j = neighbour[k]
            if not present[j]:
                continue
            ends[m] = j
            for a in range(n_dim):
                before[m, a] = image(reference[j, a] - reference[i, a], sides[a], inverse[a])
            for a in range(n_dim):
                left[m, a] = image(current[j, a] - current[i, a], sides[a], inverse[a])
                for b in range(n_dim):
                    left[m, a] -= maps[i, a, b] * before[m, b]
            m += 1
        for a in range(n_dim):
            for b in range(n_dim):
                shape[a, b] = 0.0
                for k in range(m):
                    shape[a, b] += before[k, a] * before[k, b]
        _invert(shape, inverted)
        for k in range(m):
            for a in range(n_dim):
                dual[k, a] = 0.0
                for b in range(n_dim):
                    dual[k, a] += inverted[a, b] * before[k, b]
        cumulants[i] = 0.0
        cross[i] = 0.0
        for a in range(n_dim):
            centre = var_current[i, a]
            for b in range(n_dim):
                centre += maps[i, a, b] ** 2 * var_reference[i, b]
            total = 0.0
            for k in range(m):
                j = ends[k]
                own[k] = var_current[j, a]
                for b in range(n_dim):
                    own[k] += maps[i, a, b] ** 2 * var_reference[j, b]
                cross[i] += own[k] * left[k, a] ** 2
                total += left[k, a]
            cross[i] += centre * total**2
            _add_traces(before, dual, own, centre, m, sides, cumulants[i])
        _strain_variance(
            maps[i], dual, left, inverted, ends, m, i, var_reference, var_current, sides, strain[i]
        )
    return cumulants, cross, strain


@njit(cache=True, nogil=True)
def _invert(shape, inverted):  # type: ignore[no-untyped-def]
    if shape.shape[0] == 2:
        determinant = shape[0, 0] * shape[1, 1] - shape[0, 1] * shape[1, 0]
        inverted[0, 0] = shape[1, 1] / determinant
        inverted[1, 1] = shape[0, 0] / determinant
        inverted[0, 1] = -shape[0, 1] / determinant
        inverted[1, 0] = -shape[1, 0] / determinant
        return
    determinant = 0.0
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        for d in range(3):
            e, f = (d + 1) % 3, (d + 2) % 3
            inverted[d, a] = shape[b, e] * shape[c, f] - shape[b, f] * shape[c, e]
        determinant += shape[a, 0] * inverted[0, a]
    for a in range(3):
        for d in range(3):
            inverted[d, a] /= determinant


@njit(cache=True, nogil=True)
def _add_traces(before, dual, own, centre, m, axes, traces):  # type: ignore[no-untyped-def]
    """Add tr M, tr M² and tr M³ with M = P (diag(own) + centre · 11ᵀ), for one component.

    P = 1 − R Y⁻¹ Rᵀ differs from 1 by a matrix of rank D, and so the traces are those of matrices D × D.
    """
    n_dim = len(axes)
    dual_sum = np.zeros(n_dim)
    once, twice = np.zeros((n_dim, n_dim)), np.zeros((n_dim, n_dim))
    along, against = np.zeros(n_dim), np.zeros(n_dim)
    for k in range(m):
        for a in range(n_dim):
            dual_sum[a] += dual[k, a]
    shared_sum, shared_once, shared_twice = 0.0, 0.0, 0.0
    for k in range(m):
        # What is left of an error that all the bonds share, and the leverage of this bond.
        shared, leverage = 1.0, 0.0
        for a in range(n_dim):
            shared -= before[k, a] * dual_sum[a]
            leverage += before[k, a] * dual[k, a]
        traces[0] += own[k] * (1 - leverage)
        traces[1] += own[k] ** 2 * (1 - 2 * leverage)
        traces[2] += own[k] ** 3 * (1 - 3 * leverage)
        shared_sum += shared
        shared_once += own[k] * shared**2
        shared_twice += own[k] ** 2 * shared**2
        for a in range(n_dim):
            along[a] += own[k] * shared * before[k, a]
            against[a] += own[k] * shared * dual[k, a]
            for b in range(n_dim):
                weight = own[k] * dual[k, a] * before[k, b]
                once[a, b] += weight
                twice[a, b] += own[k] * weight
    for a in range(n_dim):
        shared_twice -= along[a] * against[a]
        for b in range(n_dim):
            traces[1] += once[a, b] * once[b, a]
            traces[2] += 3 * once[a, b] * twice[b, a]
            for c in range(n_dim):
                traces[2] -= once[a, b] * once[b, c] * once[c, a]
    traces[0] += centre * shared_sum
    traces[1] += 2 * centre * shared_once + (centre * shared_sum) ** 2
    traces[2] += 3 * centre * shared_twice + 3 * centre**2 * shared_sum * shared_once
    traces[2] += (centre * shared_sum) ** 3


@njit(cache=True, nogil=True)
def _strain_variance(F, dual, left, inverted, ends, m, i, var_reference, var_current, axes, strain):  # type: ignore[no-untyped-def]
    """Variance of ½(FᵀF − 1): squared derivatives by every coordinate times that coordinate's variance."""
    n_dim = len(axes)
    squared = np.empty((n_dim, n_dim))
    pulled = np.empty((m, n_dim))
    for b in range(n_dim):
        for d in range(n_dim):
            squared[b, d] = 0.0
            for c in range(n_dim):
                squared[b, d] += F[c, b] * F[c, d]
        for k in range(m):
            pulled[k, b] = 0.0
            for c in range(n_dim):
                pulled[k, b] += left[k, c] * F[c, b]
    for a in range(n_dim):
        for b in range(a, n_dim):
            total = 0.0
            for d in range(n_dim):
                now_sum, then_sum = 0.0, 0.0
                for k in range(m):
                    now = 0.5 * (dual[k, a] * F[d, b] + dual[k, b] * F[d, a])
                    then = pulled[k, b] * inverted[a, d] + pulled[k, a] * inverted[b, d]
                    then = 0.5 * (then - dual[k, a] * squared[b, d] - dual[k, b] * squared[a, d])
                    total += now**2 * var_current[ends[k], d] + then**2 * var_reference[ends[k], d]
                    now_sum += now
                    then_sum += then
                # The particle itself is at the other end of all its bonds.
                total += now_sum**2 * var_current[i, d] + then_sum**2 * var_reference[i, d]
            strain[a, b] = total
            strain[b, a] = total

"""The compiled loop behind the errors of D²min and strain; symbols as in `nonaffine_noise`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from colloidlab.indicators.nonaffine_kernels import image


def _noise_loop(n_dim: int) -> Callable[..., Any]:
    @njit(cache=True, nogil=True)
    def noise(  # type: ignore[no-untyped-def]
        reference, current, maps, present, start, neighbour, sides, inverse, var_reference, var_current
    ):
        n = reference.shape[0]
        cumulants = np.full((n, 3), np.nan)
        cross = np.full(n, np.nan)
        strain = np.full((n, n_dim, n_dim), np.nan)
        most = np.max(np.diff(start)) if n else 0
        ends = np.empty(most, np.int64)
        before, left, dual = np.empty((most, n_dim)), np.empty((most, n_dim)), np.empty((most, n_dim))
        project, form = np.empty((most, most)), np.empty((most, most))
        own = np.empty(most)
        shape, inverted = np.empty((n_dim, n_dim)), np.empty((n_dim, n_dim))
        for i in range(n):
            if not present[i] or np.isnan(maps[i, 0, 0]):
                continue
            m = 0
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
            for k in range(m):
                for l in range(m):
                    project[k, l] = 1.0 if k == l else 0.0
                    for a in range(n_dim):
                        project[k, l] -= before[k, a] * dual[l, a]
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
                _add_traces(project, own, centre, m, form, cumulants[i])
            _add_strain_variance(
                maps[i], dual, left, inverted, ends, m, i, var_reference, var_current, strain[i]
            )
        return cumulants, cross, strain

    return noise


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
def _add_traces(project, own, centre, m, form, traces):  # type: ignore[no-untyped-def]
    """Add tr M, tr M² and tr M³ with M = P (diag(own) + centre · 11ᵀ), for one component."""
    for k in range(m):
        shared = 0.0
        for l in range(m):
            shared += project[k, l]
        for l in range(m):
            form[k, l] = project[k, l] * own[l] + centre * shared
        traces[0] += form[k, k]
    for k in range(m):
        for l in range(m):
            squared = 0.0
            for p in range(m):
                squared += form[k, p] * form[p, l]
            if k == l:
                traces[1] += squared
            traces[2] += squared * form[l, k]


@njit(cache=True, nogil=True)
def _add_strain_variance(  # type: ignore[no-untyped-def]
    F, dual, left, inverted, ends, m, i, var_reference, var_current, strain
):
    """Variance of ½(FᵀF − 1): squared derivatives by every coordinate times that coordinate's variance."""
    n_dim = F.shape[0]
    for a in range(n_dim):
        for b in range(a, n_dim):
            total = 0.0
            for d in range(n_dim):
                now_sum, then_sum = 0.0, 0.0
                for k in range(m):
                    now = 0.5 * (dual[k, a] * F[d, b] + dual[k, b] * F[d, a])
                    then = 0.0
                    for c in range(n_dim):
                        then += (left[k, c] * inverted[a, d] - F[c, d] * dual[k, a]) * F[c, b]
                        then += (left[k, c] * inverted[b, d] - F[c, d] * dual[k, b]) * F[c, a]
                    then *= 0.5
                    j = ends[k]
                    total += now**2 * var_current[j, d] + then**2 * var_reference[j, d]
                    now_sum += now
                    then_sum += then
                # The particle itself is at the other end of all its bonds.
                total += now_sum**2 * var_current[i, d] + then_sum**2 * var_reference[i, d]
            strain[a, b] = total
            strain[b, a] = total


NOISE_LOOPS = {2: _noise_loop(2), 3: _noise_loop(3)}
"""By number of dimensions; -> cumulants as traces (n, 3), residual with its noise (n,), variance of strain (n, D, D)."""

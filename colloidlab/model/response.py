"""How a particle answers among neighbours that are held still: stiffness and drag, and how its force changes.

The filter predicts one frame ahead with them, and rollouts choose their step. All are second derivatives of the
energy, or sums of the friction of the brackets.
"""

from __future__ import annotations

from torch import Tensor

from colloidlab.model.brackets import Evaluation, pair_matrix
from colloidlab.model.tensors import dot

_SHORT = 1e-3
"""Distances below this (px) are taken as this where a force is divided by its distance."""


def self_friction(ev: Evaluation) -> Tensor:
    """sum_j Gamma_ij: the drag that a particle feels among neighbours held still, shape (n, D, D)."""
    return ev.pairs.sum_symmetric(pair_matrix(ev.g_perp, ev.g_par, ev.pairs.e))


def self_stiffness(ev: Evaluation) -> Tensor:
    """-dF_i/dr_i with the neighbours held still at fixed entropy (Einstein matrix), shape (n, D, D)."""
    p = ev.pairs
    first, second = _density_derivatives(ev)
    slope, curvature = ev.kernel.dw / p.h, ev.kernel.d2w / p.h**2
    i, j = p.i, p.j
    both = first[i] + first[j]
    central = pair_matrix(both * slope / p.r.clamp_min(_SHORT), both * curvature, p.e)
    ee = p.e[:, :, None] * p.e[:, None, :]
    square = (slope**2)[:, None, None] * ee
    gradient = p.sum_antisymmetric(slope[:, None] * p.e)
    own = second[:, None, None] * gradient[:, :, None] * gradient[:, None, :]
    return (
        p.sum_symmetric(central)
        + p.sum_ends(second[j][:, None, None] * square, second[i][:, None, None] * square)
        + own
    )


def mean_self_friction(ev: Evaluation) -> Tensor:
    """Trace of `self_friction` over D, shape (n,)."""
    dim = ev.pairs.e.shape[1]
    return ev.pairs.sum_symmetric(((dim - 1) * ev.g_perp + ev.g_par) / dim)


def mean_self_stiffness(ev: Evaluation) -> Tensor:
    """Trace of `self_stiffness` over D, shape (n,)."""
    p, dim = ev.pairs, ev.pairs.e.shape[1]
    first, second = _density_derivatives(ev)
    slope, curvature = ev.kernel.dw / p.h, ev.kernel.d2w / p.h**2
    i, j = p.i, p.j
    central = (first[i] + first[j]) * ((dim - 1) * slope / p.r.clamp_min(_SHORT) + curvature)
    square = slope**2
    gradient = p.sum_antisymmetric(slope[:, None] * p.e)
    at_i, at_j = central + second[j] * square, central + second[i] * square
    return (p.sum_ends(at_i, at_j) + second * dot(gradient, gradient)) / dim


def _density_derivatives(ev: Evaluation) -> tuple[Tensor, Tensor]:
    """dU/dd and d^2U/dd^2 at constant entropy, d = 1/V."""
    V, P, P_V = ev.volume, ev.thermo.P, ev.thermo.P_V
    return P * V**2, -(V**2) * (2 * V * P + V**2 * P_V)


def force_rate(ev: Evaluation, v: Tensor) -> Tensor:
    """dF/dt along the velocities at fixed entropy, shape (n, D): minus the Hessian of the energy times v."""
    p = ev.pairs
    first, second = _density_derivatives(ev)
    slope, curvature = ev.kernel.dw / p.h, ev.kernel.d2w / p.h**2
    i, j = p.i, p.j
    u = v[i] - v[j]
    closing = dot(p.e, u)
    d_rate = second * p.sum_symmetric(slope * closing)
    both = first[i] + first[j]
    along = (d_rate[i] + d_rate[j]) * slope + both * (curvature - slope / p.r.clamp_min(_SHORT)) * closing
    return -p.sum_antisymmetric(along[:, None] * p.e + (both * slope / p.r.clamp_min(_SHORT))[:, None] * u)

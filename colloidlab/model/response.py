"""How a particle answers among neighbours that are held still: stiffness and drag, and how its force changes.

The filter predicts one frame ahead with them, and rollouts choose their step. All are second derivatives of the
energy, or sums of the friction of the brackets.
"""

from __future__ import annotations

import torch
from torch import Tensor

from colloidlab.model.brackets import Evaluation, pair_matrix
from colloidlab.model.laws import Laws
from colloidlab.model.strain import shear_force_rate, shear_stiffness
from colloidlab.model.tensors import dot

_SHORT = 1e-3
"""Distances below this (px) are taken as this where a force is divided by its distance."""


def self_friction(laws: Laws, ev: Evaluation) -> Tensor:
    """The drag that a particle feels among neighbours held still: sum_j Gamma_ij, and the bath's; shape (n, D, D)."""
    drag = ev.pairs.sum_symmetric(pair_matrix(ev.g_perp, ev.g_par, ev.pairs.e))
    if laws.bath is None:
        return drag
    return drag + laws.bath.friction * torch.eye(drag.shape[1], dtype=drag.dtype, device=drag.device)


def self_stiffness(ev: Evaluation) -> Tensor:
    """-dF_i/dr_i with the neighbours held still at fixed entropy (Einstein matrix), shape (n, D, D)."""
    p = ev.pairs
    second, slope = _density_derivatives(ev)[1], ev.kernel.dw / p.h
    i, j = p.i, p.j
    along, across = _pair_stiffness(ev)
    central = pair_matrix(across, along, p.e)
    ee = p.e[:, :, None] * p.e[:, None, :]
    square = (slope**2)[:, None, None] * ee
    gradient = p.sum_antisymmetric(slope[:, None] * p.e)
    own = second[:, None, None] * gradient[:, :, None] * gradient[:, None, :]
    total = (
        p.sum_symmetric(central)
        + p.sum_ends(second[j][:, None, None] * square, second[i][:, None, None] * square)
        + own
    )
    if ev.strain is not None and ev.shear is not None:
        total = total + shear_stiffness(ev.strain, ev.shear.U_I, ev.shear.U_II)
    return total


def _pair_stiffness(ev: Evaluation) -> tuple[Tensor, Tensor]:
    """Second derivative of the energy of a pair along e, and its first over r, at fixed densities' derivatives."""
    p, first = ev.pairs, _density_derivatives(ev)[0]
    both = first[p.i] + first[p.j]
    push, curvature = both * ev.kernel.dw / p.h, both * ev.kernel.d2w / p.h**2
    if ev.potential is not None:
        push, curvature = push + ev.potential.du / p.h, curvature + ev.potential.d2u / p.h**2
    return curvature, push / p.r.clamp_min(_SHORT)


def mean_self_friction(laws: Laws, ev: Evaluation) -> Tensor:
    """Trace of `self_friction` over D, shape (n,)."""
    dim = ev.pairs.e.shape[1]
    drag = ev.pairs.sum_symmetric(((dim - 1) * ev.g_perp + ev.g_par) / dim)
    return drag if laws.bath is None else drag + laws.bath.friction


def mean_self_stiffness(ev: Evaluation) -> Tensor:
    """Trace of `self_stiffness` over D, shape (n,)."""
    p, dim = ev.pairs, ev.pairs.e.shape[1]
    second, slope = _density_derivatives(ev)[1], ev.kernel.dw / p.h
    i, j = p.i, p.j
    along, across = _pair_stiffness(ev)
    central = (dim - 1) * across + along
    square = slope**2
    gradient = p.sum_antisymmetric(slope[:, None] * p.e)
    at_i, at_j = central + second[j] * square, central + second[i] * square
    total = p.sum_ends(at_i, at_j) + second * dot(gradient, gradient)
    if ev.strain is not None and ev.shear is not None:
        shear = shear_stiffness(ev.strain, ev.shear.U_I, ev.shear.U_II)
        total = total + shear.diagonal(dim1=1, dim2=2).sum(1)
    return total / dim


def _density_derivatives(ev: Evaluation) -> tuple[Tensor, Tensor]:
    """dU/dd and d^2U/dd^2 at constant entropy, d = 1/V."""
    V, P, P_V = ev.volume, ev.thermo.P, ev.thermo.P_V
    return P * V**2, -(V**2) * (2 * V * P + V**2 * P_V)


def force_rate(ev: Evaluation, v: Tensor) -> Tensor:
    """dF/dt along the velocities at fixed entropy, shape (n, D): minus the Hessian of the energy times v."""
    p = ev.pairs
    second, slope = _density_derivatives(ev)[1], ev.kernel.dw / p.h
    i, j = p.i, p.j
    u = v[i] - v[j]
    closing = dot(p.e, u)
    d_rate = second * p.sum_symmetric(slope * closing)
    stiff, over_r = _pair_stiffness(ev)
    along = (d_rate[i] + d_rate[j]) * slope + (stiff - over_r) * closing
    rate = -p.sum_antisymmetric(along[:, None] * p.e + over_r[:, None] * u)
    if ev.strain is not None and ev.shear is not None:
        rate = rate + shear_force_rate(ev.strain, ev.shear.U_I, ev.shear.U_II, v)
    return rate

"""How a particle answers among neighbours that are held still: stiffness and drag, and how its force changes.

The filter predicts one frame ahead with them, and rollouts choose their step. All are second derivatives of the
energy, or sums of the friction of the brackets.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.brackets import Evaluation, pair_matrix
from colloidlab.model.laws import Laws
from colloidlab.model.strain import shear_force_rate, shear_stiffness
from colloidlab.model.tensors import dot

_SHORT = 3e-5
"""Distances below this share of a pair's cutoff are taken as it where a force is divided by its distance."""


class LinearResponse:
    """How the forces change to first order when particles move and speed up, entropies held: -H dr - Gamma dv.

    H is the Hessian of the energy, Gamma the friction of the brackets, both as they are in one configuration.

    Parameters
    ----------
    laws : Laws
    ev : Evaluation
    """

    def __init__(self, laws: Laws, ev: Evaluation) -> None:
        self._laws, self._bath, self._ev = laws, laws.bath, ev
        self._parts = _stiffness(ev)

    def force(self, moved: Tensor, faster: Tensor) -> Tensor:
        """Change of the force, shape (n, D), where particles have moved and speeded up by as much, shape (n, D) each."""
        ev, parts = self._ev, self._parts
        p, dim = ev.pairs, moved.shape[1]
        apart, away = p.difference(torch.cat([moved, faster], dim=1)).split(dim, dim=1)
        stretch = dot(p.e, apart)
        denser = parts.second * p.sum_symmetric(parts.slope * stretch)
        push = p.total(denser) * parts.slope + (parts.along - parts.across) * stretch
        pull = push + (ev.g_par - ev.g_perp) * dot(p.e, away)
        change = -p.sum_antisymmetric(
            pull[:, None] * p.e + parts.across[:, None] * apart + ev.g_perp[:, None] * away
        )
        if ev.strain is not None and ev.shear is not None:
            change = change + shear_force_rate(ev.strain, ev.shear.U_I, ev.shear.U_II, moved)
        return change if self._bath is None else change - self._bath.friction * faster

    def mean_self_stiffness(self) -> Tensor:
        """Trace of `self_stiffness` over D, shape (n,)."""
        ev, (second, slope, along, across) = self._ev, self._parts
        p, dim = ev.pairs, ev.pairs.e.shape[1]
        at_i, at_j = p.at_ends(second)
        central, square = (dim - 1) * across + along, slope * slope
        lean = slope[:, None] * p.e
        found = p.sum_ends(
            torch.cat([(central + at_j * square)[:, None], lean], dim=1),
            torch.cat([(central + at_i * square)[:, None], -lean], dim=1),
        )
        gradient = found[:, 1:]
        total = found[:, 0] + second * dot(gradient, gradient)
        if ev.strain is not None and ev.shear is not None:
            shear = shear_stiffness(ev.strain, ev.shear.U_I, ev.shear.U_II)
            total = total + shear.diagonal(dim1=1, dim2=2).sum(1)
        return total / dim

    def mean_self_friction(self) -> Tensor:
        """Trace of `self_friction` over D, shape (n,)."""
        ev, dim = self._ev, self._ev.pairs.e.shape[1]
        drag = ev.pairs.sum_symmetric(((dim - 1) * ev.g_perp + ev.g_par) / dim)
        return drag if self._bath is None else drag + self._bath.friction

    def fastest_rate(self) -> float:
        """Rate at which the fastest relative velocity of two particles decays."""
        ev, laws = self._ev, self._laws
        of_pairs = torch.maximum(ev.g_par, ev.g_perp) * brackets.inverse_masses(laws, ev.pairs)
        of_particles = 2 * self.mean_self_friction() / laws.mass_of(ev.pairs)
        both = torch.cat([of_pairs, of_particles]).detach()
        return float(both.max()) if len(both) else 0.0


def self_friction(laws: Laws, ev: Evaluation) -> Tensor:
    """The drag that a particle feels among neighbours held still: sum_j Gamma_ij, and the bath's; shape (n, D, D)."""
    drag = ev.pairs.sum_symmetric(pair_matrix(ev.g_perp, ev.g_par, ev.pairs.e))
    if laws.bath is None:
        return drag
    return drag + laws.bath.friction * torch.eye(drag.shape[1], dtype=drag.dtype, device=drag.device)


def self_stiffness(ev: Evaluation) -> Tensor:
    """-dF_i/dr_i with the neighbours held still at fixed entropy (Einstein matrix), shape (n, D, D)."""
    p = ev.pairs
    second, slope, along, across = _stiffness(ev)
    central = pair_matrix(across, along, p.e)
    ee = p.e[:, :, None] * p.e[:, None, :]
    square = (slope**2)[:, None, None] * ee
    gradient = p.sum_antisymmetric(slope[:, None] * p.e)
    own = second[:, None, None] * gradient[:, :, None] * gradient[:, None, :]
    total = (
        p.sum_symmetric(central)
        + p.sum_ends(second[p.j][:, None, None] * square, second[p.i][:, None, None] * square)
        + own
    )
    if ev.strain is not None and ev.shear is not None:
        total = total + shear_stiffness(ev.strain, ev.shear.U_I, ev.shear.U_II)
    return total


class _Stiffness(NamedTuple):
    """What the second derivative of the energy is made of.

    `second`, d^2U/dd^2 at constant entropy with d = 1/V, has shape (n,), all else (n_pairs,): dd/dr of a pair (`slope`), and
    at fixed dU/dd the second derivative of its energy along e (`along`) and the first over r (`across`).
    """

    second: Tensor
    slope: Tensor
    along: Tensor
    across: Tensor


def _stiffness(ev: Evaluation) -> _Stiffness:
    p, V, P, P_V = ev.pairs, ev.volume, ev.thermo.P, ev.thermo.P_V
    V2 = V * V
    # The first is dU/dd.
    first, second = P * V2, -V2 * (2 * V * P + V2 * P_V)
    both, slope = p.total(first), ev.kernel.dw / p.h
    push, curvature = both * slope, both * ev.kernel.d2w / (p.h * p.h)
    if ev.potential is not None:
        push, curvature = push + ev.potential.du / p.h, curvature + ev.potential.d2u / p.h**2
    return _Stiffness(second, slope, curvature, push / torch.maximum(p.r, _SHORT * p.h))

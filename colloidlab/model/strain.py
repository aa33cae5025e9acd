"""Strain of every particle's reference neighbourhood, and the forces of an energy that depends on it.

| symbol | name here |
|---|---|
| R_ij, w_ij | reference offset, weight (1 - x)^3 (1 + 3x) of the reference distance |
| B_i = (sum_j w R R^T)^-1, c_ij = w B_i R_ij | `coefficient_i`; `coefficient_j` is that of the other end |
| F_i = sum_j r_ij c_ij^T | `gradient`, the best-fit deformation gradient |
| E_i = (F^T F - 1)/2, dev E = E - tr E/D | `deviator` |
| I_i = dev E : dev E | `invariant` |

F turns with the configuration, E does not: a rigid rotation changes no energy. Shapes: D is 2 or 3.

References
----------
Falk and Langer, Phys. Rev. E 57, 7192 (1998), for the best fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Reference:
    """The neighbourhoods in which strain is measured, those of the reference state (`reference.neighbourhoods`).

    Attributes
    ----------
    i, j : int64 tensors, shape (n_pairs,)
    coefficient_i, coefficient_j : tensors, shape (n_pairs, D)
        c_ij seen from either end, for the offset r_i - r_j; zero where a neighbourhood spans no space.
    own : tensor, shape (n, D)
        Derivative of a particle's F with its own position: F changes by the outer product of its displacement and this.
    spans : bool tensor, shape (n,)
        Whose neighbourhood spans the space. The others carry no shear energy.
    box : tensor, shape (D,), or None
    """

    i: Tensor
    j: Tensor
    coefficient_i: Tensor
    coefficient_j: Tensor
    own: Tensor
    spans: Tensor
    box: Tensor | None


@dataclass(frozen=True)
class Strain:
    """Strain at one configuration; tensors of shape (n, D, D), the invariant (n,)."""

    reference: Reference
    gradient: Tensor
    deviator: Tensor
    invariant: Tensor


def measure_strain(reference: Reference, positions: Tensor) -> Strain:
    """Strain of the reference neighbourhoods at positions of shape (n, D)."""
    offset = positions[reference.i] - positions[reference.j]
    if reference.box is not None:
        box = reference.box
        length = torch.where(box > 0, box, torch.ones_like(box))
        offset = offset - torch.where(box > 0, torch.round(offset / length) * box, torch.zeros_like(box))
    eye = torch.eye(positions.shape[1], dtype=positions.dtype, device=positions.device)
    gradient = torch.where(reference.spans[:, None, None], _gradient(reference, offset), eye)
    deviator = _deviator(0.5 * (gradient.transpose(1, 2) @ gradient - eye))
    return Strain(reference, gradient, deviator, (deviator * deviator).sum((1, 2)))


def unstrained(n: int, n_dims: int, like: Tensor) -> Strain:
    """Strain of n particles that are where they were in the reference state, with no neighbours; as `like` is stored."""
    none, zero = like.new_zeros((0, n_dims)), like.new_zeros((n, n_dims))
    nobody = torch.zeros(0, dtype=torch.int64, device=like.device)
    spans = torch.ones(n, dtype=torch.bool, device=like.device)
    reference = Reference(nobody, nobody, none, none, zero, spans, None)
    eye = torch.eye(n_dims, dtype=like.dtype, device=like.device).expand(n, n_dims, n_dims)
    return Strain(reference, eye, torch.zeros_like(eye), like.new_zeros(n))


def shear_force(state: Strain, slope: Tensor) -> Tensor:
    """-d/dr of the sum of U_dev(I), with slope = dU_dev/dI; shape (n, D)."""
    return _pull(state.reference, slope[:, None, None] * _stress(state))


def shear_force_rate(state: Strain, slope: Tensor, curvature: Tensor, v: Tensor) -> Tensor:
    """d/dt of `shear_force` along velocities v at fixed entropy, with curvature = d^2 U_dev/dI^2; shape (n, D)."""
    rate = _gradient(state.reference, v[state.reference.i] - v[state.reference.j])
    both = state.gradient.transpose(1, 2) @ rate
    strain_rate = _deviator(0.5 * (both + both.transpose(1, 2)))
    invariant_rate = 2 * (state.deviator * strain_rate).sum((1, 2))
    stress_rate = 2 * (rate @ state.deviator + state.gradient @ strain_rate)
    change = (curvature * invariant_rate)[:, None, None] * _stress(state) + slope[:, None, None] * stress_rate
    return _pull(state.reference, change)


def shear_stiffness(state: Strain, slope: Tensor, curvature: Tensor) -> Tensor:
    """-dF_i/dr_i of `shear_force` with the neighbours held still; shape (n, D, D)."""
    reference = state.reference
    own = _second_variation(state, slope, curvature, reference.own, slice(None))
    at_i = _second_variation(state, slope, curvature, reference.coefficient_j, reference.j)
    at_j = _second_variation(state, slope, curvature, reference.coefficient_i, reference.i)
    return own.index_add(0, reference.i, at_i).index_add(0, reference.j, at_j)


def _gradient(reference: Reference, offset: Tensor) -> Tensor:
    """sum_j offset_ij c_ij^T."""
    n, dim = reference.own.shape
    out = offset.new_zeros((n, dim, dim))
    out = out.index_add(0, reference.i, offset[:, :, None] * reference.coefficient_i[:, None, :])
    return out.index_add(0, reference.j, offset[:, :, None] * reference.coefficient_j[:, None, :])


def _pull(reference: Reference, stress: Tensor) -> Tensor:
    """Forces of the stresses (n, D, D) of all neighbourhoods: equal and opposite within every pair."""
    pull = torch.einsum("pab,pb->pa", stress[reference.i], reference.coefficient_i)
    pull = pull + torch.einsum("pab,pb->pa", stress[reference.j], reference.coefficient_j)
    return torch.zeros_like(reference.own).index_add(0, reference.i, -pull).index_add(0, reference.j, pull)


def _stress(state: Strain) -> Tensor:
    """dI/dF = 2 F dev E; zero where the neighbourhood spans no space."""
    return 2 * state.gradient @ state.deviator


def _second_variation(
    state: Strain, slope: Tensor, curvature: Tensor, c: Tensor, whose: Tensor | slice
) -> Tensor:
    """Second derivative of U_dev(I) of the neighbourhoods `whose` for F -> F + a c^T, as a matrix in a."""
    F, E, stress = state.gradient[whose], state.deviator[whose], _stress(state)[whose]
    dim = F.shape[1]
    pc, fc = torch.einsum("pab,pb->pa", stress, c), torch.einsum("pab,pb->pa", F, c)
    eye = torch.eye(dim, dtype=F.dtype, device=F.device)
    across = torch.einsum("pa,pab,pb->p", c, E, c)[:, None, None] * eye
    square = 0.5 * (c * c).sum(1)[:, None, None] * (F @ F.transpose(1, 2))
    along = (0.5 - 1 / dim) * fc[:, :, None] * fc[:, None, :]
    first = curvature[whose][:, None, None] * pc[:, :, None] * pc[:, None, :]
    return first + 2 * slope[whose][:, None, None] * (across + square + along)


def _deviator(matrix: Tensor) -> Tensor:
    dim = matrix.shape[1]
    trace = matrix.diagonal(dim1=1, dim2=2).sum(1)
    eye = torch.eye(dim, dtype=matrix.dtype, device=matrix.device)
    return matrix - (trace / dim)[:, None, None] * eye

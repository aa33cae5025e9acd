"""The stochastic GENERIC generator: reversible force, friction, Itô terms, noise and marginal covariance.

| symbol | name here |
|---|---|
| d_i = W(0) + sum_j W(r_ij), V_i = 1/d_i | `density`, `volume` |
| F_i = -dE/dr_i | `force` |
| K_ij = K_perp 1 + (K_par - K_perp) e e^T | `k_perp`, `k_par` |
| Gamma_ij, friction with every Itô term on v | `g_perp`, `g_par` |
| theta_i = (1 - k_B/c_i)/T_i | `theta` |

In the laws of a video m = k_B = 1. Source: Öttinger, Beyond Equilibrium Thermodynamics (2005);
Español & Revenga, PRE 67, 026705 (2003); Hernandez et al., arXiv 2508.12569 (2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from colloidlab.errors import UsageError
from colloidlab.model.energy import Thermo
from colloidlab.model.friction import PairAmplitudes
from colloidlab.model.kernel import KernelValues
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.model.potential import PotentialValues
from colloidlab.model.shear import ShearState
from colloidlab.model.strain import Strain, shear_force
from colloidlab.model.tensors import dot, each


@dataclass(frozen=True)
class Mechanics:
    """What the laws say about one configuration without friction and noise, which cost most.

    Particle quantities have shape (n,) or (n, D), pair quantities (n_pairs,).
    """

    pairs: Pairs
    kernel: KernelValues
    volume: Tensor
    thermo: Thermo
    force: Tensor
    potential: PotentialValues | None
    shear: ShearState | None

    @property
    def strain(self) -> Strain | None:
        """Of the reference neighbourhoods, in a solid."""
        return self.pairs.strain


@dataclass(frozen=True)
class Evaluation(Mechanics):
    """Everything that the laws say about one configuration."""

    amplitudes: PairAmplitudes
    theta: Tensor
    k_perp: Tensor
    k_par: Tensor
    g_perp: Tensor
    g_par: Tensor


def evaluate(
    laws: Laws,
    pairs: Pairs,
    S: Tensor,
    *,
    volume: Callable[[Tensor], Tensor] | None = None,
) -> Evaluation:
    """Evaluate the laws at one configuration.

    Parameters
    ----------
    laws : Laws
    pairs : Pairs
        With the strain of the same positions, which solids need.
    S : tensor, shape (n,)
        Entropy of each particle.
    volume : callable(density) -> volume, optional
        Volumes from the computed densities, shape (n,) each, where neighbours lie outside the view [1/density].

    Raises
    ------
    UsageError
        The laws are those of a solid, and there is no strain.
    """
    return with_friction(laws, mechanics(laws, pairs, S, volume=volume))


def mechanics(
    laws: Laws,
    pairs: Pairs,
    S: Tensor,
    *,
    volume: Callable[[Tensor], Tensor] | None = None,
) -> Mechanics:
    """As `evaluate`, without friction and noise."""
    kernel = laws.kernel(pairs.x, *pairs.arguments)
    density = laws.kernel.at_zero() + pairs.sum_symmetric(kernel.w)
    V = 1.0 / density if volume is None else volume(density)
    potential = None if laws.potential is None else laws.potential(pairs.x, *pairs.arguments)
    return _at_entropy(laws, _Place(pairs, kernel, V, potential), S)


@dataclass(frozen=True)
class _Place:
    """What does not change while the particles stay where they are."""

    pairs: Pairs
    kernel: KernelValues
    volume: Tensor
    potential: PotentialValues | None


def at_entropy(laws: Laws, there: Mechanics, S: Tensor) -> Mechanics:
    """The laws at the same positions with other entropies, shape (n,)."""
    return _at_entropy(laws, _Place(there.pairs, there.kernel, there.volume, there.potential), S)


def thermodynamics(
    laws: Laws, S: Tensor, volume: Tensor, strain: Strain | None = None
) -> tuple[Thermo, ShearState | None]:
    """U, T, P and c of every particle, the shear of a solid included, which comes beside.

    Raises
    ------
    UsageError
        The laws are those of a solid, and there is no strain.
    """
    thermo = laws.energy(S, volume)
    if laws.shear is None:
        return thermo, None
    if strain is None:
        raise UsageError("these are laws of a solid: give the strain of the reference neighbourhoods")
    shear = laws.shear(S, strain.invariant)
    return _with_shear(thermo, shear), shear


def _at_entropy(laws: Laws, place: _Place, S: Tensor) -> Mechanics:
    pairs, kernel, V, potential = place.pairs, place.kernel, place.volume, place.potential
    thermo, shear = thermodynamics(laws, S, V, pairs.strain)
    force = pairs.sum_antisymmetric(_pair_force(place, thermo))
    if shear is not None and pairs.strain is not None:
        force = force + shear_force(pairs.strain, shear.U_I)
    return Mechanics(pairs, kernel, V, thermo, force, potential, shear)


def pair_force(there: Mechanics) -> Tensor:
    """Force on i from j, shape (n_pairs, D); those of a solid's strain are not of pairs."""
    place = _Place(there.pairs, there.kernel, there.volume, there.potential)
    return _pair_force(place, there.thermo)


def _pair_force(place: _Place, thermo: Thermo) -> Tensor:
    pairs = place.pairs
    # F_i = -sum_j (dU/dd_i + dU/dd_j) W'(r) e_ij
    push = -pairs.total(thermo.P * place.volume**2) * place.kernel.dw / pairs.h
    if place.potential is not None:
        push = push - place.potential.du / pairs.h
    return push[:, None] * pairs.e


def with_friction(laws: Laws, there: Mechanics) -> Evaluation:
    """The same configuration with the amplitudes of its pairs, and what friction and noise make of them."""
    pairs, thermo = there.pairs, there.thermo
    dim = pairs.e.shape[1]
    T_i, T_j = pairs.at_ends(thermo.T)
    amplitudes = laws.amplitudes(pairs.x, T_i, T_j, *pairs.arguments)
    k_perp = 0.5 * amplitudes.A2
    k_par = _parallel(amplitudes.A2, amplitudes.B2, dim)
    k_B, inv_c = laws.k_B, thermo.inv_c
    # d/dT at both ends over the heat capacities: the part of div M that differentiates K.
    inv_c_i, inv_c_j = pairs.at_ends(inv_c)
    dA2 = amplitudes.A2_i * inv_c_i + amplitudes.A2_j * inv_c_j
    dB2 = amplitudes.B2_i * inv_c_i + amplitudes.B2_j * inv_c_j
    theta = (1 - k_B * inv_c) / thermo.T
    sum_theta = pairs.total(theta)
    return Evaluation(
        **{field.name: getattr(there, field.name) for field in fields(Mechanics)},
        amplitudes=amplitudes,
        theta=theta,
        k_perp=k_perp,
        k_par=k_par,
        g_perp=0.5 * (sum_theta * k_perp + k_B * 0.5 * dA2),
        g_par=0.5 * (sum_theta * k_par + k_B * _parallel(dA2, dB2, dim)),
    )


def _with_shear(thermo: Thermo, shear: ShearState) -> Thermo:
    """Volume and shear share one entropy: dU/dS and d^2U/dS^2 add."""
    T = thermo.T + shear.T
    inv_c = (thermo.inv_c * thermo.T + shear.T_S) / T
    return Thermo(U=thermo.U + shear.U, T=T, P=thermo.P, inv_c=inv_c, P_V=thermo.P_V)


def _parallel(A2: Tensor, B2: Tensor, dim: int) -> Tensor:
    """e^T K e for K = A^2/2 1 + (A^2/2 + (B^2 - A^2)/D) e e^T."""
    return A2 * (1 - 1 / dim) + B2 / dim


def apply(perp: Tensor, par: Tensor, e: Tensor, u: Tensor) -> Tensor:
    """(perp 1 + (par - perp) e e^T) u for every pair, shape (n_pairs, D)."""
    along = dot(e, u)
    return perp[:, None] * u + ((par - perp) * along)[:, None] * e


def pair_matrix(perp: Tensor, par: Tensor, e: Tensor) -> Tensor:
    """perp 1 + (par - perp) e e^T as dense matrices, shape (n_pairs, D, D)."""
    eye = torch.eye(e.shape[1], dtype=e.dtype, device=e.device)
    return perp[:, None, None] * eye + (par - perp)[:, None, None] * e[:, :, None] * e[:, None, :]


def friction_force(ev: Evaluation, v: Tensor) -> Tensor:
    """-sum_j Gamma_ij v_ij: friction with its Itô terms, shape (n, D)."""
    p = ev.pairs
    return -p.sum_antisymmetric(apply(ev.g_perp, ev.g_par, p.e, p.relative_velocity(v)))


def drag_force(laws: Laws, ev: Evaluation, v: Tensor) -> Tensor:
    """Friction between particles, and with the bath where there is one; linear in v, shape (n, D)."""
    force = friction_force(ev, v)
    return force if laws.bath is None else force - laws.bath.friction * v


def acceleration(laws: Laws, ev: Evaluation, v: Tensor) -> Tensor:
    """dv/dt without noise, k_B div M and the drag of a bath included; shape (n, D)."""
    return (ev.force + drag_force(laws, ev, v)) / each(laws.mass_of(ev.pairs), v)


def entropy_rate(laws: Laws, ev: Evaluation, v: Tensor, *, velocity_variance: Tensor | None = None) -> Tensor:
    """dS/dt without noise, k_B div M included; shape (n,).

    Parameters
    ----------
    velocity_variance : tensor, shape (n, D, D), optional
        Uncertainty of v. The heating is quadratic in v_ij, so its mean is larger than the
        heating at the mean velocity.
    """
    p, T, inv_c, k_B = ev.pairs, ev.thermo.T, ev.thermo.inv_c, laws.k_B
    a, u = ev.amplitudes, p.relative_velocity(v)
    T_i, T_j = p.at_ends(T)
    inv_c_i, inv_c_j = p.at_ends(inv_c)
    along2 = dot(p.e, u) ** 2
    across2 = dot(u, u) - along2
    if velocity_variance is not None:
        spread = p.total(velocity_variance)
        extra = torch.einsum("pa,pab,pb->p", p.e, spread, p.e)
        along2 = along2 + extra
        across2 = across2 + spread.diagonal(dim1=1, dim2=2).sum(1) - extra
    q = ev.k_perp * across2 + ev.k_par * along2
    dim = v.shape[1]

    def shear(A2_T: Tensor, B2_T: Tensor) -> Tensor:
        return 0.5 * A2_T * across2 + _parallel(A2_T, B2_T, dim) * along2

    dq = 0.25 * (shear(a.A2_i, a.B2_i) * inv_c_i + shear(a.A2_j, a.B2_j) * inv_c_j)
    trace = (dim - 1) * ev.k_perp + ev.k_par
    cold_i, cold_j = 1 / T_i, 1 / T_j
    beta_i, beta_j = inv_c_i / T_i, inv_c_j / T_j
    common = 0.25 * (cold_i + cold_j) * q + k_B * (dq - 0.5 * trace * inverse_masses(laws, p))
    heat = (cold_i - cold_j) * a.C2 + k_B * (a.C2_i * inv_c_i - a.C2_j * inv_c_j)
    at_i = common + heat - k_B * ((2 * beta_i + beta_j) * q / 4 + (2 * beta_i - beta_j) * a.C2)
    at_j = common - heat - k_B * ((2 * beta_j + beta_i) * q / 4 + (2 * beta_j - beta_i) * a.C2)
    return p.sum_ends(at_i, at_j) / T


@dataclass(frozen=True)
class Noise:
    """Independent standard normal numbers of one step.

    Attributes
    ----------
    impulse : tensor, shape (n_pairs, D)
    heat : tensor, shape (n_pairs,)
    bath : tensor, shape (n, D), or None
        Needed where the laws have a bath.
    """

    impulse: Tensor
    heat: Tensor
    bath: Tensor | None = None


def noise_increment(laws: Laws, ev: Evaluation, v: Tensor, noise: Noise, dt: float) -> tuple[Tensor, Tensor]:
    """Random parts of dv and dS in a step dt; shapes (n, D) and (n,).

    f_ij = sqrt(2 k_B dt) K^(1/2) xi has the law of the symmetric matrix noise and needs only D numbers a pair.
    """
    p, k_B = ev.pairs, laws.k_B
    scale = (2 * k_B * dt) ** 0.5
    f = scale * apply(torch.sqrt(ev.k_perp), torch.sqrt(ev.k_par), p.e, noise.impulse)
    work = -0.5 * dot(f, p.relative_velocity(v))
    heat = scale * torch.sqrt(ev.amplitudes.C2) * noise.heat
    dS = p.sum_ends(work + heat, work - heat) / ev.thermo.T
    m = each(laws.mass_of(p), v)
    dv = p.sum_antisymmetric(f) / m
    if laws.bath is not None and noise.bath is not None:
        dv = dv + torch.sqrt(laws.bath.noise_strength(k_B) * dt) / m * noise.bath
    return dv, dS


def bath_impulse(laws: Laws, v: Tensor, noise: Noise, dt: float) -> Tensor:
    """Momentum that the bath gives in a step dt, by drag and noise; shape (n, D).

    It is contained in `acceleration` and `noise_increment`; whoever keeps books needs it alone.
    """
    if laws.bath is None:
        return torch.zeros_like(v)
    given = -dt * laws.bath.friction * v
    if noise.bath is not None:
        given = given + torch.sqrt(laws.bath.noise_strength(laws.k_B) * dt) * noise.bath
    return given


def marginal_covariance(laws: Laws, ev: Evaluation, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Diagonal blocks of 2 k_B M, and of the bath's noise, per unit time: vv (n, D, D), vS (n, D), SS (n,)."""
    p = ev.pairs
    u = p.relative_velocity(v)
    Ku = apply(ev.k_perp, ev.k_par, p.e, u)
    SS = p.sum_symmetric(0.25 * dot(u, Ku) + ev.amplitudes.C2) / ev.thermo.T**2
    return velocity_noise(laws, ev), velocity_entropy_covariance(laws, ev, v), 2 * laws.k_B * SS


def velocity_noise(laws: Laws, ev: Evaluation) -> Tensor:
    """Block vv of `marginal_covariance`: (2 k_B/m^2) sum_j K_ij, and 2 gamma k_B T_b/m^2; shape (n, D, D)."""
    pairwise = 2 * laws.k_B * ev.pairs.sum_symmetric(pair_matrix(ev.k_perp, ev.k_par, ev.pairs.e))
    if laws.bath is not None:
        eye = torch.eye(pairwise.shape[1], dtype=pairwise.dtype, device=pairwise.device)
        pairwise = pairwise + laws.bath.noise_strength(laws.k_B) * eye
    return pairwise / each(laws.mass_of(ev.pairs), pairwise) ** 2


def velocity_entropy_covariance(laws: Laws, ev: Evaluation, v: Tensor) -> Tensor:
    """Block vS of `marginal_covariance`: -(k_B/(m T_i)) sum_j K_ij v_ij, shape (n, D)."""
    p = ev.pairs
    Ku = apply(ev.k_perp, ev.k_par, p.e, p.relative_velocity(v))
    return -laws.k_B / (laws.mass_of(p) * ev.thermo.T)[:, None] * p.sum_antisymmetric(Ku)


def total_energy(laws: Laws, ev: Mechanics, v: Tensor) -> tuple[Tensor, Tensor]:
    """Kinetic energy 1/2 m v^2 and internal energy of every particle, shape (n,) each."""
    return 0.5 * laws.mass_of(ev.pairs) * dot(v, v), internal_energy(ev)


def inverse_masses(laws: Laws, pairs: Pairs) -> Tensor | float:
    """1/m_i + 1/m_j of every pair, shape (n_pairs,); one number where all masses are alike."""
    m = laws.mass_of(pairs)
    return 2 / m if not isinstance(m, Tensor) or m.dim() == 0 else pairs.total(1 / m)


def internal_energy(ev: Mechanics) -> Tensor:
    """U, and half of the pair potential of each pair, shape (n,)."""
    if ev.potential is None:
        return ev.thermo.U
    return ev.thermo.U + 0.5 * ev.pairs.sum_symmetric(ev.potential.u)

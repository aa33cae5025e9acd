"""Friction, noise and heat conduction at fixed positions, with momentum and energy exact to round-off.

| symbol | name |
|---|---|
| theta_i = (1 - k_B/c_i)/T_i, Gamma_ij | `theta`, `g_perp`, `g_par` of the evaluation |
| f_ij = sqrt(2 k_B dt) K^(1/2) xi_ij | `noise` |
| vbar = (v + v')/2 | `mean` |
| Delta p_ij = f_ij - dt Gamma_ij (vbar_i - vbar_j) | `kick` |
| q_ij, heat that i gets from j | `heat` |

    v'_i = v_i + sum_j Delta p_ij/m
    q_ij = dt [C^2 (theta_i - theta_j) + k_B (dC^2/dT_i /c_i - dC^2/dT_j /c_j)] + sqrt(2 k_B dt) C eta_ij
    U'_i = U_i + sum_j [-Delta p_ij . (vbar_i - vbar_j)/2 + q_ij],    S'_i from U(S'_i, V_i) = U'_i

In a shear box v_j is that of the nearest image of j. What the kicks take from the
kinetic energy, sum m (v' - v) . vbar, and what moving images bring, is what the particles' own energies get. The Itô terms
of the generator are all there: in (v, U) the stationary density is exp(S/k_B) prod 1/T_i, hence theta; those of K and C^2
are in Gamma and q; those of v, -tr K/m and the gradient of q, come from the mean velocities; the rest from solving for S.

References
----------
Homman, Maillet, Roussel & Stoltz, J. Chem. Phys. 144, 024112 (2016); Stoltz, J. Comput. Phys. 340, 451 (2017);
Lísal, Brennan & Bonet Avalos, J. Chem. Phys. 135, 204105 (2011).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.ahead import settled
from colloidlab.model.inversion import entropy_of_energy
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.model.tensors import dot, each

SWEEPS = 2
"""Corrections of the mean velocity after the explicit one."""

_TOLERANCE, _MOST_ITERATIONS = 1e-10, 200
"""Of the conjugate gradients; momentum and energy are exact whatever they are."""

DECAY, CONDUCTION, SPREAD = 0.5, 0.5, 0.25
"""Largest share of its velocity, of its temperature and of its heat c T (standard deviation) that a particle may exchange
in one go."""

LARGEST_FALL = math.log(3.3)
"""Of ln T in one go, beyond which the draw is not trusted: energies may fall below those of any entropy."""


@dataclass(frozen=True)
class Dissipated:
    """Outcome of a step.

    Attributes
    ----------
    v : tensor, shape (n, D)
    S : tensor, shape (n,)
    bath_momentum : tensor, shape (n, D)
        What a bath has given; zero without one.
    bath_energy : tensor, shape (n,)
    image_energy : tensor, shape (n,)
        Work of the images that a shear box moves.
    """

    v: Tensor
    S: Tensor
    bath_momentum: Tensor
    bath_energy: Tensor
    image_energy: Tensor


def dissipate(
    laws: Laws,
    ev: brackets.Evaluation,
    v: Tensor,
    S: Tensor,
    dt: Tensor,
    noise: brackets.Noise,
    *,
    implicit: bool = False,
    member: Tensor | None = None,
    members: int = 1,
) -> Dissipated:
    """Everything but forces and drift over a time dt.

    Parameters
    ----------
    laws : Laws
    ev : Evaluation
        The laws at the positions, which stay, and at S.
    v : tensor, shape (n, D)
    S : tensor, shape (n,)
    dt : tensor, shape (n,)
        The same for all that meet.
    noise : Noise
    implicit : bool
        Solve for the mean velocity by conjugate gradients instead of a few sweeps: for stiff friction.
    member : int64 tensor, shape (n,), optional
        Of so many independent simulations side by side; each is solved as if it were alone.
    members : int
    """
    p, thermo = ev.pairs, ev.thermo
    time = dt.index_select(0, p.i)
    scale = torch.sqrt(2 * laws.k_B * time)
    random = scale[:, None] * brackets.apply(ev.k_perp.sqrt(), ev.k_par.sqrt(), p.e, noise.impulse)
    friction, mass = _Friction(laws, ev, time, dt), each(laws.mass_of(p), v)
    shaken = torch.zeros_like(v)
    if laws.bath is not None and noise.bath is not None:
        shaken = torch.sqrt(laws.bath.noise_strength(laws.k_B) * dt)[:, None] * noise.bath
    mean = v
    if implicit:
        push = p.sum_antisymmetric(random + friction.of_images()) + shaken
        mean = _solve_mean(mass, friction, v, push, _Sums(v, member, members))
    for _ in range(1 if implicit else SWEEPS + 1):
        kick = random + friction.of_pairs(mean)
        from_bath = shaken + friction.of_bath(mean)
        after = v + (p.sum_antisymmetric(kick) + from_bath) / mass
        mean = 0.5 * (v + after)
    heat = _heat(laws, ev, time) + scale * ev.amplitudes.C2.sqrt() * noise.heat
    work = -0.5 * dot(kick, p.relative_velocity(mean))
    energy = thermo.U + p.sum_ends(work + heat, work - heat)
    return Dissipated(
        v=after,
        S=entropy_of_energy(laws, ev, energy, S),
        bath_momentum=from_bath,
        bath_energy=dot(from_bath, mean),
        image_energy=work_of_images(p, kick),
    )


def work_of_images(pairs: Pairs, impulse: Tensor) -> Tensor:
    """Energy, shape (n,), that impulses on i, from j, shape (n_pairs, D), bring where images move; half to either end."""
    if pairs.wind is None:
        return impulse.new_zeros(pairs.n)
    return pairs.sum_symmetric(0.5 * dot(impulse, pairs.wind))


class _Friction:
    """Impulses by friction in the time of a step; linear in v where images move as their particles do."""

    def __init__(self, laws: Laws, ev: brackets.Evaluation, time: Tensor, dt: Tensor) -> None:
        self._pairs = ev.pairs
        self._perp, self._par = -time * ev.g_perp, -time * ev.g_par
        self._bath = None if laws.bath is None else -laws.bath.friction * dt

    def of_pairs(self, v: Tensor) -> Tensor:
        """On i, from j; shape (n_pairs, D)."""
        return self._of(self._pairs.relative_velocity(v))

    def of_images(self) -> Tensor | float:
        """What of them does not depend on v."""
        return 0.0 if self._pairs.wind is None else self._of(-self._pairs.wind)

    def of_bath(self, v: Tensor) -> Tensor:
        """Shape (n, D)."""
        return torch.zeros_like(v) if self._bath is None else self._bath[:, None] * v

    def total(self, v: Tensor) -> Tensor:
        """The linear part on every particle, shape (n, D)."""
        return self._pairs.sum_antisymmetric(self._of(self._pairs.difference(v))) + self.of_bath(v)

    def _of(self, u: Tensor) -> Tensor:
        return brackets.apply(self._perp, self._par, self._pairs.e, u)


class _Sums:
    """Scalar products of independent simulations side by side, in double precision, each over its own particles in order."""

    def __init__(self, like: Tensor, member: Tensor | None, members: int) -> None:
        self._member = torch.zeros_like(like[:, 0], dtype=torch.int64) if member is None else member
        self._members = members

    def product(self, x: Tensor, y: Tensor) -> Tensor:
        """Shape (members,), of vectors of shape (n, D)."""
        values = dot(x.to(torch.float64), y.to(torch.float64))
        return values.new_zeros(self._members).index_add(0, self._member, values)

    def times(self, factor: Tensor, x: Tensor) -> Tensor:
        """Vectors times a number of their simulation."""
        return factor.to(x.dtype)[self._member, None] * x


def _solve_mean(mass: Tensor | float, friction: _Friction, v: Tensor, random: Tensor, sums: _Sums) -> Tensor:
    """(m - L/2) vbar = m v + f/2, with the impulse by friction L vbar: conjugate gradients from vbar = v.

    A simulation that is solved stands still until all are.
    """

    def apply(x: Tensor) -> Tensor:
        return mass * x - 0.5 * friction.total(x)

    there = torch.isfinite(v)
    right = torch.where(there, mass * v + 0.5 * random, 0.0)
    mean = torch.where(there, v, 0.0)
    rest = right - apply(mean)
    direction, size = rest, sums.product(rest, rest)
    enough = _TOLERANCE**2 * sums.product(right, right)
    for n in range(_MOST_ITERATIONS):
        done = size <= enough
        if settled("mean velocity", n, done.all()):
            break
        image = apply(direction)
        length = torch.where(done, 0.0, size / sums.product(direction, image))
        mean, rest = mean + sums.times(length, direction), rest - sums.times(length, image)
        before, size = size, sums.product(rest, rest)
        direction = rest + sums.times(torch.where(done, 0.0, size / before), direction)
    return torch.where(there, mean, v)


def _heat(laws: Laws, ev: brackets.Evaluation, time: Tensor) -> Tensor:
    p, a, inv_c = ev.pairs, ev.amplitudes, ev.thermo.inv_c
    inv_c_i, inv_c_j = p.at_ends(inv_c)
    return time * (a.C2 * p.difference(ev.theta) + laws.k_B * (a.C2_i * inv_c_i - a.C2_j * inv_c_j))


def parts_needed(
    laws: Laws, ev: brackets.Evaluation, v: Tensor, dt: float, *, implicit: bool = False
) -> Tensor:
    """In how many parts the step of each particle should be taken, shape (n,), from the state alone; NaN where it is absent.

    Parameters
    ----------
    laws : Laws
    ev : Evaluation
    v : tensor, shape (n, D)
    dt : float
    implicit : bool
        Friction, however strong, is no reason.
    """
    p, thermo = ev.pairs, ev.thermo
    u = p.relative_velocity(v)
    exchanged = 0.25 * dot(u, brackets.apply(ev.k_perp, ev.k_par, p.e, u))
    strongest = torch.maximum(ev.g_perp, ev.g_par)
    columns = torch.stack([strongest, ev.amplitudes.C2, exchanged], dim=1)
    drag, conduction, work = p.sum_symmetric(columns).unbind(1)
    if laws.bath is not None:
        drag = drag + laws.bath.friction
    slope = thermo.inv_c / thermo.T
    decay = torch.zeros_like(drag) if implicit else drag * dt / laws.mass_of(p) / DECAY
    conducted = conduction * dt * slope / thermo.T / CONDUCTION
    spread = 2 * laws.k_B * dt * (work + conduction) * slope**2 / SPREAD**2
    return torch.ceil(torch.maximum(torch.maximum(decay, conducted), spread)).clamp_min(1)


def fell_too_far(ev: brackets.Evaluation, before: Tensor, after: Tensor) -> Tensor:
    """Whose draw is not to be trusted, shape (n,): its entropy fell by too much of its heat capacity, or is none."""
    there = torch.isfinite(before)
    kept = (after - before) * ev.thermo.inv_c >= -LARGEST_FALL
    return there & ~(kept & torch.isfinite(after))

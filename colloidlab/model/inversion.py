"""The entropy at which a particle has a given internal energy, positions held."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from colloidlab.model.ahead import settled
from colloidlab.model.brackets import Mechanics, thermodynamics
from colloidlab.model.energy import Thermo
from colloidlab.model.laws import Laws

_MOST = 40
_ULPS = 4
"""Round-off of U, in units of its last digit, beyond which nothing is gained."""


def entropy_of_energy(laws: Laws, ev: Mechanics, energy: Tensor, start: Tensor) -> Tensor:
    """S with U(S, V) = energy at the positions of `ev`, shape (n,); the shear of a solid counts.

    Parameters
    ----------
    laws : Laws
    ev : Mechanics
        At the entropies of the start.
    energy, start : tensor, shape (n,)
        See `solve_entropy`.
    """
    return solve_entropy(
        lambda S: thermodynamics(laws, S, ev.volume, ev.strain)[0], energy, start, at_start=ev.thermo
    )


def solve_entropy(
    thermo_at: Callable[[Tensor], Thermo], energy: Tensor, start: Tensor, *, at_start: Thermo | None = None
) -> Tensor:
    """S with U(S) = energy, shape (n,).

    U is increasing and convex in S, so that Newton's steps from above never pass the solution. Steps from below are those
    of an exponential, which an ideal gas has; Newton's own would go much too far. Where no S has so little energy the
    result is minus infinity or NaN; where the energy is that of `start`, it is `start` to the last bit.

    Parameters
    ----------
    thermo_at : callable(S) -> Thermo
    energy, start : tensor, shape (n,)
    at_start : Thermo, optional
        Of `start`, where it is known.
    """
    S, thermo = start, thermo_at(start) if at_start is None else at_start
    least = torch.finfo(energy.dtype).eps * _ULPS
    for n in range(_MOST):
        missing = energy - thermo.U
        done = missing.abs() <= least * energy.abs().clamp_min(thermo.U.abs())
        if settled("entropy of energy", n + 1, (done | ~torch.isfinite(S)).all()):
            break
        step = missing / thermo.T
        up = torch.log1p(step * thermo.inv_c) / thermo.inv_c
        step = torch.where((missing > 0) & (thermo.inv_c > 0), up, step)
        S = torch.where(done, S, S + step)
        thermo = thermo_at(S)
    return S

"""The books of a rollout: what energy and momentum came from where, in double precision whatever the rollout's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from colloidlab.model.tensors import dot, each
from colloidlab.rollout.motion import Fields, Moved
from colloidlab.rollout.state import State

_OF_MOMENTUM = ("impulse", "momentum_drift")
_FLOWS = ("work", "forcing", "heat", "energy_drift", *_OF_MOMENTUM)


@dataclass(frozen=True)
class Budget:
    """Books of one frame; every array has shape (members,) or (members, D).

    energy : total energy of all particles present, px^2/frame^2 per unit mass of a particle, as are all energies here
    work : energy brought since the last frame by moving the prescribed particles, by force fields and by moving images
    forcing : what of it the force fields brought
    heat : energy brought by setting the entropy of the prescribed particles, and by a bath
    energy_drift : energy made by the integrator since the last frame
    momentum, impulse, momentum_drift : momentum, px/frame per unit mass; what came from outside; what the integrator made
    """

    energy: np.ndarray
    work: np.ndarray
    forcing: np.ndarray
    heat: np.ndarray
    energy_drift: np.ndarray
    momentum: np.ndarray
    impulse: np.ndarray
    momentum_drift: np.ndarray


class Books:
    """Sums over the particles of every member.

    Parameters
    ----------
    mass : tensor, shape (n,), or float
    member : int64 tensor, shape (n,)
    simulated : bool tensor, shape (n,)
        Of the force from outside, what acts on the others holds them.
    """

    def __init__(self, mass: Tensor | float, member: Tensor, simulated: Tensor) -> None:
        self._mass = mass.detach().to(torch.float64) if isinstance(mass, Tensor) else mass
        self._simulated = simulated
        self._member = member
        self._members = int(member.max()) + 1

    def open(self, fields: Fields, state: State) -> None:
        """Begin, or go on, from a state."""
        self._energy, self._momentum = self._totals(fields, state)
        self._flows = {
            name: torch.zeros_like(self._momentum if name in _OF_MOMENTUM else self._energy)
            for name in _FLOWS
        }

    def enter(self, free: Moved, held: State, fields: Fields, warmed: Tensor) -> None:
        """Book a step of the laws, and what was then prescribed.

        Parameters
        ----------
        free : Moved
            As the laws and the force fields have it.
        held : State
            The same with the prescribed particles where they belong.
        fields : Fields
            At `held`.
        warmed : tensor, shape (n,)
            U at the free positions with the entropies that were then set; NaN for who was or is not there.
        """
        energy_free, momentum_free = self._totals(free.fields, free.state)
        energy, momentum = self._totals(fields, held)
        bath, kick = self._sum(free.given.bath_energy), self._sum(free.given.bath_momentum)
        outside, push = self._sum(free.given.external_energy), self._sum(free.given.external_momentum)
        outside = outside + self._sum(free.given.image_energy)
        forcing = self._sum(torch.where(self._simulated, free.given.external_energy, 0.0))
        # Setting S at fixed positions is heat; moving r and v (and entering or leaving) is work.
        heated = self._sum(warmed.to(torch.float64) - free.fields.U.to(torch.float64))
        flows = self._flows
        flows["energy_drift"] += energy_free - self._energy - bath - outside
        flows["heat"] += heated + bath
        flows["work"] += energy - energy_free - heated + outside
        flows["forcing"] += forcing
        flows["momentum_drift"] += momentum_free - self._momentum - kick - push
        flows["impulse"] += momentum - momentum_free + kick + push
        self._energy, self._momentum = energy, momentum

    def close(self) -> Budget:
        """The entries since the last call."""
        parts = {"energy": self._energy, "momentum": self._momentum} | self._flows
        budget = Budget(**{name: x.cpu().numpy().copy() for name, x in parts.items()})
        for flow in self._flows.values():
            flow.zero_()
        return budget

    def _sum(self, values: Tensor) -> Tensor:
        """Over the particles that are there, per member."""
        values = values.to(torch.float64)
        out = values.new_zeros((self._members, *values.shape[1:]))
        return out.index_add(0, self._member, torch.nan_to_num(values))

    def _totals(self, fields: Fields, state: State) -> tuple[Tensor, Tensor]:
        v, mass = state.v.to(torch.float64), self._mass
        return self._sum(0.5 * mass * dot(v, v) + fields.internal), self._sum(each(mass, v) * v)

"""Force fields from outside: what is done to every particle at its place and time, in parts that add up.

>>> tilt_and_trap = UniformForce((0.01, 0.0)) + HarmonicTrap(0.002, centre=(128.0, 128.0))

Their work and impulse are booked by the rollout. A drag towards a profile of velocities is not here: without the noise
that belongs to it, it would cool what it drags; `Bath` has both.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from colloidlab.model.tensors import each


class Forcing(ABC):
    """Force on every particle; fields are added with `+`."""

    @abstractmethod
    def __call__(self, r: Tensor, t: float | Tensor) -> Tensor:
        """Force, mass px/frame^2, shape (n, D), at positions of that shape, t frames after the start of the rollout.

        A time is a number, or in steps that are fused a tensor without dimensions; a field must depend on nothing else.
        """

    def on(self, r: Tensor, t: float | Tensor, mass: Tensor | float) -> Tensor:
        """The same on particles of these masses, shape (n,) or one for all; most forces do not ask for them."""
        return self(r, t)

    def __add__(self, other: Forcing) -> Forcing:
        return Sum((self, other))


@dataclass(frozen=True)
class Sum(Forcing):
    """Several fields at once."""

    parts: tuple[Forcing, ...]

    def __call__(self, r: Tensor, t: float | Tensor) -> Tensor:
        return torch.stack([part(r, t) for part in self.parts]).sum(0)

    def on(self, r: Tensor, t: float | Tensor, mass: Tensor | float) -> Tensor:
        return torch.stack([part.on(r, t, mass) for part in self.parts]).sum(0)


@dataclass(frozen=True)
class UniformForce(Forcing):
    """The same for all: a field on equal charges.

    Attributes
    ----------
    force : sequence of float, length D
    """

    force: Sequence[float]

    def __call__(self, r: Tensor, t: float | Tensor) -> Tensor:
        return torch.stack([torch.full_like(r[:, a], f) for a, f in enumerate(self.force)], dim=1)


@dataclass(frozen=True)
class UniformAcceleration(Forcing):
    """A force that goes with the mass, as gravity on a tilted cell: all fall alike.

    Attributes
    ----------
    acceleration : sequence of float, length D, px/frame^2
    """

    acceleration: Sequence[float]

    def __call__(self, r: Tensor, t: float | Tensor) -> Tensor:
        return UniformForce(self.acceleration)(r, t)

    def on(self, r: Tensor, t: float | Tensor, mass: Tensor | float) -> Tensor:
        return each(mass, r) * self(r, t)


@dataclass(frozen=True)
class HarmonicTrap(Forcing):
    """-k (r - r_0), the force of optical tweezers near their focus.

    Attributes
    ----------
    stiffness : float
        k.
    centre : sequence of float, length D
        r_0.
    """

    stiffness: float
    centre: Sequence[float]

    def __call__(self, r: Tensor, t: float | Tensor) -> Tensor:
        return torch.stack([-self.stiffness * (r[:, a] - x) for a, x in enumerate(self.centre)], dim=1)


@dataclass(frozen=True)
class TaylorGreen(Forcing):
    """Cells of vortices that turn against each other: f = F (sin kx cos ky, -cos kx sin ky), k = 2 pi/wavelength.

    Free of divergence, and without net force over a whole cell. Taylor & Green, Proc. R. Soc. A 158, 499 (1937).
    In three dimensions it does not depend on z, and has no part along it.

    Attributes
    ----------
    amplitude : float
        F.
    wavelength : float
        Of two vortices; the length of a periodic box, or a whole part of it.
    """

    amplitude: float
    wavelength: float

    def __call__(self, r: Tensor, t: float | Tensor) -> Tensor:
        x, y = (2 * math.pi / self.wavelength * r[:, :2]).unbind(1)
        out = torch.zeros_like(r)
        out[:, 0] = self.amplitude * torch.sin(x) * torch.cos(y)
        out[:, 1] = -self.amplitude * torch.cos(x) * torch.sin(y)
        return out


@dataclass(frozen=True)
class ShearForce(Forcing):
    """f_x = F sin(2 pi y/wavelength): shears without net force, and drives Kolmogorov's flow.

    Attributes
    ----------
    amplitude : float
        F.
    wavelength : float
        The length of a periodic box along y, or a whole part of it.
    """

    amplitude: float
    wavelength: float

    def __call__(self, r: Tensor, t: float | Tensor) -> Tensor:
        out = torch.zeros_like(r)
        out[:, 0] = self.amplitude * torch.sin(2 * math.pi / self.wavelength * r[:, 1])
        return out


@dataclass(frozen=True)
class Oscillating(Forcing):
    """A field times cos(2 pi t/period + phase).

    Attributes
    ----------
    field : Forcing
    period : float
        Frames.
    phase : float
    """

    field: Forcing
    period: float
    phase: float = 0.0

    def __call__(self, r: Tensor, t: float | Tensor) -> Tensor:
        turn = 2 * math.pi * t / self.period + self.phase
        return (torch.cos(turn) if isinstance(turn, Tensor) else math.cos(turn)) * self.field(r, t)

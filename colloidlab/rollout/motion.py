"""What moves the particles of a rollout by the laws alone, and what it tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from colloidlab.errors import UsageError
from colloidlab.model.laws import Laws
from colloidlab.rollout.state import State


@dataclass(frozen=True)
class Fields:
    """What the books and the reader need of a configuration, tensors of shape (n,).

    Attributes
    ----------
    temperature : T
    U : energy of the particle itself
    internal : U, and half of the potential of each pair
    """

    temperature: Tensor
    U: Tensor
    internal: Tensor


@dataclass(frozen=True)
class Given:
    """What has come from outside in a step, tensors of shape (n, D) and (n,).

    Attributes
    ----------
    bath_momentum, bath_energy : from a bath; zero without one
    external_momentum, external_energy : from force fields, and from what holds the held particles
    image_energy : from the images that a shear box moves; zero without one
    parts : int
        In which friction, noise and heat were taken, at the most.
    """

    bath_momentum: Tensor
    bath_energy: Tensor
    external_momentum: Tensor
    external_energy: Tensor
    image_energy: Tensor
    parts: int


@dataclass(frozen=True)
class Moved:
    """Outcome of a step."""

    state: State
    fields: Fields
    given: Given


def check_shear(laws: Laws, wind: float, integrator: str = "conserving") -> None:
    """Can these laws be followed by this integrator where images move with velocity `wind`?

    Raises
    ------
    UsageError
    """
    if wind and integrator == "euler_maruyama":
        raise UsageError(
            "the published integrator does not book the work of a shear box: take conserving or implicit"
        )
    if wind and laws.bath is not None:
        raise UsageError(
            "a bath at rest would hold back what a shear box moves: take the bath out of the laws, or give a periodic box"
        )


class Motion(Protocol):
    """The motion of all particles by the laws and by force fields."""

    def place(self, state: State, t: float | None = None) -> Fields:
        """Go on from this state at this time [that of the last step, or zero], which moves the images of a shear box."""

    def step(self, dt: float, index: int) -> Moved:
        """One step of length dt; `index`, from the start of the rollout, chooses the noise and says the time."""

    def energy_at(self, S: Tensor) -> Tensor:
        """U of every particle with other entropies where the last step has ended, shape (n,); ask before `place`."""

    def search_again(self) -> None:
        """Look for neighbours anew at the next configuration: particles have entered or left."""

    @property
    def misses(self) -> int:
        """How often a table did not hold what it was asked."""

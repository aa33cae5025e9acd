"""A complete law of motion: kernel, energy, friction, cutoff and the gauge."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

from colloidlab.model.bath import Bath
from colloidlab.model.energy import Thermo
from colloidlab.model.friction import PairAmplitudes
from colloidlab.model.inertia import Labelled
from colloidlab.model.kernel import KernelValues
from colloidlab.model.potential import PotentialValues
from colloidlab.model.shear import ShearState


class Energy(Protocol):
    """What the brackets need of an energy."""

    def __call__(self, S: Tensor, V: Tensor) -> Thermo: ...

    def entropy(self, T: Tensor, V: Tensor) -> Tensor: ...


class Kernel(Protocol):
    """What the brackets need of a kernel: W, and W(0), by which a particle counts in its own density.

    Laws of mixtures take the kind of every pair as well (`species`), here and below.
    """

    def __call__(self, x: Tensor) -> KernelValues: ...

    def at_zero(self) -> Tensor: ...


class Amplitudes(Protocol):
    """What the brackets need of the friction amplitudes."""

    def __call__(self, x: Tensor, T_i: Tensor, T_j: Tensor) -> PairAmplitudes: ...


class Shear(Protocol):
    """What the brackets need of the shear energy of a solid."""

    def __call__(self, S: Tensor, invariant: Tensor) -> ShearState: ...


class Potential(Protocol):
    """What the brackets need of a pair potential."""

    def __call__(self, x: Tensor) -> PotentialValues: ...


class Laws(nn.Module):
    """Kernel, energy and amplitudes, with the constants that fix the gauge.

    Parameters
    ----------
    kernel, energy, amplitudes : nn.Module
        See `Kernel`, `Energy` and `Amplitudes`.
    cutoff : float
        h, the range of every interaction between two particles of mean size.
    mass, k_B : float
        Both 1 for a law fitted to a video: rescaling S, T, U and the amplitudes together with them
        changes no trajectory, so they cannot be learned and must not be free.
    shear : nn.Module, optional
        Shear energy of a solid, see `Shear`; it needs the strain at every evaluation.
    potential : nn.Module, optional
        Pair potential, see `Potential`.
    bath : Bath, optional
        Solvent or substrate at rest.
    inertia : nn.Module, optional
        Masses of particles that are not all alike, see `Inertia`.
    """

    def __init__(
        self,
        kernel: nn.Module,
        energy: nn.Module,
        amplitudes: nn.Module,
        cutoff: float,
        mass: float = 1.0,
        k_B: float = 1.0,
        *,
        shear: nn.Module | None = None,
        potential: nn.Module | None = None,
        bath: Bath | None = None,
        inertia: nn.Module | None = None,
    ) -> None:
        super().__init__()
        # Modules for their parameters, but called through the protocols above.
        self.kernel: Any = kernel
        self.energy: Any = energy
        self.amplitudes: Any = amplitudes
        self.cutoff = cutoff
        self.mass = mass
        self.k_B = k_B
        self.shear: Any = shear
        self.potential: Any = potential
        self.bath = bath
        self.inertia: Any = inertia

    def mass_of(self, particles: Labelled) -> Tensor | float:
        """m of every particle, shape (n,); one number where all are alike."""
        return self.mass if self.inertia is None else self.mass * self.inertia(particles)

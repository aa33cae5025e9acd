"""Masses of particles that are not all alike, in units of the mass of the laws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from colloidlab.errors import UsageError
from colloidlab.model.tensors import float64


class Labelled(Protocol):
    """What tells particles apart: `Pairs` and lists of neighbours do."""

    @property
    def species(self) -> Tensor | None: ...

    @property
    def scale(self) -> Tensor | None: ...


class Inertia(Protocol):
    """What the laws need to know of masses: those of all particles over `Laws.mass`, shape (n,)."""

    def __call__(self, particles: Labelled) -> Tensor: ...


class SpeciesMasses(nn.Module):
    """One mass for every species; that of the first is the unit.

    Momentum that two particles exchange changes the velocity of either by its own mass, so that the ratio shows in
    their motion, where no mass itself does.

    Parameters
    ----------
    log_ratios : sequence of float
        ln m_1/m_0, ln m_2/m_0, ...
    """

    def __init__(self, log_ratios: Sequence[float]) -> None:
        super().__init__()
        self.log_ratios = nn.Parameter(float64(list(log_ratios)))

    @property
    def n_species(self) -> int:
        """Of how many species these are the masses."""
        return len(self.log_ratios) + 1

    def forward(self, particles: Labelled) -> Tensor:
        """Shape (n,)."""
        if particles.species is None:
            raise UsageError("masses of species need the labels of the particles: give `species`")
        all_logs = torch.cat([self.log_ratios.new_zeros(1), self.log_ratios])
        return all_logs.exp().index_select(0, particles.species)


class SizeMasses(nn.Module):
    """m = (R/R_mean)^p, of particles of one material: p is 3 for spheres, 2 for discs."""

    exponent: Tensor

    def __init__(self, exponent: float) -> None:
        super().__init__()
        self.register_buffer("exponent", float64(exponent))

    def forward(self, particles: Labelled) -> Tensor:
        """Shape (n,)."""
        if particles.scale is None:
            raise UsageError("masses that go with sizes need the radii of the particles: give `scale`")
        return particles.scale**self.exponent

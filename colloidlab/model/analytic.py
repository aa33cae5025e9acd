"""Energies whose physics is known in closed form: ground truth for tests, benchmarks and samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from colloidlab.model.energy import SumOfExponentials, Thermo
from colloidlab.model.tensors import float64


def ideal_gas(
    heat_capacity: float, compressibility: float, temperature: float, volume: float
) -> SumOfExponentials:
    """U = c T0 exp(S/c) (V/V0)^(-z/c): constant heat capacity c, and P V = z T.

    Parameters
    ----------
    heat_capacity : float
        c, k_B.
    compressibility : float
        z = P V/(k_B T); 1 for the ideal gas of particles without volume.
    temperature, volume : float
        T0 and V0, the state of S = 0.
    """
    return SumOfExponentials(
        [math.log(heat_capacity * temperature)],
        [heat_capacity],
        [compressibility / heat_capacity],
        [],
        [],
        volume,
    )


class HarmonicEnergy(nn.Module):
    """U = c T0 exp(S/c) + K/2 (ln V/V0)^2: a spring in the volume, whose pressure is negative beyond V0.

    Parameters
    ----------
    heat_capacity : float
        c, k_B.
    stiffness : float
        K, energy.
    temperature, volume : float
        T0, the temperature of S = 0, and V0.
    """

    def __init__(self, heat_capacity: float, stiffness: float, temperature: float, volume: float) -> None:
        super().__init__()
        values = torch.log(float64([heat_capacity, stiffness, temperature, volume]))
        self.log_values = nn.Parameter(values)

    def forward(self, S: Tensor, V: Tensor) -> Thermo:
        c, stiffness, T0, V0 = self.log_values.exp()
        stretch = torch.log(V / V0)
        T = T0 * torch.exp(S / c)
        return Thermo(
            U=c * T + 0.5 * stiffness * stretch**2,
            T=T,
            P=-stiffness * stretch / V,
            inv_c=(1 / c).expand_as(T),
            P_V=stiffness * (stretch - 1) / V**2,
        )

    def entropy(self, T: Tensor, V: Tensor) -> Tensor:
        """S at which the temperature is T; it does not depend on V."""
        c, _, T0, _ = self.log_values.exp()
        return c * torch.log(T / T0)

"""A solvent or a substrate at rest: drag on every particle, and the noise that belongs to it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from colloidlab.errors import UsageError
from colloidlab.model.tensors import float64


class Bath(nn.Module):
    """m dv_i = -gamma v_i dt + sqrt(2 gamma k_B T_b) dw_i beside all other forces.

    Energy and momentum go to and come from it, so that those of the particles alone are not conserved; rollouts book
    what is exchanged.

    Parameters
    ----------
    friction : float
        gamma, mass per time.
    temperature : float
        T_b.
    fixed_temperature : bool
        The temperature is known (that of the room) and not fitted.
    """

    def __init__(self, friction: float, temperature: float, *, fixed_temperature: bool = True) -> None:
        super().__init__()
        if not (friction > 0 and temperature > 0):
            raise UsageError(
                f"a bath of friction {friction} and temperature {temperature} has no logarithms; give both above 0, or "
                "leave the bath out"
            )
        self.log_friction = nn.Parameter(torch.log(float64(friction)))
        self.log_temperature = nn.Parameter(
            torch.log(float64(temperature)), requires_grad=not fixed_temperature
        )

    @property
    def friction(self) -> Tensor:
        return self.log_friction.exp()

    @property
    def temperature(self) -> Tensor:
        return self.log_temperature.exp()

    def noise_strength(self, k_B: float) -> Tensor:
        """2 gamma k_B T_b: variance of the impulse on one component per unit time."""
        return 2 * k_B * self.friction * self.temperature

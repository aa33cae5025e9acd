"""Energy of shear in a solid: what a particle's neighbourhood resists beside a change of its volume."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colloidlab.model.tensors import float64


@dataclass(frozen=True)
class ShearState:
    """Shear energy of every particle and its derivatives with S and I, each of shape (n,).

    Attributes
    ----------
    U : energy
    T, T_S : dU/dS and d^2U/dS^2, which add to those of the volume
    U_I, U_II : dU/dI and d^2U/dI^2 at constant entropy
    """

    U: Tensor
    T: Tensor
    T_S: Tensor
    U_I: Tensor
    U_II: Tensor


class PowerLawShear(nn.Module):
    """U_dev(S, I) = sum_k exp(g_k + alpha_k S) I^(m_k), with alpha_k >= 0 and whole m_k = 1, 2, ...

    I = dev E : dev E of `measure_strain`. The first term alone is Saint Venant and Kirchhoff's solid, whose shear modulus
    times the particle's volume is exp(g_1 + alpha_1 S); alpha = 0 where it does not depend on temperature. Temperature
    and heat capacity stay positive for all parameters.

    Parameters
    ----------
    log_moduli : sequence of float
        g_1, g_2, ...; the exponent of I is the place in the sequence.
    heat_capacities : sequence of float
        1/alpha_k, k_B; infinity for a modulus without temperature.
    """

    alpha_is_free: Tensor

    def __init__(self, log_moduli: list[float], heat_capacities: list[float]) -> None:
        super().__init__()
        capacity = float64(heat_capacities)
        self.log_moduli = nn.Parameter(float64(log_moduli))
        self.register_buffer("alpha_is_free", torch.isfinite(capacity))
        self.log_alpha = nn.Parameter(-torch.log(torch.where(self.alpha_is_free, capacity, 1.0)))

    def forward(self, S: Tensor, invariant: Tensor) -> ShearState:
        alpha = torch.where(self.alpha_is_free, self.log_alpha.exp(), torch.zeros_like(self.log_alpha))
        modulus = torch.exp(self.log_moduli + alpha * S[:, None])
        m = torch.arange(1, len(alpha) + 1, dtype=S.dtype, device=S.device)
        base = invariant[:, None]
        u = modulus * base**m
        return ShearState(
            U=u.sum(1),
            T=(alpha * u).sum(1),
            T_S=(alpha**2 * u).sum(1),
            U_I=(modulus * m * base ** (m - 1)).sum(1),
            U_II=(modulus * m * (m - 1) * base ** (m - 2).clamp_min(0)).sum(1),
        )

"""Internal energy U(S, V) of one particle and what thermodynamics makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colloidlab.errors import UsageError
from colloidlab.model.tensors import float64

_STEPS = 60
"""Of Newton's method, which needs a handful."""


@dataclass(frozen=True)
class Thermo:
    """Thermodynamic state of every particle, each of shape (n,).

    Attributes
    ----------
    U : internal energy
    T : temperature dU/dS > 0
    P : pressure -dU/dV
    inv_c : 1/c with c = T/(dT/dS) the heat capacity at constant volume; 0 for an isothermal law
    P_V : dP/dV at constant S, negative for a stable fluid
    """

    U: Tensor
    T: Tensor
    P: Tensor
    inv_c: Tensor
    P_V: Tensor


class SumOfExponentials(nn.Module):
    """U(S, V) = sum_k exp(a_k + alpha_k S - beta_k ln(V/V0)) with beta_k > 0, and alpha_k > 0 or 0.

    Convex in (S, ln V), increasing in S and decreasing in V, so temperature, heat
    capacity and pressure are positive for every choice of parameters. One thermal term
    with beta = R/c is the ideal gas of constant heat capacity c = 1/alpha. Terms with
    alpha = 0 are cold: elastic energy that needs no temperature.

    Parameters
    ----------
    log_amplitudes, heat_capacities, exponents : sequence of float
        a_k, c_k = 1/alpha_k and beta_k of the thermal terms.
    cold_log_amplitudes, cold_exponents : sequence of float
        a_k and beta_k of the cold terms.
    reference_volume : float
        V0.
    least_heat_capacity : float
        c_0, less than which c is at no state: 1/alpha_k = c_0 + exp(-x_k) with the free parameters x_k, and 1/c is a mean of
        the alpha_k, which the temperatures of the terms weigh. With c_0 = k_B friction slows in every state.

    Raises
    ------
    UsageError
        There is no thermal term, so that nothing has a temperature, or a number has no logarithm.
    """

    log_reference_volume: Tensor

    def __init__(
        self,
        log_amplitudes: list[float],
        heat_capacities: list[float],
        exponents: list[float],
        cold_log_amplitudes: list[float],
        cold_exponents: list[float],
        reference_volume: float = 1.0,
        *,
        least_heat_capacity: float = 0.0,
    ) -> None:
        super().__init__()
        least = least_heat_capacity
        if not len(heat_capacities) or not all(c > least >= 0 for c in heat_capacities):
            raise UsageError(f"heat capacities {heat_capacities}: give one or more, above {least:g}")
        if not (all(b > 0 for b in [*exponents, *cold_exponents]) and reference_volume > 0):
            raise UsageError("exponents and the reference volume must be above 0: their logarithms are taken")
        self.log_amplitudes = nn.Parameter(float64([*log_amplitudes, *cold_log_amplitudes]))
        self.least_heat_capacity = least
        self.log_alpha = nn.Parameter(-torch.log(float64(heat_capacities) - least))
        self.log_beta = nn.Parameter(torch.log(float64([*exponents, *cold_exponents])))
        self.register_buffer("log_reference_volume", torch.log(float64(reference_volume)))
        self.n_cold = len(cold_exponents)

    @property
    def heat_capacities(self) -> Tensor:
        """c_k of the thermal terms."""
        return 1 / self._alpha()

    def _alpha(self) -> Tensor:
        free = self.log_alpha.exp()
        return free / (1 + self.least_heat_capacity * free)

    def _terms(self, S: Tensor, V: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        alpha = torch.cat([self._alpha(), self.log_alpha.new_zeros(self.n_cold)])
        beta = self.log_beta.exp()
        log_v = torch.log(V) - self.log_reference_volume
        return torch.exp(self.log_amplitudes + alpha * S[:, None] - beta * log_v[:, None]), alpha, beta

    def forward(self, S: Tensor, V: Tensor) -> Thermo:
        u, alpha, beta = self._terms(S, V)
        T = (u * alpha).sum(1)
        T_S = (u * alpha**2).sum(1)
        return Thermo(
            U=u.sum(1),
            T=T,
            P=(u * beta).sum(1) / V,
            inv_c=T_S / T,
            P_V=-(u * beta * (beta + 1)).sum(1) / V**2,
        )

    def entropy(self, T: Tensor, V: Tensor) -> Tensor:
        """S at which the temperature is T, by Newton's method on ln T.

        ln T is convex and rises with S, and no thermal term alone has more than T: from where the hottest of them has just
        that, every step goes down, and none too far.

        Raises
        ------
        UsageError
            No entropy has this temperature.
        """
        u, alpha, _ = self._terms(torch.zeros_like(V), V)
        thermal = slice(len(alpha) - self.n_cold)
        alone = torch.log((u * alpha)[:, thermal])
        S = ((torch.log(T)[:, None] - alone) / alpha[thermal]).min(1).values
        for _ in range(_STEPS):
            state = self(S, V)
            step = (torch.log(T) - torch.log(state.T)) / state.inv_c
            S = S + step
            if float(step.detach().abs().max()) < 1e-12 * (1 + float(S.detach().abs().max())):
                return S
        missing = torch.log(self(S, V).T) - torch.log(T)
        # What is absent has no temperature; single precision ends with its last digits.
        if not bool((torch.isnan(T) | (missing.abs() < torch.finfo(T.dtype).eps ** 0.5)).all()):
            raise UsageError(
                f"temperatures from {T.min().item():.3g} to {T.max().item():.3g} lie outside what this "
                "energy can reach; give temperatures above 0, and volumes too"
            )
        return S


class Isothermal(nn.Module):
    """The same temperature for every particle at all times; pressure depends on volume only.

    U = sum_k exp(a_k - beta_k ln(V/V0)) + T S. The honest baseline and the warm start of
    the fit with entropy: dissipative particle dynamics with a many-body force.
    """

    log_reference_volume: Tensor

    def __init__(
        self, log_temperature: float, log_amplitudes: list[float], exponents: list[float], V0: float
    ) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(float64(log_temperature))
        self.log_amplitudes = nn.Parameter(float64(log_amplitudes))
        self.log_beta = nn.Parameter(torch.log(float64(exponents)))
        self.register_buffer("log_reference_volume", torch.log(float64(V0)))

    def forward(self, S: Tensor, V: Tensor) -> Thermo:
        beta = self.log_beta.exp()
        log_v = torch.log(V) - self.log_reference_volume
        u = torch.exp(self.log_amplitudes - beta * log_v[:, None])
        T = self.log_temperature.exp().expand_as(V)
        return Thermo(
            U=u.sum(1) + T * S,
            T=T,
            P=(u * beta).sum(1) / V,
            inv_c=torch.zeros_like(V),
            P_V=-(u * beta * (beta + 1)).sum(1) / V**2,
        )

    def entropy(self, T: Tensor, V: Tensor) -> Tensor:
        """Any S will do; zero."""
        return torch.zeros_like(V)

"""Values of a small network together with its derivatives along one input, without a second graph.

Forces need W' and W'', temperatures and pressures the derivatives of U: carrying them through the layers costs a matrix
product each instead of a backward pass, and training differentiates through them as through anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Jet:
    """A quantity and its first two derivatives along one input, each of shape (n, features)."""

    value: Tensor
    first: Tensor
    second: Tensor

    def linear(self, weight: Tensor, bias: Tensor) -> Jet:
        """The jet of W x + b; `weight` has shape (out, in)."""
        return Jet(functional.linear(self.value, weight, bias), self.first @ weight.T, self.second @ weight.T)

    def through(self, activation: Activation) -> Jet:
        """The jet of a function of every feature."""
        value, slope, curvature = activation(self.value, 2)
        return Jet(value, slope * self.first, curvature * self.first**2 + slope * self.second)

    def column(self) -> tuple[Tensor, Tensor, Tensor]:
        """Value and derivatives of a single feature, each of shape (n,)."""
        return self.value[:, 0], self.first[:, 0], self.second[:, 0]


class Activation(Protocol):
    """A function of every element and its derivatives up to an order of at most 3.

    With `out`, order + 2 arrays of the shape of z, the results are written into these, in their order, the last one being
    scratch; for an order of at most 2.
    """

    def __call__(self, z: Tensor, order: int = 2, out: list[Tensor] | None = None) -> list[Tensor]: ...


def along(inputs: Tensor, axis: int) -> Jet:
    """The jet of the inputs themselves, shape (n, features), along one of them."""
    first = torch.zeros_like(inputs)
    first[:, axis] = 1.0
    return Jet(inputs, first, torch.zeros_like(inputs))


def propagate(
    inputs: Tensor, axis: int, layers: Sequence[tuple[Tensor, Tensor]], activation: Activation
) -> Jet:
    """Carry inputs through layers of (weight, bias), the activation between them; plain operations of torch.

    What `chunks.network_jet` computes faster; its derivatives of any order are those of autograd.
    """
    jet = along(inputs, axis)
    for k, (weight, bias) in enumerate(layers):
        jet = jet.linear(weight, bias)
        if k < len(layers) - 1:
            jet = jet.through(activation)
    return jet


def silu(z: Tensor, order: int = 2, out: list[Tensor] | None = None) -> list[Tensor]:
    """z sigma(z), with sigma the logistic function."""
    if out is not None:
        return _silu_into(z, order, out)
    s = torch.sigmoid(z)
    h = z * s
    found = [h]
    if order > 0:
        found.append(torch.lerp(h, _one(s.dtype, s.device), s))  # h + s (1 - h)
    if order > 1:
        inner = (s + found[1]).addcmul_(h, s, value=-1)
        found.append(torch.addcmul(inner, inner, s, value=-1))  # (1 - s)(s (1 - h) + f')
    if order > 2:
        ds = s * (1 - s)
        found.append(ds * ((1 - 2 * s) * (1 - h) - 2 * found[1]) + found[2] * (1 - s))
    return found


def _silu_into(z: Tensor, order: int, out: list[Tensor]) -> list[Tensor]:
    *found, s = out[: order + 2]
    torch.sigmoid(z, out=s)
    h = torch.mul(z, s, out=found[0])
    if order > 0:
        torch.lerp(h, _one(s.dtype, s.device), s, out=found[1])
    if order > 1:
        torch.add(s, found[1], out=found[2]).addcmul_(h, s, value=-1)
        found[2].addcmul_(found[2], s, value=-1)
    return found


def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    # What is made while a graph is traced is no tensor to keep.
    return _new_one(dtype, device) if torch.compiler.is_exporting() else _kept_one(dtype, device)


def _new_one(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.ones((), dtype=dtype, device=device)


_kept_one = cache(_new_one)


def softplus(z: Tensor, order: int = 2, out: list[Tensor] | None = None) -> list[Tensor]:
    """ln(1 + exp(z))."""
    if out is not None:
        return _softplus_into(z, order, out)
    found = [functional.softplus(z, threshold=40.0)]
    if order > 0:
        s = torch.sigmoid(z)
        ds = s * (1 - s)
        found += [s, ds, ds * (1 - 2 * s)][:order]
    return found


def _softplus_into(z: Tensor, order: int, out: list[Tensor]) -> list[Tensor]:
    found = out[: order + 1]
    found[0].copy_(functional.softplus(z, threshold=40.0))
    if order > 0:
        torch.sigmoid(z, out=found[1])
    if order > 1:
        torch.mul(found[1], 1 - found[1], out=found[2])
    return found

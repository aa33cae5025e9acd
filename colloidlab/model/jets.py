"""Values of a small network together with its first two derivatives along one input, without a second graph.

Forces need W' and W'', temperatures and pressures the derivatives of U: carrying them through the layers costs three
matrix products instead of a backward pass, and training differentiates through them as through anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
        value, slope, curvature = activation(self.value)
        return Jet(value, slope * self.first, curvature * self.first**2 + slope * self.second)

    def column(self) -> tuple[Tensor, Tensor, Tensor]:
        """Value and derivatives of a single feature, each of shape (n,)."""
        return self.value[:, 0], self.first[:, 0], self.second[:, 0]


Activation = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""Value, slope and curvature of a function."""


def along(inputs: Tensor, axis: int) -> Jet:
    """The jet of the inputs themselves, shape (n, features), along one of them."""
    first = torch.zeros_like(inputs)
    first[:, axis] = 1.0
    return Jet(inputs, first, torch.zeros_like(inputs))


def silu(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """z sigma(z), with sigma the logistic function."""
    s = torch.sigmoid(z)
    return z * s, s * (1 + z * (1 - s)), s * (1 - s) * (2 + z * (1 - 2 * s))


def softplus(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ln(1 + exp(z))."""
    s = torch.sigmoid(z)
    return functional.softplus(z, threshold=40.0), s, s * (1 - s)

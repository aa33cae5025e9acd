"""The kernel W(x) that turns distances into local density."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colloidlab.model.tensors import float64


@dataclass(frozen=True)
class KernelValues:
    """W and its first two derivatives with respect to the reduced distance x, each shape (n_pairs,)."""

    w: Tensor
    dw: Tensor
    d2w: Tensor


class RadialKernel(nn.Module):
    """W(x) = (1 - x)^4 (1 + 4x) exp(x q(x)): non-negative, zero at x = 1 with two derivatives.

    The Wendland C2 function carries the cutoff; the polynomial q, with `n_terms`
    coefficients (zero: the plain Wendland kernel), is what can be learned. W(0) = 1,
    because the scale of W is not observable: it only sets the unit of volume.
    """

    def __init__(self, n_terms: int = 3) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(float64([0.0] * n_terms))

    def at_zero(self) -> Tensor:
        """W(0) = 1."""
        return self.coefficients.new_ones(())

    def forward(self, x: Tensor) -> KernelValues:
        y = 1 - x
        w0 = y**4 * (1 + 4 * x)
        dw0 = -20 * x * y**3
        d2w0 = -20 * y**2 * (1 - 4 * x)
        p, dp, d2p = self._exponent(x)
        f = torch.exp(p)
        return KernelValues(
            w=w0 * f,
            dw=(dw0 + w0 * dp) * f,
            d2w=(d2w0 + 2 * dw0 * dp + w0 * (d2p + dp**2)) * f,
        )

    def _exponent(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """p(x) = sum_k a_k x^k from k = 1 (it vanishes at 0, so that W(0) = 1), and its derivatives."""
        n = len(self.coefficients)
        powers = [torch.ones_like(x)]
        for _ in range(n):
            powers.append(powers[-1] * x)
        basis = torch.stack(powers, dim=1)
        k = torch.arange(1, n + 1, dtype=x.dtype, device=x.device)
        once = k * self.coefficients
        twice = (k - 1) * once
        return basis[:, 1:] @ self.coefficients, basis[:, :-1] @ once, basis[:, : n - 1] @ twice[1:]

"""Laws from an expected score: G(theta) = 0, where G is the data's score less that of simulations by the laws themselves.

| symbol | name | meaning |
|---|---|---|
| G | gradient | what is to vanish |
| H | information | by how much it falls with each parameter |
| J_s | scatter | variance of the simulated score, in whose place another simulation would have another |
| theta - theta_0 | pull | how far the laws have come from the optimum of the likelihood alone |

theta_0 has the data's scatter in it, and G has not: there the data's score is zero. What G knows is the likelihood's bias,
theta* - theta_0 on average, against a prior of about one around zero:

    L = H J_s^-1 H,    d = (L + 1)^-1 [H J_s^-1 G - (theta - theta_0)],    Cov(bias) = (L + 1)^-1

Where scores scatter but hardly depend on a parameter, such as that of conduction, it is left to the likelihood; Newton's
steps would chase the scatter round after round. J_s is taken to be no less than (1/s)(H + 1), for a simulation s times as
long as the data: by chance a sum over pairs of scores may have directions of hardly any variance, or of less than none.

References
----------
Gouriéroux, Monfort & Renault, J. Appl. Econometrics 8, S85 (1993); Hansen, Econometrica 50, 1029 (1982).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TRUST = 0.7
"""Largest change of a parameter in one step; all are logarithms, exponents or coefficients of them."""
ROUNDING = 1e-13
"""Of the largest eigenvalue; smaller ones are numerical noise."""
_DOUBLINGS, _BISECTIONS = 200, 20


@dataclass(frozen=True)
class ScoreEquation:
    """See the head of this module; matrices of shape (p, p), and vectors (p,).

    Attributes
    ----------
    information, scatter : tensor, shape (p, p)
    gradient, pull : tensor, shape (p,)
    """

    information: Tensor
    scatter: Tensor
    gradient: Tensor
    pull: Tensor

    @property
    def is_number(self) -> bool:
        """False for laws that have been led out of their domain."""
        return all(bool(torch.isfinite(part).all()) for part in vars(self).values())

    def distance(self, scatter: Tensor | None = None) -> float:
        """G^T J_s^-1 G + |theta - theta_0|^2; equations are told apart by one scatter for all [its own]."""
        if not self.is_number:
            return float("nan")
        scatter = self.scatter if scatter is None else scatter
        weighed = self.gradient @ torch.linalg.solve(scatter, self.gradient)
        return float(weighed + self.pull @ self.pull)

    def shift(self, prior: float = 1.0) -> Tensor:
        """The likeliest d, where the prior has this precision; NaN where there is none."""
        if not self.is_number:
            return torch.full_like(self.gradient, torch.nan)
        weighed = torch.linalg.solve(self.scatter, self.information)  # J_s^-1 H
        return torch.linalg.solve(self._precision(prior), weighed.T @ self.gradient - self.pull)

    def covariance(self) -> Tensor:
        """Of the bias that was found."""
        if not self.is_number:
            return torch.full_like(self.information, torch.nan)
        return torch.linalg.inv(self._precision(1.0))

    def step(self) -> Tensor:
        """Towards d, with a prior around the present values that is as strong as keeps each of them within `TRUST`."""
        found, low, high = self.shift(), 0.0, 0.0
        if not self.is_number or _longest(found) <= TRUST:
            return found
        for _ in range(_DOUBLINGS):
            low, high = high, 2 * high + 1
            if _longest(self.shift(1 + high)) <= TRUST:
                break
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if _longest(self.shift(1 + middle)) <= TRUST else (middle, high)
        return self.shift(1 + high)

    def _precision(self, prior: float) -> Tensor:
        told = self.information @ torch.linalg.solve(self.scatter, self.information)
        one = torch.eye(len(told), dtype=told.dtype, device=told.device)
        return 0.5 * (told + told.T) + prior * one


def score_equation(
    information: Tensor, variation: Tensor, share: float, gradient: Tensor, pull: Tensor
) -> ScoreEquation:
    """The equation where the data's score varies by J, `variation`, and the simulated one by 1/s, `share`, of that."""
    if not bool(torch.isfinite(information).all() & torch.isfinite(variation).all()):
        return ScoreEquation(information, torch.full_like(variation, torch.nan), gradient, pull)
    one = torch.eye(len(gradient), dtype=gradient.dtype, device=gradient.device)
    root, inverse_root = roots(information + one)
    values, vectors = torch.linalg.eigh(symmetric(inverse_root @ variation @ inverse_root.T))
    back = root.T @ vectors
    scatter = share * symmetric((back * values.clamp_min(1.0)) @ back.T)
    return ScoreEquation(information, scatter, gradient, pull)


def roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """R with R^T R = a positive matrix, and its inverse, transposed: Q with Q matrix Q^T = 1."""
    # Scores of parameters may differ by many orders of magnitude, so that rounding in one would outweigh the others.
    scale = matrix.diagonal().sqrt()
    values, vectors = torch.linalg.eigh(matrix / torch.outer(scale, scale))
    size = values.clamp_min(ROUNDING * values.max()).sqrt()
    return (vectors * size).T * scale, (vectors / size).T / scale


def symmetric(matrix: Tensor) -> Tensor:
    """Without what rounding has made of it."""
    return 0.5 * (matrix + matrix.T)


def _longest(step: Tensor) -> float:
    return float(step.abs().max())

"""Splines of one and two variables in torch, with their derivatives: what tabulated laws are made of.

Fifth-degree B-splines have four continuous derivatives and reproduce a smooth function, and two of its derivatives,
to many digits from some dozen points. References: de Boor, A Practical Guide to Splines (1978), ch. X.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np
import torch
from scipy.interpolate import make_interp_spline
from torch import Tensor, nn

from colloidlab.errors import UsageError

DEGREE = 5


@dataclass(frozen=True)
class Axis:
    """Range of one variable of a table: name (for messages), limits, and number of points."""

    name: str
    low: float
    high: float
    points: int

    @property
    def step(self) -> float:
        """Distance of two points."""
        return (self.high - self.low) / (self.points - 1)

    def grid(self) -> np.ndarray:
        """The points of the table, evenly over the range."""
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high and self.points > DEGREE):
            raise UsageError(
                f"a table of {self.name} from {self.low:g} to {self.high:g} with {self.points} points is none; give "
                f"a rising range and more than {DEGREE} points"
            )
        return np.linspace(self.low, self.high, self.points)

    def holds(self, values: Tensor) -> Tensor:
        """Bool of every value: is it within the range? NaN is let through, and makes NaN of what is looked up."""
        return ~((values < self.low) | (values > self.high))


class Spline(nn.Module):
    """Interpolation on a grid of one or two variables, outside of which nothing is known (`Axis.holds`).

    Kept as one polynomial a cell, whose values and derivatives are a few products. Beyond the grid the polynomial of the
    last cell goes on, which is no answer: whoever asks must not use it.

    Parameters
    ----------
    axes : sequence of Axis
        One or two.
    values : float array, shape (points of each axis)
    """

    coefficients: Tensor

    def __init__(self, axes: list[Axis], values: np.ndarray) -> None:
        super().__init__()
        self.axes = axes
        coefficients = np.asarray(values, dtype=float)
        for k, axis in enumerate(axes):
            # Every axis is replaced by its cells, and the powers within a cell come last.
            coefficients = np.moveaxis(coefficients, k, 0)
            coefficients = np.moveaxis(_cells(axis.grid(), coefficients), 0, k)
        self.register_buffer("coefficients", torch.as_tensor(np.ascontiguousarray(coefficients)))

    def forward(self, *at: Tensor) -> tuple[Tensor, ...]:
        """Value, and first and second derivative along the first variable, then along the second; each shape (n,)."""
        cells, powers = [], []
        for axis, x in zip(self.axes, at, strict=True):
            place = (x - axis.low) / axis.step
            cell = torch.nan_to_num(place.detach()).floor().clamp(0, axis.points - 2)
            cells.append(cell.long())
            powers.append(_powers(place - cell, axis.step))
        local = self.coefficients[tuple(cells)]
        if len(at) == 1:
            return tuple((local * p).sum(1) for p in powers[0])
        (value, first, second), (across, across1, across2) = powers
        along = _inner(local, across)
        return (
            (along * value).sum(1),
            (along * first).sum(1),
            (along * second).sum(1),
            (_inner(local, across1) * value).sum(1),
            (_inner(local, across2) * value).sum(1),
        )


def _inner(local: Tensor, powers: Tensor) -> Tensor:
    """Sums over the last axis of (n, a, b) with (n, b)."""
    if torch.compiler.is_exporting():
        # In a graph that is fused the products never leave the registers; as operations of their own they fill the memory.
        return (local * powers[:, None, :]).sum(2)
    return torch.einsum("nab,nb->na", local, powers)


def _cells(grid: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Polynomials of every cell in t from 0 to 1 along the first axis; shape (cells, ..., DEGREE + 1)."""
    spline = make_interp_spline(grid, values, k=DEGREE)
    step = grid[1] - grid[0]
    powers = [spline.derivative(m)(grid[:-1]) * step**m / factorial(m) for m in range(DEGREE + 1)]
    return np.stack(powers, axis=-1)


def _powers(t: Tensor, step: float) -> tuple[Tensor, Tensor, Tensor]:
    """t^m, and its first two derivatives with the variable of which t is a share of a step; shape (n, DEGREE + 1)."""
    power = [torch.ones_like(t)]
    for _ in range(DEGREE):
        power.append(power[-1] * t)
    zero = torch.zeros_like(t)
    first = [zero, *(m * power[m - 1] / step for m in range(1, DEGREE + 1))]
    second = [zero, zero, *(m * (m - 1) * power[m - 2] / step**2 for m in range(2, DEGREE + 1))]
    return torch.stack(power, dim=1), torch.stack(first, dim=1), torch.stack(second, dim=1)

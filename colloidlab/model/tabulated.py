"""Laws as tables: what any kernel, energy and amplitudes say on a grid, without their cost.

Every function of the laws has one or two inputs. Tables agree with them to many digits within their range, and refuse
to answer outside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from colloidlab.errors import UsageError
from colloidlab.model.energy import Thermo
from colloidlab.model.friction import PairAmplitudes
from colloidlab.model.kernel import KernelValues
from colloidlab.model.laws import Laws
from colloidlab.model.splines import Axis, Spline

_BISECTIONS = 60
_NEARLY_ONE = 1 - 1e-7
"""Where an envelope has not vanished yet, so that what it is multiplied by can be told."""


class TabulatedKernel(nn.Module):
    """W(x) from a table of another kernel on [0, 1]."""

    def __init__(self, kernel: Any, points: int = 200) -> None:
        super().__init__()
        x = Axis("x = r/h", 0.0, 1.0, points)
        with torch.no_grad():
            self.spline = Spline([x], kernel(torch.as_tensor(x.grid())).w.numpy())
            self.register_buffer("zero", torch.as_tensor(kernel.at_zero()).clone())

    def at_zero(self) -> Tensor:
        """W(0) of the other kernel."""
        return self.get_buffer("zero")

    def forward(self, x: Tensor) -> KernelValues:
        zero = torch.zeros_like(x)
        return KernelValues(*(torch.where(x < 1, part, zero) for part in self.spline(x)))


class TabulatedEnergy(nn.Module):
    """U(S, V) from a table of another energy over S and ln V.

    Parameters
    ----------
    energy : Energy
    entropies, volumes : (float, float)
        Ranges of S and V.
    points : int
        Along each axis.
    """

    def __init__(
        self,
        energy: Any,
        entropies: tuple[float, float],
        volumes: tuple[float, float],
        points: int = 80,
    ) -> None:
        super().__init__()
        if not 0 < volumes[0] < volumes[1]:
            raise UsageError(f"volumes from {volumes[0]:g} to {volumes[1]:g}: give a rising range above 0")
        S = Axis("S", *entropies, points)
        log_v = Axis("ln V", float(np.log(volumes[0])), float(np.log(volumes[1])), points)
        grid = [torch.as_tensor(g.ravel()) for g in np.meshgrid(S.grid(), log_v.grid(), indexing="ij")]
        with torch.no_grad():
            U = energy(grid[0], grid[1].exp()).U.numpy().reshape(points, points)
        self.spline = Spline([S, log_v], U)

    def forward(self, S: Tensor, V: Tensor) -> Thermo:
        U, T, T_S, slope, curvature = self.spline(S, torch.log(V))
        return Thermo(U=U, T=T, P=-slope / V, inv_c=T_S / T, P_V=(slope - curvature) / V**2)

    def entropy(self, T: Tensor, V: Tensor) -> Tensor:
        """S at which the temperature is T, by bisection: T rises with S.

        Raises
        ------
        UsageError
            The table does not reach this temperature.
        """
        axis = self.spline.axes[0]
        low, high = torch.full_like(V, axis.low), torch.full_like(V, axis.high)
        if bool(((self(low, V).T > T) | (self(high, V).T < T)).any()):
            raise UsageError(
                f"temperatures from {T.min().item():.6g} to {T.max().item():.6g} leave the table of the energy; "
                "make a table of a wider range of S"
            )
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            colder = self(middle, V).T < T
            low, high = torch.where(colder, middle, low), torch.where(colder, high, middle)
        return 0.5 * (low + high)


class TabulatedAmplitudes(nn.Module):
    """A^2, B^2 and C^2 from tables of ln a^2(x, T), where A^2(x, T_i, T_j) = a^2(x, T_i) a^2(x, T_j).

    Amplitudes that end at the cutoff are divided by (1 - x)^3 (1 + 3x) first, which multiplies the table.

    Parameters
    ----------
    amplitudes : Amplitudes
        Positive inside the cutoff, and a product over the two ends.
    temperatures : (float, float)
    points : int
        Along each axis.
    """

    def __init__(self, amplitudes: Any, temperatures: tuple[float, float], points: int = 80) -> None:
        super().__init__()
        x, T = Axis("x = r/h", 0.0, 1.0, points), Axis("T", *temperatures, points)
        grid = [torch.as_tensor(g.ravel()) for g in np.meshgrid(x.grid(), T.grid(), indexing="ij")]
        short = grid[0].clamp_max(_NEARLY_ONE)
        with torch.no_grad():
            at_end = amplitudes(torch.ones_like(grid[0]), grid[1], grid[1])
            inside = amplitudes(short, grid[1], grid[1])
        self.splines = nn.ModuleList()
        self.enveloped: list[bool] = []
        for name in ("A2", "B2", "C2"):
            ends = bool((getattr(at_end, name) == 0).all())
            square = getattr(inside, name) / (_envelope(short) if ends else 1.0)
            if not bool((square > 0).all()):
                raise UsageError(f"{name} vanishes inside the cutoff; its logarithm cannot be tabulated")
            self.enveloped.append(ends)
            self.splines.append(Spline([x, T], 0.5 * np.log(square.numpy()).reshape(points, points)))

    def forward(self, x: Tensor, T_i: Tensor, T_j: Tensor) -> PairAmplitudes:
        found = []
        for spline, ends in zip(self.splines, self.enveloped, strict=True):
            log_i, _, _, slope_i, _ = spline(x, T_i)
            log_j, _, _, slope_j, _ = spline(x, T_j)
            square = torch.exp(log_i + log_j)
            if ends:
                square = square * _envelope(x)
            found.append((square, square * slope_i, square * slope_j))
        (A2, A2_i, A2_j), (B2, B2_i, B2_j), (C2, C2_i, C2_j) = found
        return PairAmplitudes(A2, B2, C2, A2_i, A2_j, B2_i, B2_j, C2_i, C2_j)


def _envelope(x: Tensor) -> Tensor:
    return (1 - x) ** 3 * (1 + 3 * x)


def tabulate(
    laws: Laws,
    *,
    entropies: tuple[float, float],
    volumes: tuple[float, float],
    temperatures: tuple[float, float],
    points: int = 80,
) -> Laws:
    """The same laws of one species with tables in place of kernel, energy and amplitudes.

    Parameters
    ----------
    laws : Laws
    entropies, volumes, temperatures : (float, float)
        Ranges that the tables hold; a value outside is an error.
    points : int
        Of each table along each axis.
    """
    return Laws(
        TabulatedKernel(laws.kernel, 2 * points),
        TabulatedEnergy(laws.energy, entropies, volumes, points),
        TabulatedAmplitudes(laws.amplitudes, temperatures, points),
        laws.cutoff,
        laws.mass,
        laws.k_B,
        shear=laws.shear,
        potential=laws.potential,
        bath=laws.bath,
    )

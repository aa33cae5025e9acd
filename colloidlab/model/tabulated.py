"""Laws as tables: what any kernel, energy and amplitudes say on a grid, without their cost.

Every function of the laws has one or two inputs. Tables agree with them to many digits within their range; outside it the
laws themselves are asked, which is counted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from colloidlab.errors import UsageError
from colloidlab.model.ahead import sure
from colloidlab.model.energy import Isothermal, Thermo
from colloidlab.model.envelope import envelope
from colloidlab.model.friction import PairAmplitudes
from colloidlab.model.kernel import KernelValues
from colloidlab.model.laws import Laws
from colloidlab.model.potential import PotentialValues
from colloidlab.model.species import exchanged
from colloidlab.model.splines import Axis, Spline

Values = TypeVar("Values", Thermo, PairAmplitudes)

_BISECTIONS = 60
_NEARLY_ONE = 1 - 1e-7
"""Where an envelope has not vanished yet, so that what it is multiplied by can be told."""
_NOTHING = 1e-15
_REACH = 3.0
"""How many times hotter, colder or denser than at the start a particle may become before it leaves its table."""

_POINTS = 80
_RESOLVED, _HALVINGS = 1e-4, 40
"""How closely a table must give the temperatures that it is made for, and how often it is narrowed for that."""

_FAR = 1e5
"""What entropy may change by where temperature does not go with it, in k_B."""


class _Table(nn.Module):
    """A table, the function that it stands for, and how often that had to be asked."""

    def __init__(self, exact: Any) -> None:
        super().__init__()
        self.exact = exact
        self.misses = 0

    def _complete(self, found: Values, holds: Tensor, ask: Callable[[Tensor], Values]) -> Values:
        """Put what the function itself says in the places that the table does not hold."""
        if sure(holds.all()):
            return found
        outside = torch.nonzero(~holds)[:, 0]
        self.misses += len(outside)
        asked = ask(outside)
        parts = {
            field.name: getattr(found, field.name).index_put((outside,), getattr(asked, field.name))
            for field in dataclasses.fields(found)
        }
        return dataclasses.replace(found, **parts)


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


class TabulatedPotential(nn.Module):
    """Phi(x) from a table of another potential on [0, 1]."""

    def __init__(self, potential: Any, points: int = 200) -> None:
        super().__init__()
        x = Axis("x = r/h", 0.0, 1.0, points)
        with torch.no_grad():
            self.spline = Spline([x], potential(torch.as_tensor(x.grid())).u.numpy())

    def forward(self, x: Tensor) -> PotentialValues:
        zero = torch.zeros_like(x)
        return PotentialValues(*(torch.where(x < 1, part, zero) for part in self.spline(x)))


class TabulatedEnergy(_Table):
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
        points: int = _POINTS,
    ) -> None:
        super().__init__(energy)
        S, log_v = Axis("S", *entropies, points), _log_axis("V", volumes, points)
        grid = [torch.as_tensor(g.ravel()) for g in np.meshgrid(S.grid(), log_v.grid(), indexing="ij")]
        with torch.no_grad():
            U = energy(grid[0], grid[1].exp()).U.numpy().reshape(points, points)
        self.spline = Spline([S, log_v], U)

    def forward(self, S: Tensor, V: Tensor) -> Thermo:
        log_v = torch.log(V)
        U, T, T_S, slope, curvature = self.spline(S, log_v)
        found = Thermo(U=U, T=T, P=-slope / V, inv_c=T_S / T, P_V=(slope - curvature) / V**2)
        entropies, log_volumes = self.spline.axes
        holds = entropies.holds(S) & log_volumes.holds(log_v)
        return self._complete(found, holds, lambda at: self.exact(S[at], V[at]))

    def entropy(self, T: Tensor, V: Tensor) -> Tensor:
        """S at which the temperature is T: by bisection in the table, where T rises with S, or as the energy itself says."""
        axis = self.spline.axes[0]
        low, high = torch.full_like(V, axis.low), torch.full_like(V, axis.high)
        outside = (self(low, V).T > T) | (self(high, V).T < T)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            colder = self(middle, V).T < T
            low, high = torch.where(colder, middle, low), torch.where(colder, high, middle)
        found = 0.5 * (low + high)
        return torch.where(outside, self.exact.entropy(T, V), found) if bool(outside.any()) else found


class TabulatedAmplitudes(_Table):
    """A^2, B^2 and C^2 from tables of ln a^2(x, ln T), where A^2(x, T_i, T_j) = a^2(x, T_i) a^2(x, T_j).

    Amplitudes that end at the cutoff are divided by (1 - x)^3 (1 + 3x) first, which multiplies the table.

    Parameters
    ----------
    amplitudes : Amplitudes
        Positive inside the cutoff, and a product over the two ends.
    temperatures : (float, float)
    points : int
        Along each axis.
    """

    def __init__(self, amplitudes: Any, temperatures: tuple[float, float], points: int = _POINTS) -> None:
        super().__init__(amplitudes)
        x, log_t = Axis("x = r/h", 0.0, 1.0, points), _log_axis("T", temperatures, points)
        grid = [torch.as_tensor(g.ravel()) for g in np.meshgrid(x.grid(), log_t.grid(), indexing="ij")]
        short, T = grid[0].clamp_max(_NEARLY_ONE), grid[1].exp()
        with torch.no_grad():
            before_end = amplitudes(torch.full_like(grid[0], _NEARLY_ONE), T, T)
            inside = amplitudes(short, T, T)
        self.splines = nn.ModuleList()
        self.enveloped: list[bool] = []
        for name in ("A2", "B2", "C2"):
            # An envelope has left nothing there, amplitudes that jump all that they have.
            ends = bool((getattr(before_end, name) < _NOTHING * getattr(inside, name).max()).all())
            square = getattr(inside, name) / (envelope(short) if ends else 1.0)
            if not bool((square > 0).all()):
                raise UsageError(f"{name} vanishes inside the cutoff; its logarithm cannot be tabulated")
            self.enveloped.append(ends)
            self.splines.append(Spline([x, log_t], 0.5 * np.log(square.numpy()).reshape(points, points)))

    @property
    def log_temperatures(self) -> Axis:
        """Range of ln T that the table holds."""
        first: Any = self.splines[0]
        axis: Axis = first.axes[1]
        return axis

    def forward(self, x: Tensor, T_i: Tensor, T_j: Tensor) -> PairAmplitudes:
        log_i, log_j = torch.log(T_i), torch.log(T_j)
        found = []
        for spline, ends in zip(self.splines, self.enveloped, strict=True):
            at_i, _, _, slope_i, _ = spline(x, log_i)
            at_j, _, _, slope_j, _ = spline(x, log_j)
            square = torch.where(x < 1, torch.exp(at_i + at_j), 0.0)
            if ends:
                square = square * envelope(x)
            found.append((square, square * slope_i / T_i, square * slope_j / T_j))
        (A2, A2_i, A2_j), (B2, B2_i, B2_j), (C2, C2_i, C2_j) = found
        axis = self.log_temperatures
        return self._complete(
            PairAmplitudes(A2, B2, C2, A2_i, A2_j, B2_i, B2_j, C2_i, C2_j),
            axis.holds(log_i) & axis.holds(log_j),
            lambda at: self.exact(x[at], T_i[at], T_j[at]),
        )


def _log_axis(name: str, limits: tuple[float, float], points: int) -> Axis:
    if not 0 < limits[0] < limits[1]:
        raise UsageError(f"{name} from {limits[0]:g} to {limits[1]:g}: give a rising range above 0")
    return Axis(f"ln {name}", math.log(limits[0]), math.log(limits[1]), points)


@dataclasses.dataclass(frozen=True)
class Ranges:
    """What tables hold: of entropy, volume and temperature, each (lowest, highest)."""

    entropies: tuple[float, float]
    volumes: tuple[float, float]
    temperatures: tuple[float, float]


def ranges_around(
    laws: Laws, S: Tensor, V: Tensor, reach: float = _REACH, *, points: int = _POINTS
) -> Ranges:
    """Ranges that hold particles up to `reach` times hotter, colder or denser than any at these entropies and volumes.

    Where entropy goes far with hardly a change of temperature, a table of that many points would resolve nothing of what
    lies between; its range is then shorter, and the laws themselves are asked beyond.

    Parameters
    ----------
    laws : Laws
    S, V : tensor, shape (n,)
        Particles with NaN are left aside.
    reach : float
    points : int
        Of the tables to be made.
    """
    present = torch.isfinite(S) & torch.isfinite(V)
    with torch.no_grad():
        S, V = S[present].double(), V[present].double()
        T = laws.energy(S, V).T
        alone = float(1 / laws.kernel.at_zero())
        volumes = float(V.min()) / reach, max(alone, float(V.max())) * (1 + 1e-9)
        coldest, hottest = float(T.min()) / reach, float(T.max()) * reach
        far = _FAR * laws.k_B
        ends = V.new_tensor([float(V.min()), float(V.max())])
        low = _entropies(laws.energy, coldest, ends, float(S.min()) - far).min()
        high = _entropies(laws.energy, hottest, ends, float(S.max()) + far).max()
        entropies = float(low), float(high)
        least, most = float(S.min()), float(S.max())
        for _ in range(_HALVINGS):
            table = TabulatedEnergy(laws.energy, entropies, volumes, points)
            if float((table(S, V).T / T - 1).abs().max()) < _RESOLVED:
                break
            below, above = least - entropies[0], entropies[1] - most
            # The longer way has the temperatures that hardly change.
            below, above = (below, 0.5 * above) if above > below else (0.5 * below, above)
            entropies = least - below, most + above
    return Ranges(entropies, volumes, (coldest, hottest))


def _entropies(energy: Any, T: float, V: Tensor, otherwise: float) -> Tensor:
    """S at a temperature; `otherwise` where (nearly) all have the same, so that no entropy has this one."""
    if not isinstance(energy, Isothermal):
        with contextlib.suppress(UsageError):
            return torch.as_tensor(energy.entropy(torch.full_like(V, T), V))
    return torch.full_like(V, otherwise)


def tabulate(laws: Laws, ranges: Ranges, *, points: int = _POINTS) -> Laws:
    """The same laws with tables in place of kernel, energy, amplitudes and potential; one for every kind of pair.

    Parameters
    ----------
    laws : Laws
    ranges : Ranges
        Outside of which the laws themselves are asked.
    points : int
        Of each table along each axis.
    """
    potential = laws.potential
    if potential is not None:
        potential = exchanged(potential, lambda part: TabulatedPotential(part, 2 * points))
    return Laws(
        exchanged(laws.kernel, lambda part: TabulatedKernel(part, 2 * points)),
        TabulatedEnergy(laws.energy, ranges.entropies, ranges.volumes, points),
        exchanged(laws.amplitudes, lambda part: TabulatedAmplitudes(part, ranges.temperatures, points)),
        laws.cutoff,
        laws.mass,
        laws.k_B,
        shear=laws.shear,
        potential=potential,
        bath=laws.bath,
        inertia=laws.inertia,
    )


def count_misses(laws: Laws) -> int:
    """How often the tables of these laws did not hold what they were asked, in particles and pairs."""
    return sum(part.misses for part in laws.modules() if isinstance(part, _Table))

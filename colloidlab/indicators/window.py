"""Where particles can be seen: an open rectangle or a periodic box, in two or three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colloidlab.errors import InputError
from colloidlab.indicators.trajectories import Floats

Corners = tuple[Sequence[float], Sequence[float]]
"""(lower corner, upper corner) of an open rectangle in which every particle is found, px."""


@dataclass(frozen=True)
class Window:
    """The window of an average over space.

    Parameters
    ----------
    lower : float array, shape (D,)
        Corner with the smallest coordinates; zero for a box.
    sides : float array, shape (D,)
    periodic : bool
    """

    lower: Floats
    sides: Floats
    periodic: bool

    @classmethod
    def of(cls, quantity: str, region: Corners | None, box: Sequence[float] | None) -> Window:
        """Window from exactly one of `region` and `box`; `quantity` names what needs it in errors.

        Raises
        ------
        InputError
            Both or neither are given, or the sides are not two or three positive lengths.
        """
        if (region is None) == (box is None):
            raise InputError(
                f"{quantity} needs either the rectangle in which particles are seen or a periodic box"
            )
        if box is not None:
            sides = np.asarray(box, dtype=np.float64)
            lower = np.zeros_like(sides)
        else:
            assert region is not None
            lower = np.asarray(region[0], dtype=np.float64)
            sides = np.asarray(region[1], dtype=np.float64) - lower
        if sides.size not in (2, 3) or not (sides > 0).all():
            raise InputError(
                f"the region of {quantity} has sides {sides.tolist()}; it needs two or three positive ones"
            )
        return cls(lower, sides, box is not None)

    @property
    def volume(self) -> float:
        """Area in two dimensions."""
        return float(np.prod(self.sides))

    @property
    def box(self) -> Floats | None:
        """Sides for functions that take a periodic box or nothing."""
        return self.sides if self.periodic else None

    def inside(self, points: Floats) -> NDArray[np.bool_]:
        """Which rows are finite and, in an open rectangle, within it; shape (n,)."""
        whole = np.isfinite(points).all(axis=1)
        if self.periodic:
            return np.asarray(whole)
        return np.asarray(whole & ((points >= self.lower) & (points <= self.lower + self.sides)).all(axis=1))

    def wrapped(self, points: Floats) -> Floats:
        """Positions within the periodic box; as they are in an open rectangle."""
        return np.asarray(points % self.sides) if self.periodic else points

    def sphere_volume(self, radius: Floats | float) -> Floats:
        """Area of a disc or volume of a ball, whatever the window."""
        radius = np.asarray(radius, dtype=np.float64)
        return np.asarray(np.pi * radius**2 if self.sides.size == 2 else 4 / 3 * np.pi * radius**3)

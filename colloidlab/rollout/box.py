"""Boxes that shear what is in them: Lees-Edwards boundaries.

Positions and velocities are those of the laboratory and go on unwrapped. A particle has images at r + k (tilt, L_y) with
velocities v + k (wind, 0), k = …, -1, 0, 1, …, beside those of a periodic box. They, and the particle that has gone through
the border instead of its image, make the same forces.

References
----------
Lees & Edwards, J. Phys. C 5, 1921 (1972).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from colloidlab.errors import UsageError


@dataclass(frozen=True)
class ShearBox:
    """A periodic box in steady simple shear: mean velocity v_x = rate y.

    Attributes
    ----------
    lengths : tuple of float, (L_x, L_y[, L_z])
        Zero where open, which x and y can be at rate zero only.
    rate : float
        Per unit of time; with zero it is a periodic box, to the bit.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> box = ShearBox((100.0, 50.0), rate=0.01)
    >>> box.wind, round(box.tilt(30.0), 6), round(box.tilt(120.0), 6)
    (0.5, 15.0, -40.0)
    """

    lengths: tuple[float, ...]
    rate: float

    def __post_init__(self) -> None:
        if len(self.lengths) not in (2, 3) or not all(
            math.isfinite(a) and a >= 0 for a in (*self.lengths, abs(self.rate))
        ):
            raise UsageError(
                f"a shear box of lengths {self.lengths} at the rate {self.rate} is impossible: give 2 or 3 lengths, "
                "0 where open, and a finite rate"
            )
        if self.rate and not all(self.lengths[:2]):
            raise UsageError("a shear box is periodic along x and y: give lengths above 0 there")

    @property
    def wind(self) -> float:
        """Velocity along x of an image one length up along y."""
        return self.rate * self.lengths[1]

    def tilt(self, t: float) -> float:
        """Displacement along x of an image one length up along y at time t, of those the one nearest to zero."""
        return math.remainder(self.wind * t, self.lengths[0]) if self.rate else 0.0

"""A measured curve with its confidence band and units."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from colloidlab.indicators.trajectories import Floats
from colloidlab.units import Calibration

CURVE_COLUMNS = ("quantity", "x", "y", "y_low", "y_high", "x_unit", "y_unit")
"""Columns of curves.parquet; see docs/run-folder.md."""


@dataclass(frozen=True)
class Curve:
    """y over x with its 95 % band; NaN in the band where the data cannot give one.

    Parameters
    ----------
    x, y, y_low, y_high : float array, shape (n,)
    x_unit, y_unit : str
    pairs_per_frame : float array, shape (n,), optional
        Only for g(r): pairs that one frame of an ideal gas would have in each bin.
    """

    x: Floats
    y: Floats
    y_low: Floats
    y_high: Floats
    x_unit: str
    y_unit: str
    pairs_per_frame: Floats | None = None

    def calibrated(self, calibration: Calibration, *, x: tuple[int, int], y: tuple[int, int]) -> Curve:
        """The curve in physical units; `x`, `y`: powers (length, time) of a curve in px and frames."""
        fx, fy = calibration.factor(*x), calibration.factor(*y)
        return replace(
            self,
            x=self.x * fx,
            y=self.y * fy,
            y_low=self.y_low * fy,
            y_high=self.y_high * fy,
            x_unit=calibration.unit(*x),
            y_unit=calibration.unit(*y),
        )

    def to_table(self, quantity: str) -> pd.DataFrame:
        """Long form, as in curves.parquet."""
        values = np.column_stack([self.x, self.y, self.y_low, self.y_high])
        table = pd.DataFrame(values, columns=["x", "y", "y_low", "y_high"])
        return table.assign(quantity=quantity, x_unit=self.x_unit, y_unit=self.y_unit)[list(CURVE_COLUMNS)]

"""What reading and locating gave, before linking."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from colloidlab.units import Calibration


@dataclass
class Found:
    """Frames and features of a recording.

    Attributes
    ----------
    frames, features : DataFrame
        As the run folder documents them.
    calibration : Calibration
    view : list of float
        x0, y0, x1, y1 of the whole image (of all positions, for a table), px.
    region : tuple of float
        The same of what was used.
    preview : (int, array) or None
        Index and image of the first usable frame.
    facts : dict
        What the run's record keeps: estimates and their reasons.
    """

    frames: pd.DataFrame
    features: pd.DataFrame
    calibration: Calibration
    view: list[float]
    region: tuple[float, float, float, float]
    preview: tuple[int, np.ndarray] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

"""What linking accepts, and the sentence for what it does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from colloidlab.errors import InputError, UsageError
from colloidlab.tracks.assignment import Floats, Integers

LARGEST_FRAME = 2**53
"""Beyond it a float does not tell one whole number from the next."""


def axes(features: pd.DataFrame) -> list[str]:
    """The position columns in trackpy's order: (y, x), or (z, y, x) where there is a z."""
    missing = [c for c in ("frame", "x", "y") if c not in features]
    if missing:
        raise InputError(f"the features have no column {', '.join(missing)}; linking needs frame, x and y")
    return ["z", "y", "x"] if "z" in features else ["y", "x"]


def whole_frames(frame: np.ndarray) -> Integers:
    """Frames as int64; not a copy where they are that already."""
    if frame.dtype.kind in "iu":
        return frame.astype(np.int64, copy=False)
    try:
        values = frame.astype(float)
    except (TypeError, ValueError):
        raise InputError("column frame is not numeric; number the frames 0, 1, 2, ...") from None
    wrong = ~((values == np.round(values)) & (np.abs(values) < LARGEST_FRAME))
    if wrong.any():
        raise InputError(
            f"frame {values[wrong][0]:g} is not a whole number; frames count 0, 1, 2, ..., they are no times"
        )
    return values.astype(np.int64)


def finite_positions(frame: Integers, positions: np.ndarray) -> Floats:
    """Positions as float64, refused where one is not finite."""
    if positions.ndim != 2 or positions.shape[1] not in (2, 3) or len(positions) != len(frame):
        raise UsageError(
            f"positions have the shape {positions.shape} beside {len(frame)} frames; give (n, 2) or (n, 3)"
        )
    try:
        values = positions.astype(float, copy=False)
    except (TypeError, ValueError):
        raise InputError("the positions are not numeric; give plain numbers") from None
    with np.errstate(all="ignore"):
        # A finite sum has finite terms: one pass without a copy, for almost every table.
        suspect = not np.isfinite(values.sum())
    bad = ~np.isfinite(values).all(axis=1) if suspect else np.zeros(1, dtype=bool)
    if bad.any():
        raise InputError(
            f"{bad.sum()} positions are not finite, the first in frame {frame[bad][0]}; drop these rows"
        )
    return values


def ranges(search_range_px: float | Sequence[float], n_axes: int) -> tuple[float, Floats | None]:
    """The range, and what the axes are to be multiplied by first: for one range per axis, to make it 1."""
    values = np.atleast_1d(np.asarray(search_range_px, dtype=float))
    if values.ndim != 1 or len(values) not in (1, n_axes):
        raise UsageError(f"search_range_px = {search_range_px} is neither one distance nor {n_axes}")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise UsageError(f"search_range_px = {search_range_px} is not a distance; give more than zero")
    if (values == values[0]).all():
        return float(values[0]), None
    return 1.0, 1.0 / values


def frames_of_memory(memory: int) -> int:
    """A whole number of frames, from zero."""
    if memory < 0 or memory != int(memory):
        raise UsageError(f"memory = {memory} is not a number of frames; give a whole number from zero")
    return int(memory)

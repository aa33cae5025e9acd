"""A quantity of particles against time: what the plot of the window "Explore" draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_plugin.quantities import Quantity

Floats = NDArray[np.float64]

MOST_CURVES = 8
"""More particles are drawn as their median."""

_LIMITS = {"temperature_px2": ("temperature_low_px2", "temperature_high_px2")}


@dataclass(frozen=True)
class Curve:
    """Values at successive frames.

    Parameters
    ----------
    name : str
        Whose they are.
    frame : int array, shape (n,)
        Every frame from the first to the last one.
    value : float array, shape (n,)
        NaN where it is not known; a line has a gap there.
    low, high : float array, shape (n,), or None
        Limits of the band.
    particle : int or None
        None for a summary of several.
    """

    name: str
    frame: NDArray[np.int64]
    value: Floats
    low: Floats | None = None
    high: Floats | None = None
    particle: int | None = None

    def at(self, frame: int) -> tuple[float, float, float]:
        """Value and limits at a frame; NaN where they are not known."""
        k = frame - int(self.frame[0]) if len(self.frame) else -1
        if not 0 <= k < len(self.frame):
            return np.nan, np.nan, np.nan
        low, high = (np.nan if v is None else float(v[k]) for v in (self.low, self.high))
        return float(self.value[k]), low, high


def band(table: pd.DataFrame, quantity: Quantity) -> str:
    """What the band around a particle's curve is: "95 %", "± σ", or empty where no uncertainty is known."""
    if set(_LIMITS.get(quantity.column, ("?",))) <= set(table):
        return "95 %"
    return "± σ" if quantity.uncertainty in table else ""


def particle_curve(table: pd.DataFrame, particle: int, quantity: Quantity) -> Curve:
    """One particle, with its uncertainty where the table has one.

    The band of a temperature are its 95 % limits, for all others one standard deviation on each side.

    Parameters
    ----------
    table : DataFrame
        Columns frame, particle and that of the quantity.
    particle : int
    quantity : Quantity
    """
    own = table[table["particle"].to_numpy() == particle]
    columns = [quantity.column]
    what = band(table, quantity)
    if what == "95 %":
        columns += _LIMITS[quantity.column]
    elif what:
        columns.append(str(quantity.uncertainty))
    whole = own.set_index("frame")[columns].astype(np.float64)
    if len(whole):
        whole = whole.reindex(np.arange(whole.index.min(), whole.index.max() + 1))
    value, *rest = (whole[column].to_numpy() for column in columns)
    if what == "± σ":
        rest = [value - rest[0], value + rest[0]]
    low, high = rest or (None, None)
    return Curve(f"particle {particle}", whole.index.to_numpy(np.int64), value, low, high, particle)


def summary_curve(table: pd.DataFrame, particles: Sequence[int], quantity: Quantity) -> Curve | None:
    """Several particles as their median in each frame, with the 10th and 90th percentile; all where none is named.

    Of flags, which are 0 and 1, it is the share. None for an angle, which has no median.
    """
    if quantity.unit == "rad":
        return None
    who = f"{len(particles)} particles" if len(particles) else "all particles"
    rows = table[["frame", quantity.column]]
    if len(particles):
        rows = rows[table["particle"].isin(particles).to_numpy()]
    groups = rows.astype({quantity.column: np.float64}).groupby("frame")[quantity.column]
    known = rows[quantity.column].dropna()
    if known.isin([0, 1]).all():
        middle = groups.mean()
        return Curve(f"share of {who}", *_whole(middle))
    bands = groups.quantile([0.1, 0.5, 0.9]).unstack()
    frame, value = _whole(bands[0.5])
    return Curve(f"median of {who}", frame, value, _whole(bands[0.1])[1], _whole(bands[0.9])[1])


def curves(table: pd.DataFrame, particles: Sequence[int], quantity: Quantity) -> list[Curve]:
    """Curves of the particles that are selected: each its own, or their summary where they are many or none."""
    if 0 < len(particles) <= MOST_CURVES:
        return [particle_curve(table, particle, quantity) for particle in particles]
    summary = summary_curve(table, particles, quantity)
    return [] if summary is None else [summary]


def _whole(values: pd.Series) -> tuple[NDArray[np.int64], Floats]:
    frames = np.arange(values.index.min(), values.index.max() + 1) if len(values) else np.zeros(0, np.int64)
    return frames.astype(np.int64), values.reindex(frames).to_numpy(np.float64)

"""Of the sheared sample: the learned functions beside those of the law that made it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from colloidlab.benchmarks.rows import Row
from colloidlab.model.curves import learned_functions
from colloidlab.model.held_out import Pass
from colloidlab.model.laws import Laws
from colloidlab.units import Calibration

_QUANTITIES = {
    "pair_force": "force of a pair",
    "pair_friction_parallel": "friction along a pair",
    "pair_friction_perpendicular": "friction across a pair",
}
"""What two kernels of their own unit of volume have in common. Noise is friction times temperature."""
_DISTANCES = (0.9, 1.0, 1.15)
"""Distances over the mean diameter: pressed, touching, apart."""


def law_rows(fit: tuple[Laws, Pass], truth: tuple[Laws, Pass], diameter: float) -> Iterable[Row]:
    """Fitted over true values, for a pair of mean size and median volume at one temperature.

    Parameters
    ----------
    fit, truth : (Laws, Pass)
        Laws, and the volumes and temperatures that the filter with them has found.
    diameter : float, px
        Mean diameter of the particles.
    """
    temperature = float(truth[1].state["temperature_px2"].median())
    found, expected = (
        learned_functions(laws, temperature, seen.volumes, Calibration(None, None), n_dims=2)
        for laws, seen in (fit, truth)
    )
    for quantity, words in _QUANTITIES.items():
        for distance in _DISTANCES:
            value, true = (_value(curves, quantity, distance * diameter) for curves in (found, expected))
            yield Row(f"fit: {words} at {distance:g} mean diameters, over the true law's", value / true)


def _value(functions: pd.DataFrame, quantity: str, r: float) -> float:
    curve = functions[functions["quantity"] == quantity]
    return float(np.interp(r, curve["x"], curve["y"]))

"""Quantities of particles with the colour maps of napari; `colloidlab.report.quantities` says what they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.utils.colormaps import Colormap

from colloidlab.report import quantities
from colloidlab.report.quantities import DERIVED, colourable, limits

__all__ = ["DERIVED", "Quantity", "colormap", "colourable", "describe", "limits"]

_STEPS = 256


@dataclass(frozen=True)
class Quantity(quantities.Quantity):
    """One column by which particles are coloured."""

    @property
    def colormap(self) -> Colormap:
        return colormap(self.colours)


def describe(column: str) -> Quantity:
    """What is known of a column; columns that nobody knows keep their name.

    >>> describe("d2min_px2").label
    'D²min (px²)'
    >>> describe("psi6_angle_rad").label
    'psi6 angle (rad)'
    """
    return Quantity(**vars(quantities.describe(column)))


def colormap(name: str, span: tuple[float, float] | None = None) -> Colormap:
    """matplotlib's colour map for napari; values that are not finite stay clear.

    Parameters
    ----------
    name : str
    span : (float, float), optional
        Limits that are built in, for layers without limits of their own (Tracks); 0 to 1 without it.
    """
    from matplotlib import colormaps

    colours = colormaps[name](np.linspace(0, 1, _STEPS))
    if span is None:
        return Colormap(colours, name=name, nan_color=(0, 0, 0, 0))
    return _Spanned(colours, name=name, nan_color=(0, 0, 0, 0), span=span)


class _Spanned(Colormap):
    """A colour map over `span` in place of 0 to 1."""

    span: tuple[float, float]

    def map(self, values: np.ndarray) -> np.ndarray:
        low, high = self.span
        scaled = np.clip((np.asarray(values, dtype=np.float64) - low) / (high - low), 0, 1)
        return super().map(scaled)

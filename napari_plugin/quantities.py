"""Quantities of particles with the colour maps of napari; `colloidlab.report.quantities` says what they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.utils.colormaps import Colormap

from colloidlab.report import quantities
from colloidlab.report.quantities import DERIVED, colourable, limits

__all__ = [
    "DERIVED",
    "LineColormap",
    "Quantity",
    "bright_colormap",
    "colormap",
    "colourable",
    "describe",
    "limits",
    "line_colormap",
]

_STEPS = 256
_BRIGHT = ("turbo", 0.12, 0.92)
"""A map, and the part of it that is bright."""
_NOT_KNOWN = (0.62, 0.65, 0.69, 1.0)


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


def colormap(name: str) -> Colormap:
    """matplotlib's colour map for napari; values that are not finite stay clear."""
    return Colormap(_ramp(name, 0, 1), name=name, nan_color=(0, 0, 0, 0))


def bright_colormap(quantity: Quantity) -> Colormap:
    """Colours of lines, which must be seen on black and on grey: bright ones, where a quantity's own begin dark.

    Those that are signed or cyclic keep their own. Values that are not finite are grey: a line cannot be empty.
    """
    own = quantity.signed or quantity.period is not None
    name, first, last = (quantity.colours, 0.0, 1.0) if own else _BRIGHT
    return Colormap(_ramp(name, first, last), name=name, nan_color=_NOT_KNOWN)


def line_colormap(quantity: Quantity, span: tuple[float, float]) -> LineColormap:
    """`bright_colormap` over `span`."""
    found = bright_colormap(quantity)
    return LineColormap(found.colors, name=found.name, nan_color=found.nan_color, span=span)


class LineColormap(Colormap):
    """A colour map over `span` in place of 0 to 1, for layers without limits of their own (Tracks)."""

    span: tuple[float, float]

    def without_span(self) -> Colormap:
        """The same colours over 0 to 1."""
        return Colormap(self.colors, name=self.name, nan_color=self.nan_color)

    def map(self, values: np.ndarray) -> np.ndarray:
        low, high = self.span
        scaled = np.clip((np.asarray(values, dtype=np.float64) - low) / (high - low), 0, 1)
        return super().map(scaled)


def _ramp(name: str, first: float, last: float) -> np.ndarray:
    from matplotlib import colormaps

    return np.asarray(colormaps[name](np.linspace(first, last, _STEPS)))

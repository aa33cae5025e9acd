"""Particles drawn as circles of their own size over the view, coloured by one quantity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import LogNorm, Normalize

from colloidlab.errors import InputError
from colloidlab.report.results import Results
from colloidlab.report.style import GREY, PANEL
from colloidlab.report.words import label

_SMALLEST = 0.004
"""Least drawn radius as a fraction of the view: smaller circles could not be seen."""
_FAINT = 0.28
"""Opacity of particles that do not count: near the boundary, or prescribed."""


@dataclass(frozen=True)
class View:
    """The part of the image that a map shows, in calibrated units.

    Parameters
    ----------
    scale : float
        Calibrated length per px.
    extent : tuple of float
        x0, x1, y0, y1 in px.
    unit : str
    """

    scale: float
    extent: tuple[float, float, float, float]
    unit: str

    @classmethod
    def of(cls, results: Results) -> View:
        return cls(results.calibration.length_per_px, results.extent, results.calibration.length_unit)

    @property
    def aspect(self) -> float:
        """Height over width, bounded so that an extreme strip still makes a readable panel."""
        x0, x1, y0, y1 = self.extent
        return float(np.clip((y1 - y0) / (x1 - x0), 0.25, 2.0))

    def centre(self, fraction: float) -> View:
        """The middle of this view, with `fraction` of its area (the whole when that is 1 or more)."""
        x0, x1, y0, y1 = self.extent
        cut = 0.5 * (1 - min(1.0, fraction) ** 0.5)
        wide, high = cut * (x1 - x0), cut * (y1 - y0)
        return View(self.scale, (x0 + wide, x1 - wide, y0 + high, y1 - high), self.unit)

    def dress(self, ax: Axes, title: str = "", *, names: bool = True) -> None:
        """Give `ax` the view's limits (rows run downwards, as in the image) and labels."""
        x0, x1, y0, y1 = (self.scale * v for v in self.extent)
        ax.set_xlim(x0, x1)
        ax.set_ylim(y1, y0)
        ax.set_aspect("equal")
        ax.set_facecolor(PANEL)
        ax.set_title(title)
        for side in ("top", "right"):
            ax.spines[side].set_visible(True)
        if names:
            ax.set_xlabel(label("x", self.unit))
            ax.set_ylabel(label("y", self.unit))
        else:
            ax.tick_params(labelbottom=False, labelleft=False, bottom=False, left=False)


def draw_particles(
    ax: Axes,
    view: View,
    table: pd.DataFrame,
    values: np.ndarray,
    *,
    cmap: str,
    norm: Normalize,
    faint: np.ndarray | None = None,
) -> EllipseCollection:
    """Draw one circle per row at its place and size; values that are not finite stay hollow.

    Parameters
    ----------
    table : DataFrame with x, y, radius_px in px
    values : float array, shape (n,)
    faint : bool array, shape (n,), optional
        Particles drawn transparent.

    Returns
    -------
    EllipseCollection
        Of the particles in full colour, for a colour bar.
    """
    pale = np.zeros(len(table), dtype=bool) if faint is None else np.asarray(faint, dtype=bool)
    radius = view.scale * _radii(view, table)
    places = table[["x", "y"]].to_numpy(dtype=float) * view.scale
    for keep, alpha in ((pale, _FAINT), (~pale, 1.0)):
        circles = EllipseCollection(
            2 * radius[keep],
            2 * radius[keep],
            np.zeros(keep.sum()),
            units="xy",
            offsets=places[keep],
            offset_transform=ax.transData,
            array=np.ma.masked_invalid(np.asarray(values, dtype=float)[keep]),
            cmap=cmap,
            norm=norm,
            # A grey rim keeps the light end of the colour scale visible.
            edgecolors=GREY,
            linewidths=0.3,
            alpha=alpha,
            rasterized=True,
        )
        ax.add_collection(circles)
    return circles


def _radii(view: View, table: pd.DataFrame) -> np.ndarray:
    """Radii to draw, px: the particle's own, or a share of the mean spacing where it is not known."""
    x0, x1, y0, y1 = view.extent
    own = table["radius_px"].to_numpy(dtype=float)
    share = 0.3 * np.sqrt((x1 - x0) * (y1 - y0) / max(len(table), 1))
    return np.maximum(np.where(np.isfinite(own), own, share), _SMALLEST * (x1 - x0))


def draw_outlines(ax: Axes, view: View, table: pd.DataFrame, *, colour: str) -> None:
    """Draw one empty circle per row over an image, thin enough to leave small particles visible."""
    radius = _radii(view, table)
    diameter = 2 * view.scale * radius
    width = 40 * float(np.median(radius)) / (view.extent[1] - view.extent[0]) if len(table) else 0.8
    ax.add_collection(
        EllipseCollection(
            diameter,
            diameter,
            np.zeros(len(table)),
            units="xy",
            offsets=view.scale * table[["x", "y"]].to_numpy(dtype=float),
            offset_transform=ax.transData,
            facecolors="none",
            edgecolors=colour,
            linewidths=float(np.clip(width, 0.2, 0.8)),
            rasterized=True,
        )
    )


def add_colour_bar(ax: Axes, shown: ScalarMappable, name: str) -> None:
    """Colour bar as tall as the map, which keeps its size."""
    ax.figure.colorbar(shown, cax=ax.inset_axes((1.02, 0.0, 0.03, 1.0)), label=name)


def draw_image(ax: Axes, view: View, image: np.ndarray) -> None:
    """Draw the micrograph; the centre of the first pixel lies at (0, 0)."""
    from colloidlab.video.grey_levels import (
        grey_limits,  # OpenCV comes with it, which most of the report does without
    )

    height, width = image.shape
    corners = np.array([-0.5, width - 0.5, height - 0.5, -0.5]) * view.scale
    low, high = grey_limits(image)
    ax.imshow(image, cmap="gray", extent=tuple(corners), vmin=low, vmax=high, rasterized=True)


def linear_scale(values: np.ndarray, what: str) -> Normalize:
    """Colour scale from the 1st to the 99th percentile: a few outliers must not flatten a map."""
    finite = _finite(values, what)
    low, high = np.percentile(finite, (1, 99))
    return Normalize(low, high if high > low else low + max(abs(low), 1.0) * 1e-3)


def signed_scale(values: np.ndarray, what: str) -> Normalize:
    """Colour scale centred on zero, to the 99th percentile of the size."""
    high = float(np.percentile(np.abs(_finite(values, what)), 99)) or 1.0
    return Normalize(-high, high)


def log_scale(values: np.ndarray, what: str) -> LogNorm:
    """Logarithmic colour scale from the 2nd to the 99.5th percentile of the positive values."""
    finite = _finite(values, what)
    positive = finite[finite > 0]
    if positive.size == 0:
        raise InputError(f"Every value of {what} is zero in this frame: there is nothing to map.")
    low, high = np.percentile(positive, (2, 99.5))
    return LogNorm(low, max(high, 1.01 * low))


def _finite(values: np.ndarray, what: str) -> np.ndarray:
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        raise InputError(f"No particle has a known {what}: too few neighbours, or too few frames.")
    return finite

"""Histograms of what was found in a frame: mass with its threshold, size, and the sub-pixel part of positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FormatStrFormatter, MaxNLocator, NullLocator
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QSizePolicy

from colloidlab.report.style import BLUE, GREY, ORANGE

_HEIGHT_PX, _DPI = 250, 100
_BINS = 40
_FONT = 7.5
_LEFT_OUT = "#6d7480"
_LIGHT_BLUE = "#5aa9e6"
_TAIL = (0.2, 99.8)
"""Percentiles between which is drawn, so that one bright speck does not squeeze the rest."""


class Histograms(FigureCanvasQTAgg):  # type: ignore[misc]
    """Three histograms of one frame.

    Attributes
    ----------
    threshold_chosen : Signal(float)
        A click, or a drag, in the histogram of mass.
    """

    threshold_chosen = Signal(float)

    def __init__(self, text: str = "#f0f1f2", ground: str = "#23242b") -> None:
        figure = Figure(figsize=(3.8, _HEIGHT_PX / _DPI), dpi=_DPI)
        super().__init__(figure)
        self.mass = figure.add_axes((0.06, 0.66, 0.9, 0.25))
        self.size = figure.add_axes((0.06, 0.17, 0.38, 0.27))
        self.subpixel = figure.add_axes((0.58, 0.17, 0.38, 0.27))
        self._dress(text, ground)
        self.setFixedHeight(_HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(300)
        self.mass.figure.canvas.mpl_connect("button_press_event", self._pick)
        self.mass.figure.canvas.mpl_connect("motion_notify_event", self._pick)

    def _dress(self, text: str, ground: str) -> None:
        # Every colour and size is said here: matplotlib's own settings may be those of a report in another thread.
        self.figure.set_facecolor(ground)
        names = ("mass (grey levels)", "size, radius of gyration (px)", "sub-pixel position (px)")
        for ax, name in zip((self.mass, self.size, self.subpixel), names, strict=True):
            ax.set_facecolor(ground)
            ax.set_xlabel(name, fontsize=_FONT, color=text, labelpad=1)
            ax.tick_params(labelsize=_FONT - 0.5, colors=text, width=0.7, length=2.5, pad=1.5)
            for side, spine in ax.spines.items():
                spine.set_visible(side == "bottom")
                spine.set_color(text)
            ax.set_yticks([])
        zeros, edges = np.zeros(_BINS), np.linspace(0, 1, _BINS + 1)
        self._all = self.mass.stairs(zeros, edges, fill=True, color=_LEFT_OUT)
        self._kept = self.mass.stairs(zeros, edges, fill=True, color=BLUE)
        self._threshold = self.mass.axvline(1, color=ORANGE, linewidth=1.4, linestyle="--")
        self._legend = self.mass.text(0, 1.05, "", transform=self.mass.transAxes, fontsize=_FONT, color=text)
        self._sizes = self.size.stairs(zeros, edges, fill=True, color=BLUE)
        self._even = self.subpixel.axhspan(0, 2, color=GREY, alpha=0.35, linewidth=0)
        tenths = np.linspace(0, 1, 11)
        self._parts = [
            self.subpixel.stairs(np.zeros(10), tenths, baseline=None, color=colour, linewidth=1.3)
            for colour in (_LIGHT_BLUE, ORANGE)
        ]
        for place, axis, colour in ((0.0, "x", _LIGHT_BLUE), (0.14, "y", ORANGE)):
            self.subpixel.text(
                place, 1.06, axis, transform=self.subpixel.transAxes, fontsize=_FONT, color=colour
            )
        self.subpixel.text(
            0.3, 1.06, "grey: chance", transform=self.subpixel.transAxes, fontsize=_FONT, color=text
        )
        self.mass.set_xscale("log")
        self.mass.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        self.mass.xaxis.set_minor_locator(NullLocator())
        self.size.xaxis.set_major_locator(MaxNLocator(4))
        self.subpixel.xaxis.set_major_locator(FixedLocator([0, 0.5, 1]))

    def show_features(self, features: pd.DataFrame, candidates: pd.DataFrame, minmass: float) -> None:
        """Show a frame.

        Parameters
        ----------
        features : DataFrame
            Particles of the frame.
        candidates : DataFrame
            Everything that was found, with what is below the thresholds.
        minmass : float
            The threshold; not drawn where it is zero.
        """
        from colloidlab.features.pixel_bias import subpixel_shares  # a compiler comes along; now it is there

        self._show_mass(_column(features, "mass"), _column(candidates, "mass"), minmass)
        sizes = _column(features, "size")
        edges = _edges(sizes)
        self._fill(self._sizes, sizes, edges)
        _fit(self.size, self._sizes.get_data()[0], edges)
        shares, spread = subpixel_shares(
            features[["x", "y"]].to_numpy() if len(features) else np.empty((0, 2))
        )
        self._even.set_bounds(0, max(1 - spread, 0), 1, 2 * spread if spread < 1 else 1 + spread)
        for part, share in zip(self._parts, shares, strict=True):
            part.set_data(values=share)
        self.subpixel.set_xlim(0, 1)
        self.subpixel.set_ylim(0, max(1.9, 1.1 * float(shares.max())))
        self.draw_idle()

    def _show_mass(self, kept: np.ndarray, everything: np.ndarray, minmass: float) -> None:
        both = np.concatenate([kept, everything])
        both = both[both > 0]
        low, high = np.percentile(both, _TAIL) if len(both) else (1.0, 10.0)
        shown = [low, 1.02 * high, *([minmass / 1.1, minmass * 1.1] if minmass > 0 else [])]
        edges = np.geomspace(min(shown), max(shown), _BINS + 1)
        self._fill(self._all, everything, edges)
        self._fill(self._kept, kept, edges)
        self._threshold.set_xdata([minmass, minmass])
        self._threshold.set_visible(minmass > 0)
        _fit(self.mass, np.maximum(self._all.get_data()[0], self._kept.get_data()[0]), edges)
        self.mass.xaxis.set_major_locator(FixedLocator(_ticks(edges[0], edges[-1])))
        left_out = max(len(everything) - len(kept), 0)
        line = f"   dashed: minmass {minmass:.4g}" if minmass > 0 else ""
        self._legend.set_text(f"blue: {len(kept)} particles   grey: {left_out} left out{line}")

    @staticmethod
    def _fill(bars: Any, values: np.ndarray, edges: np.ndarray) -> None:
        bars.set_data(np.histogram(values, bins=edges)[0].astype(float), edges)

    def _pick(self, event: Any) -> None:
        dragged = event.button == 1 if event.name == "button_press_event" else 1 in (event.buttons or ())
        if dragged and event.inaxes is self.mass and event.xdata is not None and event.xdata > 0:
            self.threshold_chosen.emit(float(event.xdata))


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    values = table[name].to_numpy(dtype=float) if name in table else np.empty(0)
    return values[np.isfinite(values)]


def _edges(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, _TAIL) if len(values) else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, _BINS + 1)


def _ticks(low: float, high: float) -> list[float]:
    """A few round numbers on a logarithmic axis."""
    steps = (1, 2, 3, 4, 5, 6, 8) if high < 8 * low else (1, 3) if high < 1000 * low else (1,)
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _fit(ax: Axes, counts: np.ndarray, edges: np.ndarray) -> None:
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(0, 1.08 * max(float(counts.max()), 1.0))

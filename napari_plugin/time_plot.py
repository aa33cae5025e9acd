"""A plot against time whose line stands where the slider stands, and moves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from napari.utils.theme import get_theme
from qtpy.QtCore import QLineF, QSize, Signal
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy

from colloidlab.units import Calibration
from napari_plugin.marks import COLOURS
from napari_plugin.plots import in_lines
from napari_plugin.series import Curve

_BAND_ALPHA = (0.3, 0.15)
"""Of a single band, and of one among several."""

_ZOOM = 1.25
_LEAST_FRAMES = 4
_EVENT = "#ff5ad2"
_LEFT, _RIGHT, _BOTTOM, _TOP, _TOP_WITH_TIME = 62, 12, 42, 12, 42
"""Margins around the axes, points of the screen: fixed, so that the plot does not jump with its numbers."""
_LINE_HEIGHT = 13
"""Of further lines of the vertical label, for which the margin on the left is wider."""


class TimePlot(FigureCanvasQTAgg):
    """Curves against frames, with the time above them where the frame rate is known.

    Clicking and dragging choose a frame, the wheel stretches time around the mouse, a double click shows all.

    Parameters
    ----------
    theme : str
        Of napari.

    Attributes
    ----------
    frame_chosen : Signal(int)
    span_changed : Signal
        Other frames are in view; see `span`.
    """

    frame_chosen = Signal(int)
    span_changed = Signal()

    def __init__(self, theme: str) -> None:
        self._figure = Figure()
        super().__init__(self._figure)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(190)
        self.setToolTip("Click: go to this frame. Wheel: stretch time. Double click: all frames.")
        self._axes = self._figure.add_subplot()
        self._frame = 0
        self._whole = (0.0, 1.0)
        self._stretched = False
        self._ink = QColor("white")
        self._theme = theme
        self.curves: list[Curve] = []
        self.mpl_connect("button_press_event", self._press)
        self.mpl_connect("motion_notify_event", self._move)
        self.mpl_connect("scroll_event", self._scroll)
        self.show_curves([], "", Calibration())

    # ---- what is drawn ----------------------------------------------------------------------

    def show_curves(
        self,
        curves: Sequence[Curve],
        label: str,
        calibration: Calibration,
        *,
        note: str = "",
        events: Sequence[int] = (),
        keep_span: bool = False,
    ) -> None:
        """Draw other curves.

        Parameters
        ----------
        curves : sequence of Curve
        label : str
            Of the vertical axis.
        calibration : Calibration
            For the time above the plot.
        note : str
            Said in the middle of an empty plot.
        events : sequence of int
            Frames of events, ticked at the bottom.
        keep_span : bool
            Leave the frames that are in view where time was stretched.
        """
        span = self.span if keep_span and self._stretched else None
        self.curves = list(curves)
        self._figure.clear()
        self._axes = axes = self._figure.add_subplot()
        for k, curve in enumerate(curves):
            self._draw_curve(curve, COLOURS[k % len(COLOURS)], _BAND_ALPHA[len(curves) > 1])
        frames = [curve.frame[[0, -1]] for curve in curves if len(curve.frame)]
        if frames:
            # From the first frame on, so that curves of different length are told from each other.
            self._whole = (min(f[0] for f in frames) - 0.5, max(f[1] for f in frames) + 0.5)
        self._stretched = span is not None
        axes.set_xlim(*(span or self._whole))
        if span:
            self._rescale()
        axes.set_xlabel("frame")
        axes.set_ylabel(in_lines(label))
        axes.ticklabel_format(axis="y", scilimits=(-3, 4))
        if len(events):
            axes.plot(
                events,
                np.full(len(events), 0.02),
                "|",
                color=_EVENT,
                ms=7,
                mew=1.2,
                transform=axes.get_xaxis_transform(),
            )
        if calibration.fps is not None:
            step = calibration.time_per_frame
            functions = (lambda f: np.multiply(f, step), lambda t: np.divide(t, step))
            above = axes.secondary_xaxis("top", functions=functions)
            above.set_xlabel("time (s)")
        if note:
            axes.text(0.5, 0.5, note, transform=axes.transAxes, ha="center", va="center", wrap=True)
        self._margins()
        self.set_theme(self._theme)

    def _draw_curve(self, curve: Curve, colour: str, alpha: float) -> None:
        axes = self._axes
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.frame, curve.low, curve.high, color=colour, alpha=alpha, lw=0)
        axes.plot(curve.frame, curve.value, color=colour, lw=1.3)
        # A value between two gaps has no line.
        known = np.isfinite(curve.value)
        alone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
        axes.plot(curve.frame[alone], curve.value[alone], ".", color=colour, ms=4)

    def set_theme(self, theme: str) -> None:
        """Take the colours of one of napari's themes, and draw."""
        self._theme = theme
        colours = get_theme(theme)
        ground, text = colours.background.as_hex(), colours.text.as_hex()
        self._figure.set_facecolor(ground)
        for axes in (self._axes, *self._axes.child_axes):
            axes.set_facecolor(ground)
            axes.tick_params(colors=text, labelsize=8)
            axes.xaxis.label.set(color=text, fontsize=8.5)
            axes.yaxis.label.set(color=text, fontsize=8.5)
            for spine in axes.spines.values():
                spine.set_color(colours.secondary.as_hex())
        for note in self._axes.texts:
            note.set(color=text, fontsize=9)
        self._ink = QColor(text)
        self.draw_idle()

    def _margins(self) -> None:
        wide, high = max(self.width(), 120), max(self.height(), 120)
        top = _TOP_WITH_TIME if self._axes.child_axes else _TOP
        left = _LEFT + _LINE_HEIGHT * self._axes.get_ylabel().count("\n")
        self._figure.subplots_adjust(
            left=left / wide, right=1 - _RIGHT / wide, bottom=_BOTTOM / high, top=1 - top / high
        )

    def sizeHint(self) -> QSize:
        """As narrow as a dock may be."""
        return QSize(400, 260)

    def resizeEvent(self, event: Any) -> None:
        """Keep the margins."""
        self._margins()
        super().resizeEvent(event)

    # ---- the line of the current frame -----------------------------------------------------

    @property
    def frame(self) -> int:
        """Frame at which the line stands."""
        return self._frame

    def set_frame(self, frame: int) -> None:
        """Move the line; no curve is drawn again."""
        self._frame = frame
        self.update()

    def paintEvent(self, event: Any) -> None:
        """The curves as they were drawn, and the line over them."""
        super().paintEvent(event)
        low, high = self.span
        if not low <= self._frame <= high:
            return
        ratio = self.device_pixel_ratio
        box = self._axes.bbox
        x = self._axes.transData.transform((self._frame, 0))[0] / ratio
        top, bottom = self.height() - box.y1 / ratio, self.height() - box.y0 / ratio
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._ink, 1.5))
        painter.drawLine(QLineF(x, top, x, bottom))
        painter.end()

    # ---- the mouse --------------------------------------------------------------------------

    @property
    def span(self) -> tuple[float, float]:
        """First and last frame in view."""
        low, high = self._axes.get_xlim()
        return float(low), float(high)

    def _press(self, event: Any) -> None:
        if event.button != 1 or event.inaxes is None:
            return
        if event.dblclick:
            self._set_span(self._whole)
        else:
            self.frame_chosen.emit(round(event.xdata))

    def _move(self, event: Any) -> None:
        if event.inaxes is not None and event.button == 1 and round(event.xdata) != self._frame:
            self.frame_chosen.emit(round(event.xdata))

    def _scroll(self, event: Any) -> None:
        if event.inaxes is None:
            return
        low, high = self.span
        factor = _ZOOM ** (-event.step)
        low, high = (event.xdata + (end - event.xdata) * factor for end in (low, high))
        low, high = max(low, self._whole[0]), min(high, self._whole[1])
        if high - low >= _LEAST_FRAMES:
            self._set_span((low, high))

    def _set_span(self, span: tuple[float, float]) -> None:
        self._stretched = span != self._whole
        self._axes.set_xlim(*span)
        self._rescale()
        self.draw_idle()
        self.span_changed.emit()

    def _rescale(self) -> None:
        """Fit the vertical axis to what is in view."""
        low, high = self.span
        seen = []
        for curve in self.curves:
            inside = (curve.frame >= low) & (curve.frame <= high)
            seen += [v[inside] for v in (curve.value, curve.low, curve.high) if v is not None]
        values = np.concatenate(seen) if seen else np.zeros(0)
        values = values[np.isfinite(values)]
        if len(values):
            margin = 0.05 * (np.ptp(values) or abs(values[0]) or 1.0)
            self._axes.set_ylim(values.min() - margin, values.max() + margin)

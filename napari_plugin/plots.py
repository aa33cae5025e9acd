"""Curves in the window: matplotlib's canvas in the colours of napari's theme."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from typing import Any

from matplotlib.artist import Artist
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from napari.utils.theme import get_theme
from qtpy import API_NAME
from qtpy.QtWidgets import QSizePolicy

from colloidlab.report.style import INK

# matplotlib must take the binding that napari has taken.
os.environ.setdefault("QT_API", API_NAME)
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg

_SMALL, _NORMAL = 7.5, 8.0
_LINE = 24
"""Letters of a vertical label beside an axis; what is longer takes two lines."""


class Plot(FigureCanvasQTAgg):  # type: ignore[misc]
    """A figure in a panel.

    The settings of matplotlib belong to the process, and a job may be drawing the report with others at the same time:
    what is drawn here is coloured afterwards, artist by artist.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme it follows.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__(Figure(layout="constrained"))
        self._viewer = viewer
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(100)
        self.hide()

    def show_figure(self, draw: Callable[[Figure], None], height_px: int) -> None:
        """Draw anew, this high."""
        self.figure.clear()
        draw(self.figure)
        theme = get_theme(self._viewer.theme)
        dress(self.figure, theme.text.as_hex(), theme.background.as_hex())
        if self.height() != height_px:
            self.setFixedHeight(height_px)
        self.show()
        self.draw_idle()

    def wheelEvent(self, event: Any) -> None:
        """Leave the wheel to what the plot lies on, which can be scrolled."""
        event.ignore()


def dress(figure: Figure, ink: str, ground: str) -> None:
    """Text, axes and whatever the report draws in its ink, in the colours of a theme; small type, no frame."""
    figure.set_facecolor(ground)
    for ax in figure.axes:
        ax.set_facecolor("none")
        ax.spines[["top", "right"]].set_visible(False)
        for spine in ax.spines.values():
            spine.set(color=ink, linewidth=0.7)
        ax.tick_params(which="both", colors=ink, labelsize=_SMALL, width=0.7)
        title = ax.get_title() or ax.get_title("left")
        ax.set_title("")
        ax.set_title(title, loc="left", fontsize=_NORMAL, color=ink)
        ax.yaxis.label.set_text(in_lines(ax.get_ylabel()))
        for label in (ax.xaxis.label, ax.yaxis.label):
            label.set(fontsize=_NORMAL, color=ink)
    for legend in figure.findobj(Legend):
        legend.set_frame_on(False)
        for text in legend.get_texts():
            text.set(fontsize=_SMALL, color=ink)
    for artist in figure.findobj():
        _recolour(artist, ink)


def in_lines(label: str) -> str:
    """The label of a vertical axis, in as many lines as it takes beside a low plot."""
    return textwrap.fill(label, _LINE, break_long_words=False)


def _recolour(artist: Artist, ink: str) -> None:
    if isinstance(artist, Line2D):
        artist.set_linewidth(min(artist.get_linewidth(), 1.4))
        if _is_ink(artist.get_color()):
            artist.set_color(ink)
    elif isinstance(artist, Text):
        if _is_ink(artist.get_color()):
            artist.set_color(ink)
    elif hasattr(artist, "get_facecolor") and hasattr(artist, "set_facecolor"):
        colours = artist.get_facecolor()
        # Bands: one colour for all their polygons.
        if getattr(colours, "ndim", 1) == 2 and len(colours) and _is_ink(colours[0]):
            artist.set_facecolor((*to_rgba(ink)[:3], colours[0][3]))


def _is_ink(colour: Any) -> bool:
    return to_hex(colour) in (INK, "#000000")

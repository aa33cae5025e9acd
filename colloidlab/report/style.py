"""How every figure looks, and how it is put into the page: colours, sizes, SVG for light and dark."""

from __future__ import annotations

import io
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass

import matplotlib.style
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

INK = "#1f2329"
"""Text and axes; becomes the page's own text colour, so that figures follow light and dark."""
GREY = "#8a9099"
PANEL = "#eceef1"
"""Ground of every map: one and the same on a white and on a black page, so that colours read the same."""
BLUE = "#2b83c4"
ORANGE = "#d9631e"
GREEN = "#1b9e77"
PURPLE = "#a6619b"
GOLD = "#e0a100"
SERIES_COLOURS = {"experiment": INK, "rollout": ORANGE}
STATUS_COLOURS = {"ok": GREEN, "duplicate": GOLD, "damaged": ORANGE, "missing": PURPLE}
BLOCK_COLOURS = {"train": BLUE, "validation": GOLD, "test": ORANGE}

MAPS = {
    "d2min": "magma",
    "strain": "RdBu_r",
    "psi6": "viridis",
    "angle": "twilight",
    "temperature": "cividis",
    "entropy": "viridis",
    "speed": "viridis",
    "time": "viridis",
}

WIDTH = 10.0
"""Full width of the page's figures, inches."""
RASTER_DPI = 140
"""Resolution of what is embedded as pixels (maps of many particles) inside the vector figures."""
PX_PER_INCH = 100
"""Display size of a figure, so that type has one size on the whole page."""

_STYLE = {
    "svg.fonttype": "path",
    "svg.image_inline": True,
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.4,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


def house_style() -> AbstractContextManager[None]:
    """Context in which all figures are drawn and saved.

    It starts from matplotlib's defaults, so that a person's own matplotlibrc (LaTeX text, other
    fonts) neither changes nor breaks the page. matplotlib's settings belong to the process: draw
    in one thread at a time.
    """
    return matplotlib.style.context(["default", _STYLE])


@dataclass(frozen=True)
class Plate:
    """A figure and the sentence below it."""

    figure: Figure
    caption: str


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Empty figure, inches, whose labels never overlap."""
    return Figure(figsize=(width, height), layout="constrained")


def draw_band(ax: Axes, curve: pd.DataFrame, *, colour: str, label: str = "", line: str = "-") -> None:
    """Draw a curve with its uncertainty band; the band is left out where it is not finite.

    Parameters
    ----------
    curve : DataFrame with x, y, y_low, y_high
    """
    curve = curve.sort_values("x")
    x, y, low, high = (curve[c].to_numpy(dtype=float) for c in ("x", "y", "y_low", "y_high"))
    ax.plot(x, y, line, color=colour, label=label or None)
    ax.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)


def make_log(ax: Axes, curve: pd.DataFrame, decades: float) -> None:
    """Logarithmic axes around the curve, over `decades` at most; bands that reach zero run off the bottom.

    A curve without positive values keeps linear axes.
    """
    shown = curve[(curve["x"] > 0) & (curve["y"] > 0)]
    if shown.empty:
        return
    ax.set_xscale("log", nonpositive="clip")
    ax.set_yscale("log", nonpositive="clip")
    top = shown["y"].max()
    bottom = max(0.5 * shown["y"].min(), top / 10**decades)
    ax.set_ylim(bottom, 3 * top)
    _name_decades(ax.xaxis, shown["x"].max() / shown["x"].min())
    _name_decades(ax.yaxis, 3 * top / bottom)


def make_log_x(ax: Axes, x: pd.Series) -> None:
    """Logarithmic horizontal axis for values above zero."""
    ax.set_xscale("log", nonpositive="clip")
    if len(x) and x.min() > 0:
        _name_decades(ax.xaxis, x.max() / x.min())


def _name_decades(axis: Axis, span: float) -> None:
    if span < 100:
        # Less than two decades: powers of ten alone would leave the axis almost without numbers.
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())


def stamp(ax: Axes, text: str) -> None:
    """Write a warning across a panel, large enough that nobody reads the panel without it."""
    ax.text(
        0.5,
        0.5,
        text,
        transform=ax.transAxes,
        ha="center",
        va="center",
        rotation=20,
        fontsize=12,
        fontweight="bold",
        color="#ffffff",
        bbox={"facecolor": "#a3312b", "edgecolor": "none", "alpha": 0.88, "boxstyle": "round,pad=0.4"},
        zorder=10,
    )


def to_svg(figure: Figure, name: str, label: str) -> Markup:
    """Figure as inline SVG, free of outside references and of identifiers that clash on the page.

    Parameters
    ----------
    figure : Figure
    name : str
        Unique on the page; prefixes the identifiers that the SVG needs (glyphs, clip paths).
    label : str
        Read out instead of the picture by a screen reader.
    """
    stream = io.StringIO()
    figure.savefig(
        stream, format="svg", dpi=RASTER_DPI, metadata={"Date": None}, bbox_inches="tight", pad_inches=0.03
    )
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    names = {old: f"{name}-{i}" for i, old in enumerate(used)}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", text)
    text = re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + names[m[2]], text)
    text = text.replace(INK, "currentColor")
    head, body = text.split(">", 1)
    box = re.search(r'viewBox="([^"]+)"', head)
    assert box is not None, "matplotlib always writes a viewBox"
    width = round(float(box[1].split()[2]) / 72 * PX_PER_INCH)
    opening = Markup('<svg role="img" aria-label="{}" viewBox="{}" style="width:{}px">').format(
        label, box[1], width
    )
    # The body is matplotlib's, made from numbers and from labels that it escapes: safe as markup.
    return opening + Markup(body)

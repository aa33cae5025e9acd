"""A picture of what is found in real recordings with no number given, beside what people found with theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.spatial import cKDTree

from colloidlab.benchmarks.tracking_folders import Found, found_in_folders
from colloidlab.files import atomic_path
from colloidlab.progress import SILENT, Monitor
from colloidlab.report.style import BLUE, ORANGE, new_figure

_SHOWN = 90
"""Features in a panel: more hide the image."""
_COLUMNS = 3
_PANEL_INCHES = 4.6
_DPI = 110
_PERCENTILES = (0.5, 99.5)


def draw_folders(data: Path, path: Path, monitor: Monitor = SILENT) -> None:
    """Write one PNG with a panel a recording: circles are ours, crosses trackpy's with the numbers of people.

    Parameters
    ----------
    data : Path
        Folder of recordings, as `folder_rows` takes it.
    path : Path
        Of the PNG.
    """
    found = found_in_folders(data, monitor)
    rows = -(-len(found) // _COLUMNS)
    figure = new_figure(rows * _PANEL_INCHES, _COLUMNS * _PANEL_INCHES)
    for k, one in enumerate(found):
        _panel(figure.add_subplot(rows, _COLUMNS, k + 1), one)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI)


def _panel(axes: Axes, found: Found) -> None:
    image, ours = found.image, found.ours
    side = min(*image.shape, np.sqrt(_SHOWN * image.size / max(len(ours), 1)))
    low = [
        float(np.clip(at - side / 2, 0, length - side))
        for at, length in zip(_crowded(ours, side), image.shape[::-1], strict=True)
    ]
    dark, bright = np.percentile(image, _PERCENTILES)
    axes.imshow(image, cmap="gray", vmin=dark, vmax=bright, interpolation="nearest")
    axes.plot(ours["x"], ours["y"], "o", ms=9, mfc="none", mec=ORANGE, mew=1.4)
    axes.plot(found.theirs["x"], found.theirs["y"], "+", ms=6, color=BLUE, mew=1.4)
    axes.set(
        xlim=(low[0], low[0] + side),
        ylim=(low[1] + side, low[1]),
        xticks=[],
        yticks=[],
        title=f"{found.name}\n{len(ours)} found (circles), trackpy {len(found.theirs)} (crosses)",
    )


def _crowded(features: pd.DataFrame, side: float) -> tuple[float, float]:
    """Position of a feature with more neighbours than three quarters of the others, where a panel says most."""
    if len(features) == 0:
        return 0.0, 0.0
    places = features[["x", "y"]].to_numpy()
    neighbours = cKDTree(places).query_ball_point(places, side / 2, return_length=True)
    x, y = places[np.argsort(neighbours)[int(0.75 * len(places))]]
    return float(x), float(y)

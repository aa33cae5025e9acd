"""Layers of what was measured and learned of the particles: outlines, tracks, colours, maps, arrows, events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from napari_plugin.coordinates import arrows_to_napari, place, to_napari, tracks_to_napari
from napari_plugin.field import SmoothField
from napari_plugin.particles import NEW
from napari_plugin.quantities import (
    LineColormap,
    Quantity,
    bright_colormap,
    colourable,
    describe,
    limits,
    line_colormap,
)
from napari_plugin.scene import LayerData, Scene

SHOWN = ("temperature_px2", "entropy", "d2min_px2", "psi6")
"""Quantities that have layers of their own, the one that is looked at first in front."""

OUTLINE = "#ffd400"
RIM = "#8a9099"
EVENT = "#ff5ad2"
TAILS: dict[str, Any] = {
    "tail_length": 20,
    "tail_width": 3,
    # Added to a bright particle, every colour would become white.
    "blending": "translucent",
    "hide_completed_tracks": True,
    "colormap": "hsv",
}
"""How every Tracks layer looks; the map is for tracks that each have their own colour."""

_USUAL_DIAMETER_PX = 8.0


def outlines(scene: Scene, *, visible: bool, **more: Any) -> LayerData:
    """Every particle as an empty circle with all that is known of it: to select, colour and repair.

    `more` goes into `metadata["colloidlab"]`.
    """
    table = scene.table
    arguments = scene.arguments(
        "particles", "particles", visible=visible, track_key=scene.track_key, scene=scene, **more
    )
    arguments |= {
        "features": _that_may_be_unknown(table),
        "feature_defaults": defaults(table),
        "size": diameters(table),
        "face_color": "transparent",
        "border_color": OUTLINE,
        "border_width": 0.12,
    }
    return to_napari(table), arguments, "points"


def tracks(scene: Scene, quantity: Quantity | None, *, visible: bool) -> LayerData:
    """Trajectories with tails, coloured by a quantity, or each in its own colour where there is none.

    Colours for every other column are there too: napari's own would be none at all where a value is not known.
    """
    table = scene.table.sort_values(["particle", "frame"], kind="stable").reset_index(drop=True)
    columns = colourable(table)
    about = {"track_key": scene.track_key, "identified": scene.identified}
    arguments = scene.arguments("tracks", "tracks", visible=visible, **about)
    arguments |= TAILS | {
        "features": table[["frame", "particle", *columns]],
        "colormaps_dict": line_colours(table, columns),
    }
    if quantity is not None:
        arguments["color_by"] = quantity.column
    return tracks_to_napari(table), arguments, "tracks"


def line_colours(table: pd.DataFrame, columns: list[str]) -> dict[str, LineColormap]:
    """Colour maps of a Tracks layer, for every column by which it may be coloured."""
    found = {c: describe(c) for c in columns}
    return {c: line_colormap(quantity, limits(table[c], quantity)) for c, quantity in found.items()}


def coloured(scene: Scene, quantity: Quantity, *, visible: bool) -> LayerData:
    """Particles as discs coloured by one quantity; those of which it is not known stay empty."""
    table = scene.table
    span = limits(table[quantity.column], quantity)
    own = [quantity.column, quantity.uncertainty, *_interval(quantity)]
    columns = [c for c in ("particle", *own) if c in table]
    arguments = scene.arguments(scene.title(quantity), "coloured", visible=visible, **scene.about(quantity))
    arguments |= {
        "features": table[columns],
        "size": diameters(table),
        "opacity": 0.8,
        "border_width": 0.05,
        "border_color": RIM,
        **colouring(quantity, span),
    }
    return to_napari(table), arguments, "points"


def colouring(quantity: Quantity, span: tuple[float, float]) -> dict[str, Any]:
    """Arguments of a Points layer for colours by a column of its features."""
    return {
        "face_color": quantity.column,
        "face_colormap": quantity.colormap,
        "face_contrast_limits": span,
    }


def smooth_map(scene: Scene, quantity: Quantity) -> LayerData:
    """A quantity as a smooth map over the image, frame by frame, with the same colours as its discs."""
    return _map(scene, quantity, "map", quantity)


def uncertainty_map(scene: Scene, quantity: Quantity) -> LayerData | None:
    """The uncertainty of a quantity as a smooth map: that of one particle, not of the average over several."""
    if quantity.uncertainty is None or quantity.uncertainty not in scene.table:
        return None
    error = describe(quantity.uncertainty)
    if not scene.table[error.column].notna().any():
        return None
    return _map(scene, error, "map", quantity)


def _map(scene: Scene, shown: Quantity, what: str, of: Quantity) -> LayerData:
    field = SmoothField(scene.table, shown.column, scene.shape, scene.n_frames, period=shown.period)
    about = scene.about(shown) | {"of": of.column, "kernel_px": field.kernel_px, "cell_px": field.cell_px}
    arguments = scene.arguments(scene.title(shown, what), "map", **about)
    arguments |= place(scene.calibration, cell_px=field.cell_px).arguments()
    arguments |= {
        "rgb": False,
        "colormap": shown.colormap,
        "contrast_limits": limits(scene.table[shown.column], shown),
        "opacity": 0.6,
        "blending": "translucent_no_depth",
        # Between the two ends of a period, which mean the same, a straight line would pass through all others.
        "interpolation2d": "linear" if shown.period is None else "nearest",
    }
    return field, arguments, "image"


def arrows(scene: Scene) -> LayerData | None:
    """Displacement of every particle over the lag: from where it was towards where it is.

    Drawn longer by a round factor where true lengths would be dots; data and features are the true ones.
    """
    moved = displacements(scene.table, scene.lag)
    if moved.empty:
        return None
    quantity = describe("displacement_px")
    diameter = float(np.median(diameters(scene.table)))
    length = _magnification(moved[quantity.column].to_numpy(), diameter)
    name = arrows_title(scene.lag, length)
    about = {"lag": scene.lag, "length": length, **scene.about(quantity)}
    arguments = scene.arguments(name, "displacement", **about)
    steps = moved[[c for c in ("dx_px", "dy_px", "dz_px") if c in moved]]
    arguments |= {
        "features": moved[["particle", *steps.columns, quantity.column]],
        "edge_color": quantity.column,
        "edge_colormap": bright_colormap(quantity),
        "edge_contrast_limits": limits(moved[quantity.column], quantity),
        "edge_width": 0.1 * diameter,
        "length": length,
        "vector_style": "arrow",
        "opacity": 1.0,
    }
    return arrows_to_napari(moved, steps.to_numpy()), arguments, "vectors"


def arrows_title(lag: int, length: float) -> str:
    """Name of the arrows: over how many frames, how many times as long as they are, and the unit.

    >>> arrows_title(5, 10.0)
    'displacement, 5 frames, drawn 10 times as long (px)'
    """
    drawn = "" if length == 1 else f", drawn {length:g} times as long"
    return f"displacement, {lag} frame{'s' if lag > 1 else ''}{drawn} (px)"


def _magnification(lengths: np.ndarray, diameter: float) -> float:
    """1, 2, 5, 10, ...: the largest by which nine of ten arrows stay within a diameter."""
    usual = float(np.percentile(lengths, 90))
    room = diameter / usual if usual > 0 else 1.0
    steps = [step * 10.0**power for power in range(4) for step in (1, 2, 5)]
    return max((step for step in steps if step <= room), default=1.0)


def displacements(table: pd.DataFrame, lag: int) -> pd.DataFrame:
    """Displacement over `lag` frames: `frame, particle` of its end, `x, y[, z]` of its start, `dx_px, dy_px[, dz_px]`."""
    axes = [axis for axis in ("x", "y", "z") if axis in table]
    ends = table[["frame", "particle", *axes]]
    starts = ends.assign(frame=ends["frame"] + lag)
    both = starts.merge(ends, on=["frame", "particle"], suffixes=("", "_end"))
    for axis in axes:
        both[f"d{axis}_px"] = both.pop(f"{axis}_end") - both[axis]
    both["displacement_px"] = np.sqrt(sum(both[f"d{axis}_px"] ** 2 for axis in axes))
    return both.sort_values(["frame", "particle"], kind="stable").reset_index(drop=True)


def event_marks(scene: Scene, events: pd.DataFrame) -> LayerData:
    """Exchanges of neighbours (T1), each in its frame."""
    arguments = scene.arguments("T1 events", "events")
    arguments |= {
        "features": events,
        "size": 1.5 * float(np.median(diameters(scene.table))),
        "symbol": "cross",
        "face_color": EVENT,
        "border_width": 0,
    }
    return to_napari(events), arguments, "points"


def diameters(table: pd.DataFrame) -> np.ndarray:
    """Diameters to draw, px: each particle's own, the usual one where it is not known."""
    if "radius_px" not in table or not np.isfinite(table["radius_px"]).any():
        return np.full(len(table), _USUAL_DIAMETER_PX)
    own = 2 * table["radius_px"].to_numpy(dtype=np.float64)
    return np.where(np.isfinite(own), own, np.nanmedian(own))


def defaults(table: pd.DataFrame) -> dict[str, Any]:
    """Features of a position that somebody adds: nothing is known of it."""
    return {c: {"particle": NEW, "frame": NEW}.get(c, np.nan) for c in table.columns}


def _that_may_be_unknown(table: pd.DataFrame) -> pd.DataFrame:
    """Counts as floats: napari duplicates no layer of whose features an integer is NaN by default."""
    counts = [c for c in table.select_dtypes("integer").columns if c not in ("particle", "frame")]
    return table.astype(dict.fromkeys(counts, np.float64))


def _interval(quantity: Quantity) -> tuple[str, ...]:
    if quantity.column == "temperature_px2":
        return ("temperature_low_px2", "temperature_high_px2")
    return ()

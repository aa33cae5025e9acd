"""Layers of what was measured and learned of the particles: outlines, tracks, colours, maps, arrows, events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from napari_plugin.coordinates import arrows_to_napari, place, to_napari, tracks_to_napari
from napari_plugin.field import SmoothField
from napari_plugin.particles import NEW
from napari_plugin.quantities import Quantity, colormap, colourable, describe, limits
from napari_plugin.scene import LayerData, Scene

SHOWN = ("temperature_px2", "entropy", "d2min_px2", "psi6")
"""Quantities that have layers of their own, the one that is looked at first in front."""

OUTLINE = "#ffd400"
RIM = "#8a9099"
EVENT = "#ff5ad2"
TAIL_FRAMES = 20

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
    """Trajectories with tails, coloured by a quantity, or each in its own colour where there is none."""
    table = scene.table.sort_values(["particle", "frame"], kind="stable").reset_index(drop=True)
    columns = colourable(table)
    arguments = scene.arguments("tracks", "tracks", visible=visible, track_key=scene.track_key)
    arguments |= {
        "features": table[["frame", "particle", *columns]],
        "tail_length": TAIL_FRAMES,
        "tail_width": 2,
        # Added to a bright particle, every colour would become white.
        "blending": "translucent",
        "hide_completed_tracks": True,
    }
    if quantity is not None:
        maps = {c: _spanned(table, describe(c)) for c in columns}
        arguments |= {"color_by": quantity.column, "colormaps_dict": maps}
    return tracks_to_napari(table), arguments, "tracks"


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
    field = SmoothField(scene.table, shown.column, scene.shape, scene.n_frames)
    about = scene.about(shown) | {"of": of.column, "kernel_px": field.kernel_px, "cell_px": field.cell_px}
    arguments = scene.arguments(scene.title(shown, what), "map", **about)
    arguments |= place(scene.calibration, cell_px=field.cell_px).arguments()
    arguments |= {
        "rgb": False,
        "colormap": shown.colormap,
        "contrast_limits": limits(scene.table[shown.column], shown),
        "opacity": 0.6,
        "blending": "translucent_no_depth",
        "interpolation2d": "linear",
    }
    return field, arguments, "image"


def arrows(scene: Scene) -> LayerData | None:
    """Displacement of every particle over the lag: from where it was to where it is."""
    moved = displacements(scene.table, scene.lag)
    if moved.empty:
        return None
    quantity = describe("displacement_px")
    name = f"displacement, {scene.lag} frame{'s' if scene.lag > 1 else ''} (px)"
    arguments = scene.arguments(name, "displacement", lag=scene.lag, **scene.about(quantity))
    steps = moved[[c for c in ("dx_px", "dy_px", "dz_px") if c in moved]]
    arguments |= {
        "features": moved[["particle", *steps.columns, quantity.column]],
        "edge_color": quantity.column,
        "edge_colormap": quantity.colormap,
        "edge_contrast_limits": limits(moved[quantity.column], quantity),
        "edge_width": 0.08 * float(np.median(diameters(scene.table))),
        "vector_style": "arrow",
        "opacity": 1.0,
    }
    return arrows_to_napari(moved, steps.to_numpy()), arguments, "vectors"


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


def _spanned(table: pd.DataFrame, quantity: Quantity) -> Any:
    return colormap(quantity.colours, limits(table[quantity.column], quantity))

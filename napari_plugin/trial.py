"""Trying options on the frame that is looked at: what a job does for it, and the layer that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from colloidlab.config import Config, VideoConfig
from colloidlab.progress import Monitor
from napari_plugin.coordinates import to_napari
from napari_plugin.particle_layers import OUTLINE, diameters
from napari_plugin.scene import NAMESPACE

NAME = "preview"
KIND = "trial"
"""Name of the layer, and what `metadata["colloidlab"]` calls it."""


_FEATURES = ("mass", "size", "ecc", "signal", "radius_px", "sigma_x_px", "sigma_y_px")


@dataclass(frozen=True)
class Place:
    """The frame that is looked at.

    Parameters
    ----------
    layer : napari.layers.Image
        Of the recording.
    frame : int
        As the layer counts.
    """

    layer: Any
    frame: int

    @property
    def file_frame(self) -> int:
        """As the file counts."""
        return self.frame * int(self.layer.data.video.stride)


class Session:
    """The recording that options are tried on, open from one trial to the next; for one job at a time."""

    def __init__(self) -> None:
        self._key: Any = None
        self._preview: Any = None

    def open(self, source: Path, options: VideoConfig) -> Any:
        """A `colloidlab.features.preview.Preview`; another one where the recording or its options have changed."""
        from colloidlab.features.preview import Preview  # its compiler is slow to import

        key = (source, source.stat().st_mtime_ns if source.exists() else 0, options)
        if key != self._key:
            self.close()
            self._preview, self._key = Preview(source, options), key
        return self._preview

    def close(self) -> None:
        """Release the recording."""
        if self._preview is not None:
            self._preview.close()
        self._key = self._preview = None


def try_frame(session: Session, source: Path, options: Config, file_frame: int, monitor: Monitor) -> Any:
    """Locate one frame: a `FramePreview`, or None where the options leave the frame out."""
    monitor.update("preview", 0, 0)
    preview = session.open(source, options.video)
    number = preview.number(file_frame)
    return None if number is None else preview.locate(number, options.track, monitor)


def look_for_candidates(
    session: Session, source: Path, options: Config, found: Any, monitor: Monitor
) -> pd.DataFrame:
    """Everything in the frame, with what the thresholds leave out."""
    monitor.update("histograms", 0, 0)
    table: pd.DataFrame = session.open(source, options.video).candidates(found)
    return table


def estimate(session: Session, source: Path, options: Config, monitor: Monitor) -> Any:
    """`LocateParameters` as a run finds them that is told nothing but the method, and the radii of circles."""
    monitor.update("estimate", 0, 0)
    told = {"method", "radius_min_px", "radius_max_px"}
    free = type(options.track).model_validate(options.track.model_dump(include=told))
    return session.open(source, options.video).parameters(free, monitor)


def place_in(viewer: Any, source: Path) -> Place | None:
    """Where a viewer looks at a recording; None where the recording has no layer."""
    for layer in viewer.layers:
        ours = layer.metadata.get(NAMESPACE, {})
        if ours.get("kind") == "video" and Path(ours["path"]).resolve() == source.resolve():
            return Place(layer, round(float(layer.world_to_data(viewer.dims.point)[0])))
    return None


def show_trial(viewer: Any, where: Place, table: pd.DataFrame) -> None:
    """Outline particles in one frame, in the layer of the last trial where there is one."""
    if where.layer not in viewer.layers:
        return
    layer = trial_layer(viewer)
    about = where.layer.metadata[NAMESPACE]
    there = {name: getattr(where.layer, name) for name in ("scale", "translate", "units", "axis_labels")}
    if layer is None or tuple(layer.scale) != tuple(there["scale"]):
        hide_trial(viewer)
        active = viewer.layers.selection.active
        kept = {key: about[key] for key in ("path", "calibration", "in_px") if key in about}
        metadata = {NAMESPACE: {"kind": KIND, **kept}}
        layer = viewer.add_points(
            ndim=3,
            name=NAME,
            metadata=metadata,
            face_color="transparent",
            border_color=OUTLINE,
            border_width=0.12,
            **there,
        )
        viewer.layers.selection.active = active
    with layer._block_refresh():
        layer.selected_data = set()
        layer.data = to_napari(table.assign(frame=where.frame)) if len(table) else layer.data[:0]
        if len(table):
            layer.features = table[[name for name in _FEATURES if name in table]]
            layer.size = diameters(table)
    layer.refresh()  # once for all of it


def trial_layer(viewer: Any) -> Any:
    """The layer of the last trial; None where there is none."""
    for layer in viewer.layers:
        if layer.metadata.get(NAMESPACE, {}).get("kind") == KIND:
            return layer
    return None


def hide_trial(viewer: Any) -> None:
    """Take the layer away."""
    if (layer := trial_layer(viewer)) is not None:
        viewer.layers.remove(layer)

"""Putting the layers of a run into a viewer, in place of those that it has of the same run."""

from __future__ import annotations

from typing import Any

from napari.layers import Layer
from napari.utils.notifications import show_warning

from napari_plugin.appearance import follow
from napari_plugin.scene import NAMESPACE, LayerData


def show_run(viewer: Any, layers: list[LayerData]) -> None:
    """Add the layers of a run; older ones of the run, and of its recording alone, make room.

    Frame, zoom and centre stay where there was something to look at.
    """
    follow(viewer)
    run = layers[0][1]["metadata"][NAMESPACE]["run"]
    recordings = {found["path"] for _, more, _ in layers if "path" in (found := more["metadata"][NAMESPACE])}
    old = [layer for layer in viewer.layers if _makes_room(layer, run, recordings)]
    step, camera = viewer.dims.current_step, viewer.scene.camera
    centre, zoom = camera.center, camera.zoom
    for layer in old:
        viewer.layers.remove(layer)
    for data in layers:
        viewer.add_layer(Layer.create(*data))
        if note := data[1]["metadata"][NAMESPACE].get("note"):
            show_warning(note)
    if old:
        viewer.dims.set_current_step(0, step[0])
        camera.center, camera.zoom = centre, zoom
    else:
        viewer.dims.set_current_step(0, 0)


def shows_run(viewer: Any, run: str) -> bool:
    """Are there layers of a run, whose absolute path is given?"""
    return any(layer.metadata.get(NAMESPACE, {}).get("run") == run for layer in viewer.layers)


def _makes_room(layer: Any, run: str, recordings: set[str]) -> bool:
    ours = layer.metadata.get(NAMESPACE, {})
    if "run" in ours:
        return bool(ours["run"] == run)
    return ours.get("kind") == "video" and ours.get("path") in recordings

"""Putting the layers of a run into a viewer, in place of those that it has of the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.layers import Layer, Points
from napari.utils.notifications import show_warning

from napari_plugin.appearance import expect
from napari_plugin.rollout_layers import ROLLOUT_KINDS
from napari_plugin.scene import NAMESPACE, LayerData
from napari_plugin.slider import current_frame, go_to_frame, slider_ends
from napari_plugin.writers import unsaved


def show_run(viewer: Any, layers: list[LayerData]) -> None:
    """Add the layers of a run; older ones of the run, and of its recording alone, make room.

    Frame, zoom and centre stay where there was something to look at.
    """
    run = layers[0][1]["metadata"][NAMESPACE]["run"]
    recordings = {found["path"] for _, more, _ in layers if "path" in (found := more["metadata"][NAMESPACE])}
    old = [layer for layer in viewer.layers if _makes_room(layer, run, recordings)]
    n_space, camera = len(layers[0][1]["scale"]) - 1, viewer.scene.camera
    frame = current_frame(viewer, n_space) if old else 0
    centre, zoom = camera.center, camera.zoom
    for layer in old:
        _remove(viewer, layer)
    expect(viewer, [arguments for _, arguments, _ in layers])
    for data in layers:
        viewer.add_layer(Layer.create(*data))
        if note := data[1]["metadata"][NAMESPACE].get("note"):
            show_warning(note)
    if old:
        go_to_frame(viewer, frame, n_space)
        camera.center, camera.zoom = centre, zoom
    else:
        go_to_frame(viewer, slider_ends(viewer, n_space)[0], n_space)


def show_rollout(viewer: Any, layers: list[LayerData]) -> None:
    """Show these layers of a rollout in place of those that there are of the same run; what is seen stays seen."""
    run = layers[0][1]["metadata"][NAMESPACE]["run"]
    seen = {_kind(layer): layer.visible for layer in viewer.layers if _is_rollout(layer, run)}
    point = viewer.dims.point
    for layer in [layer for layer in viewer.layers if _is_rollout(layer, run)]:
        _remove(viewer, layer)
    expect(viewer, [arguments for _, arguments, _ in layers])
    for data, arguments, kind in layers:
        visible = seen.get(arguments["metadata"][NAMESPACE]["kind"], arguments["visible"])
        viewer.add_layer(Layer.create(data, arguments | {"visible": visible}, kind))
    viewer.dims.point = point


def show_to_compare(viewer: Any, run: str, *, rollout: bool) -> None:
    """Leave of a run only what the eye compares: the recording, its particles as outlines, and the rollout.

    The rollout is hidden too where another one is shown in its place.
    """
    shown = ("video", "preview", "particles", *(("rollout", "future") if rollout else ()))
    for layer in viewer.layers:
        if layer.metadata.get(NAMESPACE, {}).get("run") == run:
            layer.visible = _kind(layer) in shown


def unsaved_repair(viewer: Any, folder: Path) -> bool:
    """Are there changes by hand of a run's particles that its folder does not have?"""
    run = str(folder.resolve())
    return any(
        unsaved(layer)
        for layer in viewer.layers
        if _kind(layer) == "particles" and layer.metadata[NAMESPACE]["run"] == run
    )


def _remove(viewer: Any, layer: Any) -> None:
    viewer.layers.remove(layer)
    if isinstance(layer, Points):
        # napari keeps removed layers alive, whose tables have some hundred MB.
        layer.data = layer.data[:0]


def _is_rollout(layer: Any, run: str) -> bool:
    return layer.metadata.get(NAMESPACE, {}).get("run") == run and _kind(layer) in ROLLOUT_KINDS


def _kind(layer: Any) -> str:
    return str(layer.metadata.get(NAMESPACE, {}).get("kind", ""))


def shows_run(viewer: Any, run: str) -> bool:
    """Are there layers of a run, whose absolute path is given?"""
    return any(layer.metadata.get(NAMESPACE, {}).get("run") == run for layer in viewer.layers)


def _makes_room(layer: Any, run: str, recordings: set[str]) -> bool:
    ours = layer.metadata.get(NAMESPACE, {})
    if "run" in ours:
        return bool(ours["run"] == run)
    return ours.get("kind") == "video" and ours.get("path") in recordings

"""A viewer made readable: scale bar, colour bars, and the names of what is coloured."""

from __future__ import annotations

import weakref
from typing import Any

from napari import current_viewer

from napari_plugin.frame_strip import attach_strip
from napari_plugin.scene import NAMESPACE

_FOLLOWED: weakref.WeakSet[Any] = weakref.WeakSet()

_COLOURED = ("coloured", "map", "rollout", "displacement")


def follow(viewer: Any) -> None:
    """Keep colour bars, names, the scale bar and the strip of frames in step with the layers of ours.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
        Calling this again changes nothing.
    """
    if viewer not in _FOLLOWED:
        _FOLLOWED.add(viewer)
        attach_strip(viewer)
        viewer.layers.events.inserted.connect(lambda event: _take(viewer, event.value))
        viewer.layers.events.removed.connect(lambda event: dress(viewer))
    for layer in viewer.layers:
        _take(viewer, layer)


def follow_current() -> None:
    """`follow` the viewer that is open, where there is one."""
    if (viewer := current_viewer()) is not None:
        follow(viewer)


def dress(viewer: Any) -> None:
    """Show the scale bar where a scale is known, and say above the picture what its colours mean."""
    ours = [layer for layer in viewer.layers if NAMESPACE in layer.metadata]
    overlays = viewer.canvas.overlays
    overlays.scale_bar.visible = any(
        layer.metadata[NAMESPACE].get("calibration", {}).get("um_per_px") for layer in ours
    )
    # In the order of the colour bars: the layer in front first.
    names = [layer.name for layer in reversed(ours) if layer.visible and _kind(layer) in _COLOURED]
    overlays.text.text = "\n".join(names)
    overlays.text.position = "top_left"
    overlays.text.font_size = 11
    overlays.text.visible = bool(names)


def _take(viewer: Any, layer: Any) -> None:
    if NAMESPACE not in layer.metadata:
        return
    bar = _colour_bar(layer)
    if bar is not None and not bar.visible:
        bar.visible = True
    for event in (layer.events.visible, layer.events.name):
        event.connect(_dress_later(viewer))
    dress(viewer)


def _dress_later(viewer: Any) -> Any:
    # A layer may outlive its viewer.
    reference = weakref.ref(viewer)

    def changed(event: Any = None) -> None:
        if (alive := reference()) is not None:
            dress(alive)

    return changed


def _kind(layer: Any) -> str:
    return str(layer.metadata[NAMESPACE].get("kind", ""))


def _colour_bar(layer: Any) -> Any:
    """The layer's colour bar, which napari draws only while the layer is visible."""
    if _kind(layer) == "map":
        return layer.colorbar
    return layer.face_colorbar if _kind(layer) in ("coloured", "rollout") else None

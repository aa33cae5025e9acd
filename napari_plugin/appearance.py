"""A viewer made readable: scale bar, axis names, and a colour bar for what is visible."""

from __future__ import annotations

from typing import Any

from napari_plugin.scene import NAMESPACE


def dress(viewer: Any) -> None:
    """Show the scale bar where a scale is known, and keep a colour bar beside the visible coloured layer.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
        With the layers of a run; calling this again changes nothing.
    """
    ours = [layer for layer in viewer.layers if NAMESPACE in layer.metadata]
    scaled = any(layer.metadata[NAMESPACE].get("calibration", {}).get("um_per_px") for layer in ours)
    viewer.scale_bar.visible = scaled
    for layer in ours:
        bar = _colour_bar(layer)
        if bar is not None:
            bar.visible = True


def _colour_bar(layer: Any) -> Any:
    """The layer's colour bar, drawn only while the layer is."""
    kind = layer.metadata[NAMESPACE].get("kind")
    if kind == "map":
        return layer.colorbar
    return layer.face_colorbar if kind in ("coloured", "rollout") else None

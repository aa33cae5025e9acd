"""What the colours of a layer mean: its line in the corner of the picture, and its colour bar."""

from __future__ import annotations

from typing import Any

from napari.components.overlays import ColorBarOverlay
from napari.layers.utils.color_manager import ColorManager

from napari_plugin.quantities import LineColormap, describe
from napari_plugin.scene import NAMESPACE, titled

_NAMED = ("coloured", "map", "rollout", "displacement")
"""Kinds of layers whose name says what their colours are."""

_LINES = ("tracks", "rollout tracks", "future tracks")

_BAR = "colour bar"


def entry(layer: Any) -> str:
    """What the colours of a layer of ours mean, with the unit; empty where they mean nothing."""
    about = layer.metadata[NAMESPACE]
    if about.get("kind") in _NAMED:
        return str(layer.name)
    if about.get("kind") not in _LINES or _line_colours(layer) is None:
        return ""
    return f"{layer.name}, {titled(describe(layer.color_by), identified=about['identified'])}"


def show_colour_bar(layer: Any) -> None:
    """Show a layer's colour bar, which napari draws only while the layer is visible.

    It stands at the bottom, so that it leaves the names at the top their place however narrow the canvas is.
    """
    kind = layer.metadata[NAMESPACE].get("kind")
    if kind == "map":
        bar = layer.colorbar
    elif kind in ("coloured", "rollout"):
        bar = layer.face_colorbar
    elif kind == "displacement":
        bar = _add_bar(layer, "_edge")
    elif kind in _LINES:
        layer.line_colours = ColorManager()
        bar = _add_bar(layer, "line_colours")
        layer.events.color_by.connect(_show_line_colours)
    else:
        return
    bar.position = "bottom_left"
    bar.box = True
    bar.visible = True
    if kind in _LINES:
        _show_line_colours(layer=layer)


def _add_bar(layer: Any, colours: str) -> Any:
    """A colour bar for a layer to which napari gives none; `colours` names its `ColorManager`."""
    if _BAR not in layer._overlays:
        layer._overlays[_BAR] = ColorBarOverlay(colormanager_attribute=colours)
    return layer._overlays[_BAR]


def _show_line_colours(event: Any = None, *, layer: Any = None) -> None:
    """Bring the bar of a Tracks layer in step with what the tracks are coloured by."""
    layer = event.source if layer is None else layer
    shown = _line_colours(layer)
    if shown is not None:
        layer.line_colours.continuous_colormap = shown.without_span()
        layer.line_colours.contrast_limits = shown.span
    layer._overlays[_BAR].visible = shown is not None


def _line_colours(layer: Any) -> LineColormap | None:
    found = layer.colormaps_dict.get(layer.color_by)
    return found if isinstance(found, LineColormap) else None

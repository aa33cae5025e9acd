"""A viewer made readable: scale bar, colour bars, and the names of what is coloured."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from napari import current_viewer
from napari.utils.notifications import show_info

from napari_plugin.frame_strip import attach_strip
from napari_plugin.legend import entry, show_colour_bar
from napari_plugin.overlays import OwnOverlay
from napari_plugin.particle_layers import arrows_title
from napari_plugin.scene import NAMESPACE
from napari_plugin.several_runs import give_names, run_of, share_units, shows_scale


def follow(viewer: Any) -> None:
    """Keep colour bars, names, the scale bar and the strip of frames in step with the layers of ours.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
        Calling this again changes nothing.
    """
    if viewer not in _FOLLOWED:
        _FOLLOWED[viewer] = _Appearance(viewer)
        attach_strip(viewer)


def expect(viewer: Any, layers: Sequence[Any]) -> None:
    """`follow` a viewer to which layers are about to be added.

    The canvas draws a layer while it is inserted, and warns where its unit of length is not that of the others.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    layers : layers, or their arguments, which are changed where lengths are shown in pixels
    """
    follow(viewer)
    _FOLLOWED[viewer].share_units(layers)


def expect_current(layers: Sequence[Any]) -> None:
    """`expect` these in the viewer that is open, where there is one."""
    if (viewer := current_viewer()) is not None:
        expect(viewer, layers)


class _Appearance:
    """What one viewer shows of the layers of ours; what somebody has chosen otherwise stays.

    Callbacks are methods: napari connects each but once, and forgets them with this.
    """

    def __init__(self, viewer: Any) -> None:
        # A layer may outlive its viewer.
        self._viewer = weakref.ref(viewer)
        self._scale_bar = OwnOverlay(viewer.canvas.overlays.scale_bar, "visible")
        self._text = OwnOverlay(viewer.canvas.overlays.text, "visible", "text", "position", "font_size")
        self._taken: weakref.WeakSet[Any] = weakref.WeakSet()
        self._turned: set[str] = set()
        self._naming = False
        self._sentence = ""
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self.refresh)
        for layer in viewer.layers:
            self._take(layer)
        self.refresh()

    def _ours(self) -> list[Any]:
        viewer = self._viewer()
        return [] if viewer is None else [layer for layer in viewer.layers if NAMESPACE in layer.metadata]

    def share_units(self, coming: Sequence[Any] = ()) -> None:
        """Show layers of ours, and those that come, in one unit; what is to be said of it is said with the next ones."""
        self._sentence = share_units([*self._ours(), *coming]) or self._sentence

    def _inserted(self, event: Any) -> None:
        self._take(event.value)
        if NAMESPACE in event.value.metadata:
            self.refresh()

    def _take(self, layer: Any) -> None:
        """What is done once with a layer of ours."""
        if NAMESPACE not in layer.metadata or layer in self._taken:
            return
        self._taken.add(layer)
        show_colour_bar(layer)
        for name in ("visible", "name", "color_by"):
            if name in layer.events:
                layer.events[name].connect(self.refresh)
        if layer.metadata[NAMESPACE].get("kind") == "displacement":
            layer.events.length.connect(self._name_arrows)
        self._turn(layer)

    def _turn(self, layer: Any) -> None:
        """Show a run of three dimensions as a whole, once: a plane through it meets few of its particles.

        Not beside one of two dimensions, whose frames would lie behind each other in space.
        """
        viewer, run = self._viewer(), run_of(layer)
        if viewer is None:
            return
        if layer.ndim == 4 and run and run not in self._turned:
            self._turned.add(run)
            if all(other.ndim == 4 or run_of(other) == run for other in self._ours()):
                viewer.dims.ndisplay = 3
        elif layer.ndim == 3 and self._turned and run not in self._turned:
            viewer.dims.ndisplay = 2

    def refresh(self, event: Any = None) -> None:
        """Say what there is to say of the layers."""
        viewer = self._viewer()
        if viewer is None or self._naming:
            return
        ours = self._ours()
        self._naming = True
        try:
            give_names(viewer.layers, ours)
        finally:
            self._naming = False
        self.share_units()
        if self._sentence:
            sentence, self._sentence = self._sentence, ""
            show_info(sentence)
            viewer.reset_view()
        # In the order of the colour bars: the layer in front first.
        entries = [words for layer in reversed(ours) if layer.visible and (words := entry(layer))]
        self._scale_bar.set(visible=any(shows_scale(layer) for layer in ours))
        if entries:
            self._text.set_once(position="top_left", font_size=11)
        self._text.set(text="\n".join(entries), visible=bool(entries))

    def _name_arrows(self, event: Any) -> None:
        """Keep true what the name of a layer of arrows says of their length."""
        layer = event.source
        about = layer.metadata[NAMESPACE]
        before, about["length"] = about["length"], float(layer.length)
        titles = [arrows_title(about["lag"], length) for length in (before, about["length"])]
        layer.name = layer.name.replace(*titles)


_FOLLOWED: weakref.WeakKeyDictionary[Any, _Appearance] = weakref.WeakKeyDictionary()

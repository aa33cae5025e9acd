"""Listening to a viewer for a while: what was connected is disconnected again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

_STILL_PX = 3.0
"""A mouse that moves less between press and release has clicked, not dragged."""


class Listening:
    """Connections to the events of a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._connected: list[tuple[Any, Any]] = []
        self._selections: list[tuple[Any, Any]] = []
        self._clicks: list[Any] = []

    def to(self, emitter: Any, callback: Any) -> None:
        """Call `callback` at each event."""
        emitter.connect(callback)
        self._connected.append((emitter, callback))

    def to_clicks(self, callback: Any) -> None:
        """Call `callback`, made by `on_click`, when a mouse button is pressed in the picture."""
        self._viewer.mouse_drag_callbacks.append(callback)
        self._clicks.append(callback)

    def to_selections(self, layers: Sequence[Any], callback: Callable[[Any], None]) -> None:
        """Call `callback` with that of these Points layers in which others are selected; no longer those of before."""
        _release(self._selections)
        for layer in layers:
            signal = layer.selected_data.events.items_changed
            changed = _Changed(partial(callback, layer))
            signal.connect(changed)
            self._selections.append((signal, changed))

    def stop(self) -> None:
        """Disconnect everything."""
        _release(self._connected)
        _release(self._selections)
        for callback in self._clicks:
            if callback in self._viewer.mouse_drag_callbacks:
                self._viewer.mouse_drag_callbacks.remove(callback)
        self._clicks.clear()


class _Changed:
    """A callback that takes whatever it is told; the signal must not look at its arguments."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def __call__(self, *told: Any) -> None:
        self._call()


def on_click(callback: Callable[[Any, bool], None]) -> Callable[[Any, Any], Iterator[None]]:
    """A callback for the mouse in the picture that tells clicks from drags.

    Parameters
    ----------
    callback : callable(position, add)
        World coordinates, and whether Shift was held.
    """

    def pressed(viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1:
            return
        start, still = event.pos, True
        place, add = event.position, "Shift" in event.modifiers
        yield
        while event.type == "mouse_move":
            still &= max(abs(a - b) for a, b in zip(event.pos, start, strict=True)) < _STILL_PX
            yield
        if still:
            callback(place, add)

    return pressed


def _release(connected: list[tuple[Any, Any]]) -> None:
    for emitter, callback in connected:
        emitter.disconnect(callback)
    connected.clear()

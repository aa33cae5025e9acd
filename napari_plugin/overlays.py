"""Overlays of a viewer that are shown for somebody until they choose otherwise."""

from __future__ import annotations

from functools import partial
from typing import Any


class OwnOverlay:
    """An overlay whose fields are set here as long as nobody else has set them.

    Parameters
    ----------
    overlay : napari.components.overlays.Overlay
        One that is visible already is somebody's own.
    *fields : str
        Those that are set here. Whoever writes a text of their own takes the whole overlay.
    """

    def __init__(self, overlay: Any, *fields: str) -> None:
        self._overlay = overlay
        self._ours = set() if overlay.visible or getattr(overlay, "text", "") else set(fields)
        self._acting = False
        for field in fields:
            getattr(overlay.events, field).connect(partial(self._changed, field))

    def set(self, **values: Any) -> None:
        """Set those of these fields that are still ours."""
        self._acting = True
        try:
            for name, value in values.items():
                if name in self._ours and getattr(self._overlay, name) != value:
                    setattr(self._overlay, name, value)
        finally:
            self._acting = False

    def set_once(self, **values: Any) -> None:
        """Set fields the first time only."""
        self.set(**values)
        self._ours -= set(values)

    def _changed(self, field: str, value: Any) -> None:
        if not self._acting:
            self._ours -= self._ours if field == "text" else {field}

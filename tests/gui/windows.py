"""Whether a window can be opened here: Qt ends the process where it cannot, so that is asked beforehand."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import sys
from importlib.util import find_spec

_LIBRARIES = ("EGL", "GL", "xcb-cursor", "xcb-icccm", "xcb-keysyms", "xkbcommon-x11")


def why_no_window() -> str:
    """A sentence on what is missing; empty where windows can be opened."""
    if find_spec("napari") is None or find_spec("PyQt6") is None:
        return "napari[pyqt6] is not installed"
    if not sys.platform.startswith("linux"):
        return ""
    missing = [name for name in _LIBRARIES if ctypes.util.find_library(name) is None]
    if missing:
        return f"libraries of the system are missing: {', '.join(missing)}; see .ci/display-packages"
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or shutil.which("Xvfb")):
        return "there is no screen and no Xvfb; see .ci/display-packages"
    return ""


WHY_NO_WINDOW = why_no_window()

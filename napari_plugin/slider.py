"""The slider of frames: which of a viewer's axes it is, from where to where it goes, and where it stands.

napari aligns the last axes of all layers. Beside a run of three dimensions the frames of one of two are therefore not on
the first axis, and the first position of a slider is not frame 0 where no layer begins there.
"""

from __future__ import annotations

from typing import Any


def frame_axis(viewer: Any, n_space: int = 2) -> int:
    """Which of the viewer's axes counts the frames of layers of so many dimensions; negative where it has none."""
    return int(viewer.dims.ndim) - 1 - n_space


def slider_ends(viewer: Any, n_space: int = 2) -> tuple[int, int]:
    """First and last frame to which the slider goes."""
    ends = viewer.dims.range[frame_axis(viewer, n_space)]
    return round(ends.start), round(ends.stop)


def current_frame(viewer: Any, n_space: int = 2) -> int:
    """Frame on which the slider stands."""
    return round(float(viewer.dims.point[frame_axis(viewer, n_space)]))


def go_to_frame(viewer: Any, frame: int, n_space: int = 2) -> None:
    """Move the slider; it stops at its ends."""
    viewer.dims.set_point(frame_axis(viewer, n_space), frame)

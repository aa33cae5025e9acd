"""What napari opens: run folders and recordings. Everything else is left to other readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_warning

from colloidlab.run import Run
from colloidlab.video.images import IMAGE_SUFFIXES
from colloidlab.video.open import READERS
from napari_plugin.appearance import expect_current
from napari_plugin.layers import run_layers, video_layers
from napari_plugin.scene import NAMESPACE, LayerData

CONTAINERS = {
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".asf", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".flv", ".ogv", ".3gp", ".mj2", ".gif", ".y4m", ".mxf", ".nut", ".dv"),
}
"""Ends of the names of video containers; `open_video` looks at the content."""

VIDEO_SUFFIXES = CONTAINERS | set(READERS)

Reader = Callable[[Any], list[LayerData]]


def get_reader(path: str | list[str]) -> Reader | None:
    """Reader for a run folder or a recording, None for what is neither; looks at names only."""
    if isinstance(path, list) and len(path) != 1:
        return None
    place = _one(path)
    if is_run(place):
        return read_run
    if place.is_dir():
        # An empty folder is nobody else's either: opening it says so in a sentence.
        return read_video if _holds_images(place) or not any(place.iterdir()) else None
    return read_video if place.suffix.lower() in VIDEO_SUFFIXES else None


def read_run(path: str | list[str]) -> list[LayerData]:
    """Layers of a run folder; a warning where its recording has moved. The open viewer explains their colours."""
    layers = run_layers(Run(_folder(_one(path))))
    expect_current([arguments for _, arguments, _ in layers])
    for _, arguments, _ in layers:
        if note := arguments["metadata"][NAMESPACE].get("note"):
            show_warning(note)
    return layers


def read_video(path: str | list[str]) -> list[LayerData]:
    """Layer of a recording. The open viewer marks its damaged frames."""
    layers = video_layers(_one(path))
    expect_current([arguments for _, arguments, _ in layers])
    return layers


def is_run(path: Path) -> bool:
    """Is this a run folder, or its `run.toml`?"""
    return path.name == "run.toml" if path.is_file() else (path / "run.toml").is_file()


def _folder(path: Path) -> Path:
    return path.parent if path.is_file() else path


def _one(path: str | list[str]) -> Path:
    return Path(path[0] if isinstance(path, list) else path)


def _holds_images(folder: Path) -> bool:
    return any(p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "." for p in folder.iterdir())

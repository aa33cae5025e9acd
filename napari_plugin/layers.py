"""A recording or a run folder as the layers that napari shows; no window is needed for this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2

from colloidlab.errors import InputError
from colloidlab.report.rollouts import read_rollout
from colloidlab.run import Run
from colloidlab.units import Calibration
from colloidlab.video.grey_levels import grey_limits
from napari_plugin import particle_layers as drawn
from napari_plugin.coordinates import place
from napari_plugin.quantities import describe
from napari_plugin.recording import Recording
from napari_plugin.rollout_layers import rollout_layers
from napari_plugin.scene import NAMESPACE, LayerData, Scene, set_scene
from napari_plugin.sources import open_source


def video_layer(recording: Recording, calibration: Calibration, name: str = "", **more: Any) -> LayerData:
    """A recording as an Image layer; damaged and missing frames are blank.

    `metadata["colloidlab"]["health"]` maps a frame to (status, reason) where that is not "ok": those of the
    run where `more` has them, else those that were seen so far.
    """
    name = name or recording.video.path.stem
    metadata = {
        "kind": "video",
        "name": name,
        "path": str(recording.video.path),
        "calibration": vars(calibration),
        "health": recording.health,
        **more,
    }
    arguments = {
        "name": name,
        "rgb": False,
        "colormap": "gray",
        "contrast_limits": grey_limits(recording.first_image()),
        "metadata": {NAMESPACE: metadata},
        **place(calibration).arguments(),
    }
    return recording, arguments, "image"


def video_layers(path: Path, calibration: Calibration | None = None) -> list[LayerData]:
    """The layers of a recording: its images, with the scale that its file states."""
    recording = Recording.open(path)
    video = recording.video
    if calibration is None:
        calibration = Calibration(
            um_per_px=video.um_per_px,
            fps=video.fps,
            um_per_px_source="none" if video.um_per_px is None else "file",
            fps_source="none" if video.fps is None else "file",
        )
    return [video_layer(recording, calibration)]


def run_layers(run: Run, member: int = 0) -> list[LayerData]:
    """Everything that a run holds, from the bottom up; one coloured layer over the video is visible at first.

    Parameters
    ----------
    run : Run
    member : int
        Of the rollout's ensemble.

    Raises
    ------
    InputError
        The run has no tracks, or a product is damaged.
    """
    recording, note = open_source(run)
    scene = set_scene(run, recording.shape[1:] if recording else None, recording.shape[0] if recording else 0)
    more: dict[str, Any] = {"note": note, "frames": recorded_frames(run)}
    below = _background(run, scene, recording, more)
    # What is known of the frames goes with the lowest layer; a table of positions has no images.
    known = {} if below is not None else {"health": recorded_health(run), **more}
    return [layer for layer in [below, *_layers(run, scene, member, known)] if layer is not None]


def member_layers(run: Run, member: int) -> list[LayerData]:
    """The layers of one member of a run's rollout alone.

    Raises
    ------
    InputError
        There is no such member, or no rollout.
    """
    rollout = read_rollout(run, member)
    table = run.read_table("tracks")
    columns = [c for c in ("frame", "particle", "x", "y", "z", "radius_px") if c in table]
    return rollout_layers(set_scene(run, table=table[columns]), rollout)


def _layers(run: Run, scene: Scene, member: int, known: dict[str, Any]) -> list[LayerData | None]:
    found = [describe(c) for c in drawn.SHOWN if c in scene.table and scene.table[c].notna().any()]
    first = next((q for q in found if scene.identified or not q.learned), None)
    maps: list[LayerData | None] = []
    discs: list[LayerData | None] = []
    for quantity in reversed(found):
        discs.append(drawn.coloured(scene, quantity, visible=quantity is first))
        if scene.n_space == 2:
            maps += [drawn.uncertainty_map(scene, quantity), drawn.smooth_map(scene, quantity)]
    layers = [*maps, *discs, drawn.arrows(scene)]
    layers.append(drawn.tracks(scene, first, visible=False))
    layers.append(drawn.outlines(scene, visible=first is None, **known))
    if run.has("events.parquet") and len(events := run.read_table("events")):
        events.attrs.clear()
        layers.append(drawn.event_marks(scene, events))
    if run.has("rollout.zarr"):
        layers += rollout_layers(scene, read_rollout(run, member))
    return layers


def _background(
    run: Run, scene: Scene, recording: Recording | None, more: dict[str, Any]
) -> LayerData | None:
    """The recording, or the preview in its own frame where that is not there."""
    more = {"run": scene.path, **more}
    if recording is not None:
        return video_layer(recording, scene.calibration, health=recorded_health(run), **more)
    if not run.has("preview.png"):
        return None
    image = cv2.imread(str(run.path / "preview.png"), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise InputError(f"{run.path / 'preview.png'} is damaged; remove it, or track again")
    frame = int(run.facts("track").get("preview_frame", 0))
    name = f"preview (only frame {frame}; the recording is not there)"
    metadata = {
        "kind": "preview",
        "name": name,
        "calibration": vars(scene.calibration),
        "health": recorded_health(run),
        **more,
    }
    arguments = {
        "name": name,
        "rgb": False,
        "colormap": "gray",
        "metadata": {NAMESPACE: metadata},
        **place(scene.calibration, first_frame=frame).arguments(),
    }
    return image[None], arguments, "image"


def recorded_health(run: Run) -> dict[int, tuple[str, str]]:
    """Status and reason of every frame of a run that is not "ok"."""
    frames = run.read_table("frames")
    spoilt = frames[frames["status"] != "ok"]
    reasons = spoilt["reason"] if "reason" in spoilt else [""] * len(spoilt)
    return {
        int(k): (str(status), str(reason))
        for k, status, reason in zip(spoilt["frame"], spoilt["status"], reasons, strict=True)
    }


def recorded_frames(run: Run) -> tuple[int, int]:
    """First frame of a run, and the one after its last."""
    frames = run.read_table("frames")["frame"]
    return (int(frames.min()), int(frames.max()) + 1) if len(frames) else (0, 0)

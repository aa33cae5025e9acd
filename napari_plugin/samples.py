"""The sample videos, without a network: those of the source tree, or made on the spot."""

from __future__ import annotations

import json
from pathlib import Path

import platformdirs

import colloidlab
from colloidlab.synthetic.sample import write_sample
from colloidlab.units import Calibration
from napari_plugin.appearance import expect_current
from napari_plugin.layers import video_layers
from napari_plugin.progress import progress_bar
from napari_plugin.scene import LayerData


def sheared_monolayer() -> list[LayerData]:
    """A dense monolayer of two sizes that is sheared to and fro, heated by its own rearrangements."""
    return _sample("sheared_monolayer")


def brownian() -> list[LayerData]:
    """Fluorescent spheres of one micrometre that diffuse freely in water."""
    return _sample("brownian")


def sample_video(name: str, cache: Path | None = None) -> Path:
    """Path of a sample video; made in the user's cache where the source tree does not have it (about a minute).

    Parameters
    ----------
    name : str
        A name of `colloidlab.synthetic.sample.SAMPLES`.
    cache : Path, optional
    """
    shipped = Path(colloidlab.__file__).resolve().parents[1] / "sample_videos"
    made = cache or Path(platformdirs.user_cache_dir("colloidlab")) / "sample_videos"
    for folder in (shipped, made):
        if (folder / f"{name}.json").exists() and (folder / f"{name}.mp4").exists():
            return folder / f"{name}.mp4"
    with progress_bar() as monitor:
        write_sample(name, made, monitor=monitor)
    return made / f"{name}.mp4"


def _sample(name: str) -> list[LayerData]:
    video = sample_video(name)
    parameters = json.loads(video.with_suffix(".json").read_text(encoding="utf-8"))["parameters"]
    scale, fps = parameters.get("um_per_px"), parameters.get("fps")
    calibration = Calibration(scale, fps, "file" if scale else "none", "file" if fps else "none")
    layers = video_layers(video, calibration)
    expect_current([arguments for _, arguments, _ in layers])
    return layers

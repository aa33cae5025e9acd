"""Runs that the command line has made, opened in the plugin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import recordings
from napari.components import ViewerModel
from napari.layers import Layer
from scipy.ndimage import map_coordinates

from colloidlab.cli import _main
from colloidlab.run import Run
from colloidlab.video import write_mp4
from napari_plugin.coordinates import from_napari
from napari_plugin.layers import run_layers
from napari_plugin.repair import save_repair


def command(*arguments: object) -> int:
    return _main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 25 bright spheres that wander, tracked with a scale; the video lies beside the run."""
    folder = tmp_path_factory.mktemp("filmed")
    rng = np.random.default_rng(3)
    rows, columns = np.indices((120, 140))
    home = np.stack(np.meshgrid(np.arange(5) * 26 + 18, np.arange(5) * 21 + 18), axis=-1).reshape(-1, 2)
    places = home + np.cumsum(rng.normal(0, 0.6, (30, 25, 2)), axis=0)
    images = []
    for frame in places:
        light = sum(np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.2**2)) for x, y in frame)
        images.append(np.clip(30 + 180 * light + rng.normal(0, 3, rows.shape), 0, 255).astype(np.uint8))
    write_mp4(folder / "film.mp4", images, 40.0)
    assert command("track", folder / "film.mp4", "-o", folder / "run", "--um-per-px", 0.25, "--fps", 40) == 0
    return folder / "run"


def test_particles_lie_on_their_light(filmed: Path) -> None:
    viewer = ViewerModel()
    for layer in run_layers(Run(filmed)):
        viewer.add_layer(Layer.create(*layer))
    video, particles = viewer.layers["film"], viewer.layers["particles"]
    assert video.data.shape == (30, 120, 140) and tuple(video.scale) == (1, 0.25, 0.25)
    shown = from_napari(particles.data)
    assert shown.groupby("frame").size().tolist() == [25] * 30
    brightness = [
        map_coordinates(video.data[k].astype(float), rows[["y", "x"]].to_numpy().T, order=1)
        for k, rows in shown.groupby("frame")
    ]
    mirrored = [
        map_coordinates(video.data[k].astype(float), rows[["x", "y"]].to_numpy().T, order=1, mode="nearest")
        for k, rows in shown.groupby("frame")
    ]
    assert np.min(brightness) > 170 > 100 > np.mean(mirrored)


def test_the_same_command_keeps_a_repair_and_other_options_make_new_tracks(
    filmed: Path, tmp_path: Path
) -> None:
    run = Run(filmed)
    table = run.read_table("tracks")
    assert save_repair(run, table[table["particle"] != 4]).removed == 30
    again = ["track", filmed.parent / "film.mp4", "-o", filmed, "--um-per-px", 0.25, "--fps", 40]
    assert command(*again) == 0
    kept = Run(filmed)
    assert kept.read_table("tracks")["particle"].nunique() == 24 and kept.has("indicators.parquet")
    assert len(kept.facts("track")["repairs"]) == 1
    indicators = kept.read_table("indicators")
    assert 4 not in set(indicators["particle"]) and len(indicators) == 24 * 30
    assert command(*again, "--memory", 1) == 0
    assert "repairs" not in Run(filmed).facts("track")
    assert Run(filmed).read_table("tracks")["particle"].nunique() == 25


@pytest.mark.slow
def test_a_whole_run_from_the_command_line(tmp_path: Path) -> None:
    table = recordings.inertial(tmp_path / "monolayer.csv", n_frames=60)
    folder = tmp_path / "run"
    simulation = ["--ensemble", 2, "--frames", 20, "--forecast-starts", 0]
    assert command("track", table, "-o", folder) == 0
    assert command("fit", folder, *recordings.QUICK_FIT) == 0
    assert command("simulate", folder, *simulation) == 0
    viewer = ViewerModel()
    found = {}
    for layer in run_layers(Run(folder)):
        added = viewer.add_layer(Layer.create(*layer))
        found.setdefault(added.metadata["colloidlab"]["kind"], []).append(added)
    assert {
        "map",
        "coloured",
        "tracks",
        "particles",
        "rollout",
        "rollout tracks",
        "future",
        "future tracks",
    } <= set(found)
    # A table of positions has no video.
    assert "video" not in found and "preview" not in found
    # The filter follows particles through gaps too, where there is nothing to colour.
    seen = Run(folder).read_table("tracks")[["frame", "particle"]]
    state = Run(folder).read_table("state").merge(seen)
    temperature = next(
        l for l in found["coloured"] if l.metadata["colloidlab"]["quantity"] == "temperature_px2"
    )
    assert temperature.features["temperature_px2"].notna().sum() == len(state)
    assert ("not identified" in temperature.name) != Run(folder).summary["temperature_identified"]
    rollout = found["rollout"][0]
    first = rollout.data[:, 0] == rollout.data[:, 0].min()
    # A rollout begins where the experiment is.
    assert np.nanmax(rollout.features.loc[first, "error_px"]) < 0.5
    # The filter needs the frame after, so that the boundary is extrapolated from the last one on.
    assert found["future"][0].data[:, 0].min() == rollout.data[:, 0].max() + 1 == 59
    assert viewer.dims.range[0].stop > 60

"""Options are tried in the window on the frame that is looked at: what is shown there is what Track writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from diffusing_film import N_PARTICLES, write_film
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPointF, Qt
from qtpy.QtWidgets import QComboBox, QLineEdit
from rendered_scenes import expose, gaussian_image

from colloidlab import features
from colloidlab.config import Config, load_config
from colloidlab.pipeline import run_track
from colloidlab.run import Run
from colloidlab.synthetic.crowded import SCENES
from colloidlab.synthetic.crowded import film as crowded_film
from napari_plugin.analyse import Analyse
from napari_plugin.coordinates import from_napari
from napari_plugin.trial import trial_layer

N_FRAMES, BLANK = 12, 7
QUICK = {"indicators": {"only": "msd"}}
WAIT_MS = 120_000


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.tif"
    write_film(path, N_FRAMES, blank=(BLANK,))
    return path


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any]) -> Analyse:
    viewer = make_napari_viewer(show=True)
    widget = Analyse(viewer)
    viewer.window.add_dock_widget(widget, name="Analyse")
    widget.form.setCurrentIndex(1)
    widget.viewer = viewer  # type: ignore[attr-defined]
    return widget


def choose(window: Analyse, path: Path) -> None:
    window.places.set_recording(str(path))


def settle(qtbot: QtBot, window: Analyse) -> None:
    """Wait until nothing runs, and nothing is due."""
    trial = window.trial
    qtbot.waitUntil(lambda: not trial._latest.is_busy and not trial._idle.isActive(), timeout=WAIT_MS)


def line(window: Analyse, section: str, name: str) -> QLineEdit:
    widget = window.form.sections[section].fields[name].widget
    assert isinstance(widget, QLineEdit)
    return widget


def shown(window: Analyse) -> pd.DataFrame:
    layer = trial_layer(window.viewer)  # type: ignore[attr-defined]
    return pd.DataFrame() if layer is None else from_napari(layer.data)


def yellow(viewer: Any, qtbot: QtBot) -> int:
    """Pixels of the canvas that have the colour of outlines."""
    qtbot.wait(50)
    picture = np.asarray(viewer.screenshot(canvas_only=True, flash=False)).astype(int)
    return int(((picture[..., 0] > 150) & (picture[..., 1] > 120) & (picture[..., 2] < 80)).sum())


def as_a_run(film: Path, folder: Path, config: Config, frame: int) -> pd.DataFrame:
    """What `track` writes for a frame."""
    run = Run(folder)
    run_track(film, run, config.model_copy(update={"indicators": load_config(None, QUICK).indicators}))
    table = run.read_table("features")
    return table.loc[table["frame"] == frame, ["frame", "x", "y"]].reset_index(drop=True)


def test_the_preview_is_what_track_writes_and_follows_options_and_slider(
    window: Analyse, qtbot: QtBot, film: Path, tmp_path: Path
) -> None:
    viewer, trial = window.viewer, window.trial  # type: ignore[attr-defined]
    choose(window, film)
    method = window.form.sections["track"].fields["method"].widget
    assert isinstance(method, QComboBox)
    qtbot.keyClicks(method, "centroid")
    qtbot.mouseClick(trial.live, Qt.MouseButton.LeftButton)
    settle(qtbot, window)
    # The recording is there, its first frame in view, and everything that is estimated is said.
    assert [layer.name for layer in viewer.layers] == ["film", "preview"] and viewer.dims.current_step[0] == 0
    assert viewer.layers.selection.active.name == "film"
    config = window.form.config
    assert config.track.method == "centroid"
    pd.testing.assert_frame_equal(shown(window), as_a_run(film, tmp_path / "a", config, 0))
    assert f"<b>{len(shown(window))} particles</b> in frame 0: bright, diameter" in trial.sentence.text()
    assert yellow(viewer, qtbot) > 20 * N_PARTICLES

    # Options of both tabs, typed; another frame.
    qtbot.keyClicks(line(window, "track", "minmass"), "700")
    qtbot.keyClicks(line(window, "video", "roi"), "15,0,190,180")
    qtbot.keyClicks(line(window, "video", "frames"), "2:11")
    background = window.form.sections["video"].fields["background"].widget
    assert isinstance(background, QComboBox)
    qtbot.keyClicks(background, "rolling_ball")
    viewer.dims.set_current_step(0, 9)
    settle(qtbot, window)
    config = window.form.config
    assert (config.video.background, config.video.frames, config.track.minmass) == (
        "rolling_ball",
        "2:11",
        700,
    )
    there = as_a_run(film, tmp_path / "b", config, 9)
    pd.testing.assert_frame_equal(shown(window), there)
    assert 20 < len(there) < N_PARTICLES and there["x"].min() > 14.5
    assert yellow(viewer, qtbot) > 20 * len(there)
    layer = trial_layer(viewer)
    np.testing.assert_allclose(layer.size, 2 * layer.features["radius_px"])

    # The histograms hold the same particles, and their threshold is set by a click.
    bars, _edges, _ = trial.histograms._kept.get_data()
    assert trial.histograms.isVisible() and bars.sum() >= 0.95 * len(there)
    assert trial.histograms._threshold.get_xdata()[0] == 700
    middle = float(np.median(layer.features["mass"]))
    x, y = trial.histograms.mass.transData.transform((middle, 1.0))
    ratio, height = trial.histograms.device_pixel_ratio, trial.histograms.figure.bbox.height
    at = QPointF(x / ratio, (height - y) / ratio).toPoint()
    qtbot.mouseClick(trial.histograms, Qt.MouseButton.LeftButton, pos=at)
    settle(qtbot, window)
    assert window.form.config.track.minmass == pytest.approx(middle, rel=0.05)
    assert 0.3 < len(shown(window)) / len(there) < 0.7

    # What has no particles says why: left out, invalid, damaged.
    viewer.dims.set_current_step(0, 0)
    settle(qtbot, window)
    assert (
        trial.sentence.text() == "Frame 0 is left out by the options of the tab Video" and shown(window).empty
    )
    viewer.dims.set_current_step(0, BLANK)
    settle(qtbot, window)
    assert trial.sentence.text().startswith(f"Frame {BLANK} is damaged: blank") and shown(window).empty
    qtbot.keyClicks(line(window, "track", "diameter_px"), "4")
    assert "must be odd" in trial.sentence.text()
    qtbot.mouseClick(trial.live, Qt.MouseButton.LeftButton)
    assert trial_layer(viewer) is None and not trial.histograms.isVisible() and not trial.sentence.text()


def test_estimate_fills_in_what_track_would_find_and_track_ends_the_preview(
    window: Analyse, qtbot: QtBot, film: Path, tmp_path: Path
) -> None:
    trial = window.trial
    choose(window, film)
    window.places.set_folder(str(tmp_path / "run"))
    window.form.sections["indicators"].fields["only"].set_value("msd")
    qtbot.mouseClick(trial.estimate, Qt.MouseButton.LeftButton)
    assert not trial.estimate.isEnabled()
    qtbot.waitUntil(trial.estimate.isEnabled, timeout=WAIT_MS)
    settle(qtbot, window)
    run = Run(tmp_path / "reference")
    run_track(film, run, load_config(None, QUICK))
    used, track = run.facts("track")["parameters"], window.form.config.track
    assert (track.diameter_px, track.polarity) == (used["diameter_px"], used["polarity"])
    assert track.minmass == pytest.approx(used["minmass"], rel=1e-3)
    assert track.separation_px == pytest.approx(used["separation_px"], rel=1e-3)
    assert track.method == ("auto" if used["method"] == "joint" else used["method"])
    assert f"bright, diameter {track.diameter_px} px" in trial.found.text()
    assert run.facts("track")["reasons"]["polarity"] in trial.found.toolTip()
    assert trial.live.isChecked() and len(shown(window)) == N_PARTICLES
    qtbot.mouseClick(window.buttons["Track"], Qt.MouseButton.LeftButton)
    assert not trial.live.isChecked() and shown(window).empty
    qtbot.waitUntil(lambda: not window.buttons["Cancel"].isEnabled(), timeout=WAIT_MS)
    written = Run(tmp_path / "run").read_table("features")
    assert len(written) == (N_FRAMES - 1) * N_PARTICLES


def test_a_recording_that_cannot_be_tried_is_a_sentence(
    window: Analyse, qtbot: QtBot, tmp_path: Path
) -> None:
    trial = window.trial
    qtbot.mouseClick(trial.live, Qt.MouseButton.LeftButton)
    assert trial.sentence.text() == "Choose a recording"
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    (tmp_path / "table.csv").write_text("frame,x,y\n0,1,1\n")
    for name, says in (
        ("broken.mp4", "cannot be read as a video"),
        ("gone.tif", "does not exist"),
        ("table.csv", "is not a recording"),
    ):
        choose(window, tmp_path / name)
        settle(qtbot, window)
        assert says in trial.sentence.text() and name in trial.sentence.text()
        qtbot.mouseClick(trial.estimate, Qt.MouseButton.LeftButton)
        settle(qtbot, window)
        assert name in trial.sentence.text() and trial.estimate.isEnabled()
    assert not len(window.viewer.layers)  # type: ignore[attr-defined]


def test_positions_that_pixels_draw_are_pointed_out(window: Analyse, qtbot: QtBot, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:14, :14]
    places = np.column_stack([x.ravel(), y.ravel()]) * 22.0 + 20.0 + rng.uniform(-2, 2, (196, 2))
    clean = gaussian_image((330, 330), places, np.full(196, 2.5), np.full(196, 150.0), 30)
    images = np.stack([expose(clean, rng, read=1.0, gain=0.02) for _ in range(3)])
    tifffile.imwrite(tmp_path / "film.tif", images, photometric="minisblack")
    options = {"method": "centroid", "polarity": "bright", "diameter_px": 7, "minmass": 100.0}
    options |= {"separation_px": 12.0, "minsignal": 0.0}
    window.form.show_options(Config.model_validate({"track": options}))
    choose(window, tmp_path / "film.tif")
    qtbot.mouseClick(window.trial.live, Qt.MouseButton.LeftButton)
    settle(qtbot, window)
    assert len(shown(window)) == 196, window.trial.sentence.text()
    assert "towards the centres of pixels, by up to 0.1" in window.trial.hint.text()
    line(window, "track", "diameter_px").setText("13")
    settle(qtbot, window)
    assert len(shown(window)) == 196 and not window.trial.hint.text()


def test_three_thousand_particles_are_live_and_closing_ends_what_runs(
    window: Analyse, qtbot: QtBot, tmp_path: Path
) -> None:
    scene = replace(SCENES["a"], size_px=1100, n_particles=3130)
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, np.stack([image for image, *_ in crowded_film(scene, 2, seed=1)]))
    options = {"method": "centroid", "polarity": "bright", "diameter_px": 17, "minmass": 2800.0}
    options |= {"separation_px": 11.0, "minsignal": 0.0}
    window.form.show_options(Config.model_validate({"track": options}))
    choose(window, path)
    qtbot.mouseClick(window.trial.live, Qt.MouseButton.LeftButton)
    settle(qtbot, window)
    assert len(shown(window)) > 2900
    took, layer = [], trial_layer(window.viewer)  # type: ignore[attr-defined]
    for k in range(12):
        done: list[float] = []
        layer.events.features.connect(lambda event: done.append(process_time()))  # noqa: B023
        began = process_time()
        line(window, "track", "minmass").setText(str(2000 + 10 * k))
        qtbot.waitUntil(lambda: bool(done), timeout=5000)  # noqa: B023
        took.append(done[0] - began)
        settle(qtbot, window)
    # Of the processor, in all threads: a busy machine makes waiting longer, but not this.
    assert min(took) < 0.1, took

    # The estimation of a joint fit takes long: closing stops it.
    window.form.show_options(Config())
    qtbot.waitUntil(lambda: bool(window.trial._latest.running), timeout=5000)
    [job] = window.trial._latest.running
    assert job.isRunning()
    window.viewer.close()  # type: ignore[attr-defined]
    qtbot.waitUntil(job.isFinished, timeout=WAIT_MS)


def test_estimated_values_are_those_of_the_library(film: Path) -> None:
    """What "Estimate for me" fills in finds the same particles as what it was estimated from."""
    images = [image for k, image in enumerate(tifffile.imread(film)) if k != BLANK]
    found = features.estimate(images, method="centroid")
    rounded = replace(found, minmass=float(f"{found.minmass:.4g}"))
    one, other = (
        dict(features.locate_frames(enumerate(images), parameters)) for parameters in (found, rounded)
    )
    assert all(len(one[k]) == len(other[k]) == N_PARTICLES for k in one)

"""The tabs Fit and Simulate, driven by clicks: what a run folder holds, and a whole fit and simulation to their end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from gui.test_analyse import click, enter, option
from matplotlib.colors import to_hex
from matplotlib.text import Text
from napari.utils.theme import get_theme
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from recordings import SIGMA_PX, inertial
from report_fixture import Layer, make_run

from colloidlab.config import Config
from colloidlab.errors import Cancelled
from colloidlab.news import RolloutPart
from colloidlab.rollout.driven import RolloutFrame, roll_out
from colloidlab.run import UNFINISHED, Run
from napari_plugin import live_rollout
from napari_plugin.analyse import Analyse
from napari_plugin.jobs import Outcome
from napari_plugin.layers import run_layers
from napari_plugin.plots import Plot
from napari_plugin.scene import NAMESPACE
from napari_plugin.showing import show_run
from napari_plugin.stages import SIMULATE, Task

QUICK = Config.model_validate(
    {
        "indicators": {"only": "msd"},
        "fit": {"isothermal_steps": 2, "filter_steps": 8, "window_frames": 6, "burn_in_frames": 3},
        "simulate": {"ensemble": 2, "forecast_starts": 1},
    }
)
N_FRAMES = 48
WAIT_MS = 300_000
"""A fit takes 20 s on a quiet core."""


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any]) -> Analyse:
    viewer = make_napari_viewer(show=True)
    widget = Analyse(viewer)
    viewer.window.add_dock_widget(widget, name="Analyse")
    viewer.window._qt_window.resize(1300, 1100)
    widget.viewer = viewer  # type: ignore[attr-defined]
    return widget


def press(qtbot: QtBot, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def until_done(qtbot: QtBot, window: Analyse) -> None:
    """Wait until all jobs are done, the one that reads layers included."""
    qtbot.waitUntil(lambda: not window.buttons["Cancel"].isEnabled(), timeout=WAIT_MS)


def run_to_end(qtbot: QtBot, window: Analyse, title: str) -> None:
    click(qtbot, window, title)
    until_done(qtbot, window)


def lines(plot: Plot, axes: int) -> list[np.ndarray]:
    """Heights of the curves of one panel, without lines of reference."""
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in plot.figure.axes[axes].lines]
    return [y for y in drawn if len(y) > 2]


def cut_off(plot: Plot) -> list[str]:
    """Words that do not lie on the figure."""
    plot.draw()
    box = plot.figure.bbox
    words = [t for t in plot.figure.findobj(Text) if t.get_text() and t.get_visible()]
    renderer = plot.get_renderer()
    outside = []
    for ax in plot.figure.axes:
        ticks = {id(t) for axis in (ax.xaxis, ax.yaxis) for t in axis.get_ticklabels(which="both")}
        words = [t for t in words if id(t) not in ticks]
    for text in words:
        here = text.get_window_extent(renderer)
        if here.x0 < -1 or here.y0 < -1 or here.x1 > box.x1 + 1 or here.y1 > box.y1 + 1:
            outside.append(text.get_text())
    return outside


def of_kind(window: Analyse, kind: str) -> Any:
    layers = window.viewer.layers  # type: ignore[attr-defined]
    (layer,) = [layer for layer in layers if layer.metadata.get(NAMESPACE, {}).get("kind") == kind]
    return layer


def assert_shows_member(layer: Any, run: Run, member: int) -> None:
    """Is every position of a member there, and nothing else?"""
    group = zarr.open_group(run.path / "rollout.zarr", mode="r")
    positions, frames = np.asarray(group["positions"])[member], np.asarray(group["frame"])
    k = np.searchsorted(frames, layer.data[:, 0].astype(int))
    p = np.searchsorted(np.asarray(group["particle"]), layer.features["particle"].to_numpy(dtype=int))
    np.testing.assert_array_equal(layer.data[:, :0:-1], positions[k, p])
    assert len(layer.data) == np.isfinite(positions[..., 0]).sum() == len(set(zip(k, p, strict=True)))


def positions_in(layer: Any) -> pd.DataFrame:
    """frame, y, x, particle of a Points layer."""
    table = pd.DataFrame(layer.data, columns=["frame", "y", "x"])
    return table.assign(particle=layer.features["particle"].to_numpy())


def mean_squared(table: pd.DataFrame, longest: int) -> np.ndarray:
    """Mean squared displacement over 1, 2, ... frames, of all pairs."""
    wide = [table.pivot(index="frame", columns="particle", values=axis).to_numpy() for axis in ("x", "y")]
    r = np.stack(wide, axis=-1)
    return np.array([np.nanmean(((r[k:] - r[:-k]) ** 2).sum(axis=-1)) for k in range(1, longest + 1)])


# ---- what a run folder holds ----------------------------------------------------------------


def test_a_finished_run_is_shown_as_soon_as_its_folder_is_chosen(
    window: Analyse, qtbot: QtBot, run: Run
) -> None:
    viewer = window.viewer  # type: ignore[attr-defined]
    fit, simulate = window.panels.fit, window.panels.simulate
    enter(qtbot, window.places.folder, str(run.path))
    window.form.setCurrentWidget(window.form.sections["fit"])
    training = run.read_table("training")
    drawn = lines(fit.training, 0)
    np.testing.assert_array_equal(drawn, [training["train_loglik"], training["validation_loglik"]])
    functions = run.read_table("functions").set_index("quantity")["y"]
    axes = {ax.get_ylabel(): k for k, ax in enumerate(fit.functions.figure.axes)}
    assert list(axes) == ["pressure (µm²/s²)", "pair friction (1/s)", "pair noise (µm²/s³)", "kernel"]
    for k, name in enumerate(("pressure", "pair_friction", "pair_noise", "kernel")):
        np.testing.assert_array_equal(lines(fit.functions, k)[0], functions[name])
    assert "Temperature identified" in fit.verdict.text() and fit.verdict.isVisible()

    window.form.setCurrentWidget(window.form.sections["simulate"])
    comparison = run.read_table("comparison").set_index(["quantity", "series"]).sort_index()["y"]
    for k, name in enumerate(("g_r", "msd", "d2min")):
        both = lines(simulate.statistics, k)
        for y, series in zip(both, ("experiment", "rollout"), strict=True):
            np.testing.assert_array_equal(np.sort(y), np.sort(comparison[name, series]))
    titles = [ax.get_title(loc="left") for ax in simulate.statistics.figure.axes]
    assert titles[0] == "g(r): relative error 2.3 %"
    assert titles[2] == "D²min: Kolmogorov-Smirnov distance 0.047 (0.032)"
    assert "no farther apart (0.047)" in simulate.verdict.text()
    # The report's dark ink would not be seen on a dark window.
    experiment = simulate.statistics.figure.axes[0].lines[0]
    assert to_hex(experiment.get_color()) == get_theme(viewer.theme).text.as_hex(format="long")
    for plot in (fit.training, fit.functions, simulate.statistics):
        assert plot.width() <= window.width() and not cut_off(plot)

    show_run(viewer, run_layers(run))
    rollout = of_kind(window, "rollout")
    rollout.visible = True
    assert_shows_member(rollout, run, 0)
    n_layers = len(viewer.layers)
    qtbot.keyClick(simulate.member, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: of_kind(window, "rollout").name.startswith("rollout 2 of 2"), timeout=WAIT_MS)
    assert_shows_member(of_kind(window, "rollout"), run, 1)
    assert of_kind(window, "rollout").visible and len(viewer.layers) == n_layers
    # One that cannot be read leaves what is seen, and says what is seen.
    aside = (run.path / "rollout.zarr").rename(run.path / "aside")
    qtbot.keyClick(simulate.member, Qt.Key.Key_Down)
    assert simulate.member.value() == 1
    qtbot.waitUntil(lambda: simulate.member.value() == 2, timeout=WAIT_MS)
    assert "rollout" in window.message.text() and of_kind(window, "rollout").name.startswith("rollout 2 of 2")
    aside.rename(run.path / "rollout.zarr")

    # The frame of the slider as the start, where it can be one.
    last = int(run.read_table("state")["frame"].max())
    field = option(window, "simulate", "from_frame")
    viewer.dims.set_point(0, last)
    press(qtbot, simulate.from_current)
    assert f"frame {last} has no frame left" in simulate.start.text() and field.value() is None
    viewer.dims.set_point(0, 10)
    press(qtbot, simulate.from_current)
    assert window.form.config.simulate.from_frame == 10 and "which the fit has seen" in simulate.start.text()
    viewer.dims.set_point(0, last - 2)
    press(qtbot, simulate.from_current)
    assert window.form.config.simulate.from_frame == last - 2 and "has seen" not in simulate.start.text()


def test_other_states_of_a_run_are_sentences(
    window: Analyse, qtbot: QtBot, unidentified_run: Run, tmp_path: Path
) -> None:
    fit, simulate = window.panels.fit, window.panels.simulate
    window.form.setCurrentWidget(window.form.sections["fit"])
    enter(qtbot, window.places.folder, str(unidentified_run.path))
    assert "Temperature not identified" in fit.verdict.text() and "not above zero" in fit.verdict.text()
    assert simulate.state.text() == "Nothing has been simulated yet." and not simulate.member.isEnabled()
    press(qtbot, simulate.from_current)
    assert "no slider yet" in simulate.start.text()
    refused = make_run(tmp_path / "refused", layer=Layer(n_side=4), refused=True)
    enter(qtbot, window.places.folder, str(refused.path))
    assert "The fit was refused: velocities forget themselves" in fit.state.text()
    assert not fit.functions.isVisible() and not fit.training.isVisible()
    (refused.path / "functions.parquet").write_bytes(b"broken")
    (refused.path / "model").mkdir()
    enter(qtbot, window.places.folder, str(tmp_path / "nothing"))
    assert fit.state.text() == simulate.state.text() == ""


def test_a_rollout_grows_over_the_recording_and_stays_when_it_is_stopped(
    window: Analyse, qtbot: QtBot, run: Run
) -> None:
    viewer = window.viewer  # type: ignore[attr-defined]
    simulate = window.panels.simulate
    enter(qtbot, window.places.folder, str(run.path))
    show_run(viewer, run_layers(run))
    viewer.dims.set_point(0, 3)
    task = Task(SIMULATE, Path(), run.path, QUICK)
    window.panels.begin(task)
    assert window.form.currentWidget() is window.form.sections["simulate"]
    assert not simulate.statistics.isVisible() and not simulate.member.isEnabled()
    positions = np.random.default_rng(0).uniform(20, 180, (3, 6, 5, 2))
    positions[:, 2:, 4] = np.nan
    particles, simulated = np.array([2, 3, 5, 8, 9]), np.array([True, True, True, False, False])

    def tell(done: int, stop: int) -> None:
        window.panels.take(RolloutPart(24, 10, done, particles, simulated, positions[:, done:stop]))

    def shown() -> list[tuple[int, int]]:
        frames, counts = np.unique(simulate.live.layer.data[:, 0], return_counts=True)
        return [*zip(frames.astype(int), counts, strict=True)]

    tell(0, 1)
    qtbot.waitUntil(lambda: simulate.live.layer is not None, timeout=WAIT_MS)
    layer = simulate.live.layer
    assert shown() == [(24, 5)] and viewer.dims.point[0] == 24
    assert layer.visible and of_kind(window, "particles").visible and not of_kind(window, "rollout").visible
    assert layer.scale.tolist() == of_kind(window, "particles").scale.tolist() == [1.0, 0.2, 0.2]
    assert layer.face_color[:, 3].tolist() == [1, 1, 1, 0, 0], "prescribed particles stay empty"
    tell(1, 3)
    qtbot.waitUntil(lambda: len(layer.data) == 14, timeout=WAIT_MS)
    assert shown() == [(24, 5), (25, 5), (26, 4)]
    assert viewer.dims.point[0] == 26, "the slider goes on with the newest frame"
    qtbot.keyClick(simulate.member, Qt.Key.Key_Up)
    assert layer.name == "rollout 2 of 3, 3 of 10 frames computed"
    np.testing.assert_array_equal(layer.data[5:10, :0:-1], positions[1, 1])
    viewer.dims.set_point(0, 25)
    tell(3, 6)
    qtbot.waitUntil(lambda: len(layer.data) == 26, timeout=WAIT_MS)
    assert viewer.dims.point[0] == 25, "until somebody moves it"

    (run.path / UNFINISHED["simulate"]).mkdir()
    window.panels.end(task, Outcome(error=Cancelled("stopped")))
    assert layer in viewer.layers and "was interrupted" in simulate.state.text()
    assert not simulate.statistics.isVisible() and simulate.member.maximum() == 3
    press(qtbot, simulate.to_first)
    assert viewer.dims.point[0] == 24
    # Another folder: what was seen is not its.
    enter(qtbot, window.places.folder, str(run.path.parent / "other"))
    assert layer not in viewer.layers and not simulate.member.isEnabled()


# ---- a whole fit and simulation -------------------------------------------------------------


@pytest.mark.slow
def test_fit_stopped_and_gone_on_then_simulate_to_its_end(
    window: Analyse, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = window.viewer  # type: ignore[attr-defined]
    fit, simulate = window.panels.fit, window.panels.simulate
    folder = tmp_path / "run"
    window.form.show_options(QUICK)
    enter(qtbot, window.places.recording, str(inertial(tmp_path / "tracks.csv", N_FRAMES)))
    enter(qtbot, window.places.folder, str(folder))
    run_to_end(qtbot, window, "Track")
    assert fit.state.text() == "Nothing has been fitted yet."

    click(qtbot, window, "Fit")
    qtbot.waitUntil(lambda: any(s.phase.startswith("trial") for s in fit.curves.steps), timeout=WAIT_MS)
    click(qtbot, window, "Cancel")
    until_done(qtbot, window)
    assert "press Fit again to go on" in window.message.text() and "was interrupted" in fit.state.text()
    assert (folder / ".fitting" / "state.safetensors").is_file() and not (folder / "model").exists()
    before = [(s.phase, s.step) for s in fit.curves.steps]
    assert fit.training.isVisible() and len(lines(fit.training, 0)[0]) > 2

    run_to_end(qtbot, window, "Fit")
    run = Run(folder)
    after = [(s.phase, s.step) for s in fit.curves.steps]
    assert after and not set(before) & set(after), "no step is taken twice"
    phase, step = before[-1]
    assert after[0] in ((phase, step + 1), ("trial, noise falls with T", 1))
    training = run.read_table("training")
    assert [(r.phase, r.step) for r in fit.curves.rows] == [*zip(training["phase"], training["step"])]
    assert ("identified" in fit.verdict.text()) and fit.functions.isVisible()
    assert not (folder / ".fitting").exists() and window.form.currentWidget() is window.form.sections["fit"]

    # The overlay grows while it is computed, so slowly that a busy machine sees it.
    def slowly(*given: Any, **options: Any) -> Iterator[RolloutFrame]:
        for frame in roll_out(*given, **options):
            time.sleep(0.05)
            yield frame

    monkeypatch.setattr("colloidlab.pipeline.simulate.roll_out", slowly)
    monkeypatch.setattr(live_rollout, "_SHARE", 0)
    simulate.live._pause_ms = 0
    grown: list[pd.DataFrame] = []

    def watched_to_the_end() -> bool:
        layer = simulate.live.layer
        if layer is not None and len(layer.data) != (len(grown[-1]) if grown else 0):
            seen = pd.DataFrame(layer.data, columns=["frame", "y", "x"])
            grown.append(seen.assign(particle=layer.features["particle"].to_numpy()))
        return not window.buttons["Cancel"].isEnabled()

    # The first frame that the fit has not seen, so that the rollout is judged.
    start = run.facts("fit")["test"][0]
    viewer.dims.set_point(0, start)
    press(qtbot, simulate.from_current)
    assert window.form.config.simulate.from_frame == start and "has seen" not in simulate.start.text()
    kept = of_kind(window, "particles")
    click(qtbot, window, "Simulate")
    qtbot.waitUntil(watched_to_the_end, timeout=WAIT_MS)
    assert window.message.text() == "Simulate is done." and simulate.live.layer is None
    n_rows = [len(table) for table in grown]
    assert len(set(n_rows)) > 1 and n_rows == sorted(n_rows)
    group = zarr.open_group(folder / "rollout.zarr", mode="r")
    positions, particles = np.asarray(group["positions"]), np.asarray(group["particle"])
    last = grown[-1]
    at = last["frame"].astype(int) - start, np.searchsorted(particles, last["particle"])
    np.testing.assert_array_equal(last[["x", "y"]], positions[0][at])

    rollout = of_kind(window, "rollout")
    assert rollout.visible and of_kind(window, "particles").visible
    assert of_kind(window, "particles") is kept, "a simulation changes nothing of them"
    assert_shows_member(rollout, run, 0)
    members = [positions_in(rollout)]
    qtbot.keyClick(simulate.member, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: of_kind(window, "rollout").name.startswith("rollout 2 of 2"), timeout=WAIT_MS)
    assert_shows_member(of_kind(window, "rollout"), run, 1)
    members.append(positions_in(of_kind(window, "rollout")))
    # One slider: in its frame both show the frame.
    press(qtbot, simulate.to_first)
    assert viewer.dims.point[0] == start
    for kind in ("rollout", "particles"):
        layer = of_kind(window, kind)
        here = layer.data[layer.data[:, 0] == start][5]
        seen = layer.get_value(layer.data_to_world(here), world=True)
        np.testing.assert_array_equal(layer.data[seen], here)
    comparison = run.read_table("comparison")
    g = comparison[(comparison["quantity"] == "g_r") & (comparison["series"] == "rollout")]
    np.testing.assert_array_equal(lines(simulate.statistics, 0)[1], g["y"])
    # The error in the title is that between what the layers show.
    simulated = of_kind(window, "rollout").features.query("simulated > 0")["particle"].unique()
    true = positions_in(of_kind(window, "particles"))
    true = true[true["frame"].isin(members[0]["frame"].unique())]
    shown = [table[table["particle"].isin(simulated)] for table in (true, *members)]
    experiment, rolled = lines(simulate.statistics, 1)
    found = [mean_squared(table, len(experiment)) for table in shown]
    np.testing.assert_allclose(experiment, found[0], rtol=1e-9)
    # Those of the rollout are told with a localisation error, as a camera would have seen them.
    np.testing.assert_allclose(rolled, np.mean(found[1:], axis=0) + 4 * SIGMA_PX**2, rtol=0.05)
    error = np.sqrt(np.sum((experiment - rolled) ** 2) / np.sum(experiment**2))
    title = simulate.statistics.figure.axes[1].get_title(loc="left")
    told = re.match(r"MSD: relative error ([\d.]+) %", title)
    assert told is not None and float(told[1]) == pytest.approx(100 * error, rel=0.01), (title, error)
    assert not run.summary.get("rollout_unjudged")

"""The window "Export", driven by clicks: files hold what the run holds, and what cannot be written is said."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image as Pillow
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QFileDialog
from report_fixture import Layer, make_run

from colloidlab import cli
from colloidlab.config import ExportConfig
from colloidlab.progress import Monitor
from colloidlab.report.film import write_export
from colloidlab.run import Run
from napari_plugin.export import Export, export_command
from napari_plugin.layers import run_layers
from napari_plugin.showing import show_run
from napari_plugin.stages import Task

WAIT_MS = 60_000


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any], run: Run) -> Export:
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1100, 800)
    widget = Export(viewer)
    viewer.window.add_dock_widget(widget, name="Export")
    widget.viewer = viewer  # type: ignore[attr-defined]
    widget.folder.setText(str(run.path))
    widget.form.fields["height_px"].set_value(200)
    return widget


@pytest.fixture
def save_as(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    def choose(name: str) -> Path:
        path = tmp_path / "out" / name
        path.parent.mkdir(exist_ok=True)
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
        return path

    return choose


def click(qtbot: QtBot, window: Export, title: str) -> None:
    assert window.buttons[title].isEnabled(), window.problem.text()
    qtbot.mouseClick(window.buttons[title], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not window.job.busy, timeout=WAIT_MS)


def comment(path: Path) -> dict[str, Any]:
    with Pillow.open(path) as image:
        return json.loads(image.info["Comment"])


def test_films_are_those_of_the_command_line_and_pictures_those_of_the_canvas(
    window: Export, qtbot: QtBot, run: Run, save_as: Callable[[str], Path], tmp_path: Path
) -> None:
    viewer = window.viewer  # type: ignore[attr-defined]
    show_run(viewer, run_layers(run))
    window.folder.clear()
    qtbot.mouseClick(window.from_layer, Qt.MouseButton.LeftButton)
    assert window.folder.text() == str(run.path.resolve())
    film = save_as("film.mp4")
    click(qtbot, window, "Film…")
    assert window.message.text().startswith(f"Written: {film} (6 frames). The recording")
    with av.open(str(film)) as container:
        assert json.loads(container.metadata["comment"])["frames"] == [24, 30]
        assert sum(1 for _ in container.decode(video=0)) == 6

    picture = save_as("frame.png")
    viewer.dims.set_current_step(0, 27)
    window.form.fields["colour_by"].set_value("error_px")
    click(qtbot, window, "Picture of this frame…")
    write_export(
        run, tmp_path / "same.png", ExportConfig(height_px=200, frames="27:28", colour_by="error_px")
    )
    assert picture.read_bytes() != b"" and comment(picture) == comment(tmp_path / "same.png")
    np.testing.assert_array_equal(*(np.asarray(Pillow.open(p)) for p in (picture, tmp_path / "same.png")))

    # The copied command does the same.
    window.menu.actions()[1].trigger()
    clipboard = QApplication.clipboard()
    assert clipboard is not None
    words = shlex.split(clipboard.text())
    words[words.index("-o") + 1] = str(tmp_path / "again.png")
    assert cli._main(words[1:]) == 0
    assert comment(tmp_path / "again.png") == comment(picture)

    viewer.dims.set_current_step(0, 3)
    before = picture.read_bytes()
    click(qtbot, window, "Picture of this frame…")
    assert "3:4 are not all among those of the rollout, 24:30" in window.message.text()
    assert picture.read_bytes() == before

    # The view, magnified, is that of the canvas, and says what it shows.
    viewer.dims.set_current_step(0, 20)
    pictures = []
    for times in (1, 2):
        path = save_as(f"view{times}.png")
        window.magnification.setValue(times)
        click(qtbot, window, "Picture of the view…")
        about = comment(path)
        assert about["frame"] == 20 and about["layers"][-1] == "temperature (px²/frame²)"
        pictures.append(np.asarray(Pillow.open(path)))
    small, large = pictures
    assert large.shape[0] == pytest.approx(2 * small.shape[0], abs=2)
    # As much of it is yellow, the hot end of the colours.
    small, large = ((p[..., 0].astype(int) - p[..., 2] > 60).mean() for p in pictures)
    assert large == pytest.approx(small, rel=0.3) and large > 0.001


def test_cancel_leaves_an_earlier_film(window: Export, qtbot: QtBot, save_as: Callable[[str], Path]) -> None:
    path = save_as("film.mp4")
    path.write_bytes(b"earlier")
    window.form.fields["height_px"].set_value(2000)
    qtbot.mouseClick(window.buttons["Film…"], Qt.MouseButton.LeftButton)
    assert window.job.cancel.isEnabled() and not window.buttons["Film…"].isEnabled()
    qtbot.waitUntil(lambda: window.job.bar.maximum() == 6, timeout=WAIT_MS)
    qtbot.mouseClick(window.job.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not window.job.busy, timeout=WAIT_MS)
    assert window.message.text() == "Stopped; nothing was written, and an earlier file is still there"
    assert path.read_bytes() == b"earlier" and list(path.parent.iterdir()) == [path]
    assert window.buttons["Film…"].isEnabled() and not window.job.cancel.isEnabled()


def test_what_a_run_lacks_is_said_and_the_report_is_opened(
    window: Export, qtbot: QtBot, run: Run, save_as: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.remove("rollout.zarr")
    folder = window.folder.text()
    window.folder.clear()
    assert window.problem.text() == "Choose a run folder" and not window.buttons["Report"].isEnabled()
    qtbot.keyClicks(window.folder, folder)
    assert window.problem.isVisible() and "This run has no rollout: simulate first" in window.problem.text()
    assert not window.buttons["Film…"].isEnabled() and window.buttons["Picture of the view…"].isEnabled()
    box = window.form.fields["rollout"].widget
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(10, box.height() // 2))
    assert not window.problem.isVisible()
    qtbot.keyClicks(window.form.fields["frames"].widget, "9:3")
    assert "selects nothing: B must be larger" in window.problem.text()
    assert not window.buttons["Film…"].isEnabled()
    window.form.fields["frames"].set_value("3:5")
    film = save_as("alone.mp4")
    click(qtbot, window, "Film…")
    with av.open(str(film)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 2
    opened: list[str] = []
    monkeypatch.setattr(
        "napari_plugin.export.QDesktopServices.openUrl", lambda url: opened.append(url.toLocalFile())
    )
    # The stage itself is tested with Analyse; it takes long.
    done: list[tuple[str, Path]] = []

    def report(task: Task, monitor: Monitor) -> dict[str, str]:
        done.append((task.stage.command, task.folder))
        return {"report": str(task.folder / "report.html")}

    monkeypatch.setattr(Task, "run", report)
    click(qtbot, window, "Report")
    assert done == [("report", run.path)] and opened == [str(run.path / "report.html")]


def test_why_a_run_has_no_rollout_is_said_as_in_the_terminal(qtbot: QtBot, run: Run, tmp_path: Path) -> None:
    """Nobody is sent to simulate what cannot be simulated."""
    widget = Export(ViewerModel())
    qtbot.addWidget(widget)
    run.remove("rollout.zarr")
    run.write_table("tracks", run.read_table("tracks").assign(z=1.0))
    widget.folder.setText(str(run.path))
    assert widget.problem.text() == (
        "This run has no rollout: rollouts are of two dimensions, and these tracks of three; take 'rollout' off to "
        "show the experiment alone"
    )
    refused = make_run(tmp_path / "refused", layer=Layer(n_side=4), refused=True)
    widget.folder.setText(str(refused.path))
    assert "for the fit was refused: velocities forget" in widget.problem.text()
    assert "imulate" not in widget.problem.text() and "take 'rollout' off" in widget.problem.text()
    (refused.path / "tracks.parquet").write_bytes(b"broken")
    widget.folder.setText(str(refused.path) + "/")
    assert "not a readable Parquet file" in widget.problem.text()


def test_the_command_has_what_is_not_the_default(tmp_path: Path) -> None:
    options = ExportConfig(frames="3:9", rollout=False, height_px=480)
    command = shlex.split(export_command(tmp_path / "a run", Path("film.mp4"), options))
    assert command == ["colloidlab", "export", str(tmp_path / "a run"), "-o", "film.mp4"] + [
        "--frames=3:9",
        "--height-px=480",
        "--no-rollout",
    ]

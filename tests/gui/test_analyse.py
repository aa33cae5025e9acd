"""The window "Analyse", driven by clicks: from a file to tracks, options, errors, and stopping in the middle."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest
import tomli_w
from diffusing_film import N_PARTICLES, write_film
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from npe2._pytest_plugin import TestPluginManager
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QLineEdit, QSpinBox
from recordings import overdamped

from colloidlab import cli
from colloidlab.config import Config, load_config, to_toml_dict
from colloidlab.errors import UsageError
from colloidlab.pipeline import run_track
from colloidlab.run import Run
from colloidlab.units import Calibration
from napari_plugin.analyse import Analyse
from napari_plugin.fields import Field, label
from napari_plugin.form import Form
from napari_plugin.layers import run_layers, video_layers
from napari_plugin.places import Places
from napari_plugin.scene import NAMESPACE
from napari_plugin.showing import show_run, unsaved_repair
from napari_plugin.stages import EVERYTHING, FIT, SIMULATE, STAGES, TRACK, Task

SHORT, LONG = 12, 120
QUICK = Config.model_validate({"indicators": {"only": "msd"}})
WAIT_MS = 60_000


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("films")
    paths = {n: folder / f"film{n}.tif" for n in (SHORT, LONG)}
    for n, path in paths.items():
        write_film(path, n)
    # As the command line does it, and so that no test waits for compilers.
    run_track(paths[SHORT], Run(folder / "reference"), QUICK)
    return paths


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any]) -> Analyse:
    viewer = make_napari_viewer(show=True)
    widget = Analyse(viewer)
    viewer.window.add_dock_widget(widget, name="Analyse")
    widget.form.show_options(QUICK)
    widget.viewer = viewer  # type: ignore[attr-defined]
    return widget


def enter(qtbot: QtBot, line: QLineEdit, text: str) -> None:
    line.clear()
    qtbot.keyClicks(line, text)
    qtbot.keyClick(line, Qt.Key.Key_Return)


def click(qtbot: QtBot, window: Analyse, title: str) -> None:
    assert window.buttons[title].isEnabled(), window.buttons[title].toolTip()
    qtbot.mouseClick(window.buttons[title], Qt.MouseButton.LeftButton)


def run_to_end(qtbot: QtBot, window: Analyse, title: str) -> None:
    """Click and wait until all jobs are done, the one that reads layers included."""
    click(qtbot, window, title)
    assert window.buttons["Cancel"].isEnabled() and not window.buttons[title].isEnabled()
    qtbot.waitUntil(lambda: not window.buttons["Cancel"].isEnabled(), timeout=WAIT_MS)


def option(window: Analyse, section: str, name: str) -> Field:
    return window.form.sections[section].fields[name]


def rows(window: Analyse, kind: str) -> list[int]:
    layers = window.viewer.layers  # type: ignore[attr-defined]
    return [len(layer.data) for layer in layers if layer.metadata.get(NAMESPACE, {}).get("kind") == kind]


# ---- from a file to layers ------------------------------------------------------------------


def test_tracking_by_clicks_shows_every_position(
    window: Analyse, qtbot: QtBot, films: dict[int, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert (
        not window.buttons["Track"].isEnabled() and window.buttons["Track"].toolTip() == "Choose a recording"
    )
    enter(qtbot, window.places.recording, str(films[SHORT]))
    assert window.places.folder.text() == str(films[SHORT].with_name(f"film{SHORT}_run"))
    enter(qtbot, window.places.folder, str(folder))
    assert window.buttons["Fit"].toolTip() == "Press Track first" and not window.buttons["Fit"].isEnabled()
    run_to_end(qtbot, window, "Track")
    tracks = Run(folder).read_table("tracks")
    assert len(tracks) == SHORT * N_PARTICLES
    reference = Run(films[SHORT].parent / "reference").read_table("tracks")
    pd.testing.assert_frame_equal(tracks, reference)
    assert rows(window, "tracks") == rows(window, "particles") == [len(tracks)]
    assert rows(window, "video") == [SHORT]
    assert f"Tracked {tracks['particle'].nunique()} particles over {SHORT} frames" in window.message.text()
    assert window.buttons["Fit"].isEnabled() and not window.buttons["Simulate"].isEnabled()
    # Again: nothing is repeated, and no layer is there twice.
    before = len(window.viewer.layers)  # type: ignore[attr-defined]
    run_to_end(qtbot, window, "Track")
    assert "nothing has changed" in window.message.text()
    assert len(window.viewer.layers) == before  # type: ignore[attr-defined]


def test_other_options_replace_the_layers_and_a_refused_fit_is_a_sentence(
    plugin: TestPluginManager, window: Analyse, qtbot: QtBot, films: dict[int, Path], tmp_path: Path
) -> None:
    viewer = window.viewer  # type: ignore[attr-defined]
    viewer.open(str(films[SHORT]), plugin="colloidlab")
    qtbot.mouseClick(window.places.from_layer, Qt.MouseButton.LeftButton)
    assert window.places.recording.text() == str(films[SHORT])
    enter(qtbot, window.places.folder, str(tmp_path / "run"))
    run_to_end(qtbot, window, "Track")
    # The recording alone has made room for the recording of the run.
    assert rows(window, "video") == [SHORT]
    viewer.dims.set_current_step(0, 5)
    option(window, "video", "frames").set_value("0:8")
    run_to_end(qtbot, window, "Track")
    assert rows(window, "tracks") == rows(window, "particles") == [8 * N_PARTICLES]
    assert rows(window, "video") == [SHORT] and viewer.dims.current_step[0] == 5
    run_to_end(qtbot, window, "Fit")
    assert "particles show no structure" in window.message.text() or "The motion is" in window.message.text()
    assert notification_manager.records[-1].message == window.message.text()


def test_everything_on_a_recording_that_the_fit_refuses_ends_with_a_report(
    window: Analyse, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(qtbot, window.places.recording, str(overdamped(tmp_path / "tracks.csv")))
    run_to_end(qtbot, window, "Everything")
    run = Run(tmp_path / "tracks_run")
    assert run.facts("fit")["refused"] in window.message.text() and run.has("report.html")
    assert rows(window, "tracks") == [len(run.read_table("tracks"))]
    opened: list[str] = []
    monkeypatch.setattr(
        "napari_plugin.analyse.QDesktopServices.openUrl", lambda url: opened.append(url.toLocalFile())
    )
    run_to_end(qtbot, window, "Report")
    assert opened == [str(run.path / "report.html")]


# ---- stopping -------------------------------------------------------------------------------


def start_and_wait_for_the_middle(qtbot: QtBot, window: Analyse, film: Path, folder: Path) -> None:
    enter(qtbot, window.places.recording, str(film))
    enter(qtbot, window.places.folder, str(folder))
    option(window, "track", "threads").set_value(1)
    click(qtbot, window, "Track")
    qtbot.waitUntil(lambda: window.job.bar.maximum() == LONG and window.job.bar.value() > 10, timeout=WAIT_MS)
    assert window.job.step.text().startswith("locate: ") and window.job.bar.value() < LONG


def test_cancel_keeps_what_is_located_and_the_next_run_completes(
    window: Analyse, qtbot: QtBot, films: dict[int, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    start_and_wait_for_the_middle(qtbot, window, films[LONG], folder)
    click(qtbot, window, "Cancel")
    qtbot.waitUntil(lambda: not window.buttons["Cancel"].isEnabled(), timeout=WAIT_MS)
    assert "press Track again to go on" in window.message.text()
    assert not (folder / "tracks.parquet").exists() and not rows(window, "tracks")
    done = sum(len(pd.read_parquet(part)) for part in (folder / ".located").glob("*.frames.parquet"))
    assert 0 < done < LONG
    seen: list[tuple[str, int]] = []
    window.job.bar.valueChanged.connect(lambda value: seen.append((window.job.step.text(), value)))
    run_to_end(qtbot, window, "Track")
    tracks = Run(folder).read_table("tracks")
    assert rows(window, "tracks") == [len(tracks)] and tracks["frame"].nunique() == LONG
    # It has gone on, not begun anew.
    assert min(value for label, value in seen if label.startswith("locate") and value > 0) >= done


def test_closing_the_window_stops_the_work(
    window: Analyse, qtbot: QtBot, films: dict[int, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    start_and_wait_for_the_middle(qtbot, window, films[LONG], folder)
    job = window.job._job
    assert job is not None and job.isRunning()
    window.viewer.close()  # type: ignore[attr-defined]
    assert job.isFinished()
    assert not (folder / "tracks.parquet").exists() and any((folder / ".located").iterdir())


# ---- what is wrong, is said -----------------------------------------------------------------


def test_an_invalid_field_disables_every_stage_and_says_why(
    window: Analyse, qtbot: QtBot, tmp_path: Path
) -> None:
    (tmp_path / "any.tif").touch()
    enter(qtbot, window.places.recording, str(tmp_path / "any.tif"))
    line = option(window, "track", "diameter_px").widget
    assert window.buttons["Track"].isEnabled() and isinstance(line, QLineEdit)
    window.form.setCurrentIndex(1)
    qtbot.keyClicks(line, "4")
    assert not any(window.buttons[stage.title].isEnabled() for stage in STAGES)
    assert window.problem.isVisible() and window.form.tabText(1) == "Track !"
    assert "track.diameter_px: must be odd, so that it has a centre pixel: 3 or 5" in window.problem.text()
    assert "--help" not in window.problem.text()
    assert window.buttons["Track"].toolTip() == window.problem.text()
    qtbot.keyClick(line, Qt.Key.Key_Backspace)
    qtbot.keyClicks(line, "5")
    assert window.buttons["Track"].isEnabled() and not window.problem.isVisible()
    assert window.form.config.track.diameter_px == 5 and window.form.tabText(1) == "Track"


def test_a_recording_that_is_none_is_a_sentence(window: Analyse, qtbot: QtBot, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video at all")
    enter(qtbot, window.places.recording, str(path))
    run_to_end(qtbot, window, "Track")
    assert str(path) in window.message.text() and "cannot be read as a video" in window.message.text()
    assert "Traceback" not in window.message.text()
    assert notification_manager.records[-1].message == window.message.text()
    assert window.buttons["Track"].isEnabled()
    # What was said of one recording is not said of the next.
    enter(qtbot, window.places.recording, str(tmp_path / "absent.mp4"))
    assert (
        not window.message.text()
        and window.problem.text() == f"{tmp_path / 'absent.mp4'} does not exist; check the path"
    )
    assert not window.buttons["Track"].isEnabled() and not window.buttons["Everything"].isEnabled()


def test_a_folder_of_images_can_be_chosen_too(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places()
    qtbot.addWidget(places)
    images, film = tmp_path / "images", tmp_path / "film.tif"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(images))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(film), ""))
    qtbot.mouseClick(places.choose_images, Qt.MouseButton.LeftButton)
    assert places.paths() == (images, tmp_path / "images_run")
    qtbot.mouseClick(places.choose_file, Qt.MouseButton.LeftButton)
    # The folder that was proposed for the images would lose what they gave.
    assert places.paths() == (film, tmp_path / "film_run")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "other"))
    qtbot.mouseClick(places.choose_folder, Qt.MouseButton.LeftButton)
    assert places.paths() == (film, tmp_path / "other")
    places.set_recording(str(images))
    assert places.paths() == (images, tmp_path / "other"), "it was chosen by hand"


def test_another_recording_is_not_tracked_over_the_results_of_a_run(
    qtbot: QtBot, run: Run, tmp_path: Path
) -> None:
    window = Analyse(ViewerModel())
    qtbot.addWidget(window)
    window.places.set_folder(str(run.path))
    source = Path(run.record["source"]["path"])
    # What the run holds can be worked with, though its recording is not there.
    assert window.places.recording.text() == str(source) and not window.problem.text()
    assert "does not exist; check the path" in window.buttons["Track"].toolTip()
    assert window.buttons["Fit"].isEnabled() and not window.buttons["Track"].isEnabled()
    window.places.set_recording(str(tmp_path / "other.mp4"))
    assert f"run holds the results of {source}, which would be lost" in window.problem.text()
    enabled = {title for title, button in window.buttons.items() if button.isEnabled()}
    assert enabled == {"Fit", "Simulate", "Report"} and "would be lost" in window.buttons["Track"].toolTip()
    # The same recording elsewhere, because it has moved, is no other one.
    (tmp_path / source.name).write_bytes(b"moved")
    window.places.set_recording(str(tmp_path / source.name))
    assert not window.problem.text() and window.buttons["Track"].isEnabled()
    # One of the same name that has not moved is.
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / source.name).write_bytes(name.encode())
    run.record["source"]["path"] = str(tmp_path / "one" / source.name)
    run._write_record()
    window.places.set_recording(str(tmp_path / "two" / source.name))
    assert not window.buttons["Track"].isEnabled() and not window.buttons["Everything"].isEnabled()
    window.places.set_folder(str(tmp_path / "new"))
    assert window.buttons["Track"].isEnabled() and not window.problem.text()


def test_a_layer_without_a_file_is_a_sentence(window: Analyse, qtbot: QtBot) -> None:
    qtbot.mouseClick(window.places.from_layer, Qt.MouseButton.LeftButton)
    assert "comes from no file" in window.message.text()


# ---- options --------------------------------------------------------------------------------


def test_a_decimal_comma_is_understood(window: Analyse, qtbot: QtBot) -> None:
    field = window.form.sections["video"].fields["um_per_px"].widget
    qtbot.keyClicks(field, "0,2")
    assert window.form.config.video.um_per_px == 0.2 and not window.form.problem
    qtbot.keyClicks(field, ",5")
    assert window.form.problem, "0,2,5 is no number"


def test_every_option_has_an_editor_of_its_kind(qtbot: QtBot) -> None:
    form = Form(Config())
    qtbot.addWidget(form)
    assert form.config == Config() and not form.problem
    for name, section in form.sections.items():
        options = type(getattr(Config(), name)).model_fields
        assert list(section.fields) == list(options)
        for field, info in zip(section.fields.values(), options.values(), strict=True):
            assert (info.description or "").split("<")[0] in field.widget.toolTip()
            assert info.default is not None or field.value() is None
    track, fit = form.sections["track"].fields, form.sections["fit"].fields
    box, number, spin = track["polarity"].widget, track["minmass"].widget, fit["window_frames"].widget
    assert isinstance(box, QComboBox) and isinstance(number, QLineEdit) and isinstance(spin, QSpinBox)
    choices = get_args(type(Config().track).model_fields["polarity"].annotation)
    assert tuple(box.itemText(k) for k in range(box.count())) == choices
    assert number.placeholderText() == "estimated" and spin.minimum() == 4
    assert "at least 4" in spin.toolTip() and label("budget_minutes") == "budget (min)"
    assert label("um_per_px") == "µm per px"


OTHER = {
    "video": {"um_per_px": 0.125, "frames": "2:40", "background": "median"},
    "track": {"diameter_px": 11, "memory": 0, "polarity": "dark"},
    "indicators": {"lag_period": True, "only": "psi6,msd"},
    "fit": {"budget_minutes": 2.5, "tensorboard": True, "train_fraction": 0.5},
    "simulate": {"tables": False, "rollout_frames": 30, "body_force": "-0.1,0.2", "rollout_dtype": "float32"},
}


def test_options_are_loaded_and_saved_as_those_of_the_command_line(
    window: Analyse, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, saved = tmp_path / "given.toml", tmp_path / "saved.toml"
    given.write_text(tomli_w.dumps(OTHER))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(given), ""))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(saved), ""))
    qtbot.mouseClick(window.load, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(window.save, Qt.MouseButton.LeftButton)
    assert window.form.config == load_config(given) == load_config(saved)
    given.write_text("[track]\nmisspelt = 1\n")
    qtbot.mouseClick(window.load, Qt.MouseButton.LeftButton)
    assert "Unknown option track.misspelt" in window.message.text()
    assert window.form.config == load_config(saved)


def test_a_run_folder_brings_its_options_and_its_recording(window: Analyse, qtbot: QtBot, run: Run) -> None:
    run.record["config"] = to_toml_dict(Config.model_validate(OTHER))
    run._write_record()
    enter(qtbot, window.places.folder, str(run.path))
    assert window.form.config == Config.model_validate(OTHER)
    assert window.places.recording.text() == run.record["source"]["path"]
    # The line is entered and left without another folder in it.
    option(window, "track", "diameter_px").set_value(17)
    qtbot.keyClick(window.places.folder, Qt.Key.Key_Return)
    assert window.form.config.track.diameter_px == 17


def test_a_scale_that_the_file_does_not_state_comes_with_the_layer(
    window: Analyse, qtbot: QtBot, films: dict[int, Path]
) -> None:
    viewer = window.viewer  # type: ignore[attr-defined]
    for calibration, expected in (
        (Calibration(0.2, 50, "file", "file"), (0.2, 50)),
        (Calibration(), (0.2, 50)),
    ):
        [(data, arguments, _)] = video_layers(films[SHORT], calibration)
        viewer.add_image(data, **arguments)
        qtbot.mouseClick(window.places.from_layer, Qt.MouseButton.LeftButton)
        video = window.form.config.video
        assert (video.um_per_px, video.fps) == expected and window.places.recording.text() == str(
            films[SHORT]
        )


def test_changes_by_hand_that_are_not_saved_are_not_lost(window: Analyse, qtbot: QtBot, run: Run) -> None:
    viewer = window.viewer  # type: ignore[attr-defined]
    show_run(viewer, run_layers(run))
    particles = next(layer for layer in viewer.layers if layer.name == "particles")
    window.places.set_folder(str(run.path))
    window.places.set_recording(str(run.record["source"]["path"]))
    for change in ("moved", "another number"):
        if change == "moved":
            particles.data = particles.data + [0, 0.5, 0]
        else:
            particles.features["particle"] = particles.features["particle"] + 1
        click(qtbot, window, "Fit")
        assert "are not saved, and would be lost: save them in Repair" in window.message.text(), change
        assert not window.job.busy and unsaved_repair(viewer, run.path)
        if change == "moved":
            particles.data = particles.data - [0, 0.5, 0]
            assert not unsaved_repair(viewer, run.path)
    # A report is of what is saved, and takes nothing away.
    run_to_end(qtbot, window, "Report")
    assert particles in viewer.layers and unsaved_repair(viewer, run.path)


@pytest.mark.parametrize("stage", [TRACK, FIT, SIMULATE, EVERYTHING], ids=lambda stage: stage.command)
def test_the_copied_command_resolves_to_the_same_options(
    stage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a run"
    run = Run(folder)
    folder.mkdir()
    run.record["config"] = {"track": {"memory": 7}, "fit": {"window_frames": 30}}
    run._write_record()
    task = Task(stage, tmp_path / "a film.tif", folder, Config.model_validate(OTHER))
    words = shlex.split(task.command_line())
    assert words[0] == "colloidlab"
    assert cli._main([*words[1:], "--print-config"]) == 0
    printed = tmp_path / "printed.toml"
    printed.write_text(capsys.readouterr().out)
    expected, found = to_toml_dict(task.resolved()), to_toml_dict(load_config(printed))
    if stage is TRACK:
        expected, found = ({k: v[k] for k in stage.sections} for v in (expected, found))
    assert found == expected
    assert stage.takes_recording or found["track"]["memory"] == 7


def test_what_no_flag_can_say_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.record["config"] = {"fit": {"cutoff_px": 20.0}}
    run._write_record()
    with pytest.raises(UsageError, match=r"no flag takes back fit\.cutoff_px = 20"):
        Task(FIT, Path(), tmp_path, Config()).command_line()


def test_the_command_is_put_on_the_clipboard(window: Analyse, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "film.tif").touch()
    enter(qtbot, window.places.recording, str(tmp_path / "film.tif"))
    option(window, "track", "diameter_px").set_value(11)
    window.menu.actions()[STAGES.index(TRACK)].trigger()
    clipboard = QApplication.clipboard()
    expected = (
        f"colloidlab track {tmp_path / 'film.tif'} -o {tmp_path / 'film_run'} --diameter-px=11 --only=msd"
    )
    assert clipboard is not None and clipboard.text() == expected

"""The window "Analyse": from a recording to a simulated rollout without a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w
from napari.utils.notifications import notification_manager, show_error, show_info
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QWidget,
)

from colloidlab.config import load_config, to_toml_dict
from colloidlab.errors import Cancelled, ColloidlabError
from colloidlab.files import atomic_path
from colloidlab.pipeline.track import other_recording
from colloidlab.progress import Monitor
from colloidlab.report.source import find_source
from colloidlab.report.words import capital
from colloidlab.run import Run
from napari_plugin.docks import dock_column
from napari_plugin.form import Form
from napari_plugin.job_bar import JobBar, explain
from napari_plugin.jobs import Outcome
from napari_plugin.labels import BAD, text_label
from napari_plugin.layers import member_layers, run_layers
from napari_plugin.panels import Panels
from napari_plugin.places import Places, is_there, place_of
from napari_plugin.scene import NAMESPACE, LayerData
from napari_plugin.showing import show_rollout, show_run, shows_run, unsaved_repair
from napari_plugin.stages import REPORT, STAGES, Stage, Task, describe_result
from napari_plugin.track_panel import TrackPanel

_FILES = "Options (*.toml)"


class Analyse(QWidget):
    """Choose a recording and options, run the stages, see the layers.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    buttons : dict of str to QPushButton
        By title: those of the stages, and Cancel.
    job : JobBar
        What runs, one thing at a time.
    menu : QMenu
        What "Copy as command line" offers, in the order of `STAGES`.
    problem : QLabel
        Why nothing can be run.
    message : QLabel
        How the last thing ended.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.places = Places()
        self.form = Form(load_config(None))
        self.trial = TrackPanel(napari_viewer, self.form, self.places)
        self.form.sections["track"].add_panel(self.trial, above=True)
        self.problem, self.message = text_label(), text_label()
        self.problem.setStyleSheet(BAD)
        self.job = JobBar(napari_viewer)
        self.buttons = {stage.title: QPushButton(stage.title) for stage in STAGES}
        self.buttons["Cancel"] = self.job.cancel
        self.load, self.save = QPushButton("Load…"), QPushButton("Save…")
        self.copy = QPushButton("Copy as command line")
        self.panels = Panels(napari_viewer, self.form)
        self._arrange()
        self._connect()
        self._refresh()

    # ---- the window -------------------------------------------------------------------------

    def _arrange(self) -> None:
        column = dock_column(self)
        column.addWidget(self.places)
        column.addWidget(self.form, 1)
        column.addWidget(self.problem)
        column.addLayout(_row(QLabel("options"), self.load, self.save, self.copy))
        column.addLayout(_row(*(self.buttons[stage.title] for stage in STAGES)))
        column.addWidget(self.job)
        column.addWidget(self.message)
        self.load.setToolTip("Fill in the options of a TOML file, or of a run.toml")
        self.save.setToolTip("Write the options as a TOML file for --config")
        self.copy.setToolTip("Put the command that does the same in a terminal on the clipboard")
        self.setMinimumWidth(400)

    def _connect(self) -> None:
        self.places.changed.connect(self._refresh)
        # What was said of another recording would be taken for one of this.
        self.places.changed.connect(lambda: self._say(""))
        self.places.folder_chosen.connect(self._take_run)
        self.panels.simulate.failed.connect(self._fail)
        self.places.from_layer.clicked.connect(self._take_layer)
        self.form.changed.connect(self._refresh)
        self.load.clicked.connect(self._choose_load)
        self.save.clicked.connect(self._choose_save)
        self.menu = QMenu(self)
        for stage in STAGES:
            self.buttons[stage.title].clicked.connect(partial(self._start, stage))
            self.menu.addAction(stage.title, partial(self._copy, stage))
        self.copy.setMenu(self.menu)
        self.job.told.connect(self.panels.take)
        self.job.changed.connect(self._refresh)

    def _refresh(self) -> None:
        """Say what is wrong, and let those buttons be pressed that can do something."""
        source, folder = self.places.paths()
        self._taken = other_recording(source, folder) if source and folder else ""
        self._absent = (
            "" if source is None or is_there(source) else f"{source} does not exist; check the path"
        )
        # What a run holds can be worked with, wherever its recording is now.
        is_run = folder is not None and is_there(folder / "run.toml")
        problem = self.form.problem or self._taken or ("" if is_run else self._absent)
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        for stage in STAGES:
            why = self._why_not(stage)
            button = self.buttons[stage.title]
            button.setEnabled(not why and not self.job.busy)
            button.setToolTip(why or f"The same as 'colloidlab {stage.command}'")
        for action, stage in zip(self.menu.actions(), STAGES, strict=True):
            action.setEnabled(not self._why_not(stage))

    def _why_not(self, stage: Stage) -> str:
        """Why a stage cannot be run; empty when it can."""
        source, folder = self.places.paths()
        if self.form.problem:
            return self.form.problem
        if stage.takes_recording and source is None:
            return "Choose a recording"
        if folder is None:
            return "Choose a run folder"
        if stage.takes_recording and (self._taken or self._absent):
            return self._taken or self._absent
        if stage.needs and not is_there(folder / stage.needs):
            return f"Press {stage.after} first"
        return ""

    def _say(self, sentence: str, *, error: bool = False) -> None:
        sentence = capital(sentence)
        self.message.setText(sentence)
        self.message.setStyleSheet(BAD if error else "")
        self.message.setVisible(bool(sentence))
        if error:
            show_error(sentence)

    # ---- recording, run and options ---------------------------------------------------------

    def _take_layer(self) -> None:
        with self._sentences():
            path, run = place_of(self._viewer.layers.selection.active)
            if run:
                # The recording is the run's own, not one that stood there before.
                self.places.recording.clear()
                self.places.set_folder(run)
            if path:
                self.places.set_recording(path)
            if not run:
                self._take_scale(self._viewer.layers.selection.active)

    def _take_scale(self, layer: Any) -> None:
        """Take over what is known of the scale of a recording, but not from its file, where tracking finds it by itself."""
        video = getattr(layer.data, "video", None)
        for name in ("um_per_px", "fps"):
            known = layer.metadata.get(NAMESPACE, {}).get("calibration", {}).get(name)
            if video is not None and known is not None and getattr(video, name) is None:
                self.form.sections["video"].fields[name].set_value(known)

    def _take_run(self) -> None:
        """Show options and recording of a run that is there already."""
        source, folder = self.places.paths()
        self.panels.show(folder)
        if folder is None or not is_there(folder / "run.toml"):
            return
        with self._sentences():
            run = Run(folder)
            # As it was written down where it is not found: its name helps to look for it.
            recording = find_source(run) or run.record["source"].get("path", "")
            if source is None:
                self.places.recording.setText(str(recording))
            self.load_options(folder / "run.toml")

    def load_options(self, path: Path) -> None:
        """Fill the form from a TOML file, or the record of a run."""
        self.form.show_options(load_config(path))
        self._say(f"options of {path}")

    def save_options(self, path: Path) -> None:
        """Write the form as a TOML file for `--config`."""
        with atomic_path(path) as temporary:
            temporary.write_text(tomli_w.dumps(to_toml_dict(self.form.config)), encoding="utf-8")
        self._say(f"options saved as {path}")

    def _choose_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load options", "", _FILES)
        if path:
            with self._sentences():
                self.load_options(Path(path))

    def _choose_save(self) -> None:
        if self.form.problem:
            self._say(f"not saved: {self.form.problem}", error=True)
            return
        path, _ = QFileDialog.getSaveFileName(self, "Save options", "colloidlab.toml", _FILES)
        if path:
            with self._sentences():
                self.save_options(Path(path))

    def _task(self, stage: Stage) -> Task:
        source, folder = self.places.paths()
        return Task(stage, source or Path(), folder or Path(), self.form.config)

    def _copy(self, stage: Stage) -> None:
        with self._sentences():
            command = self._task(stage).command_line()
            if (clipboard := QApplication.clipboard()) is not None:
                clipboard.setText(command)
            self._say(f"copied: {command}")

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """What goes wrong inside is said in the window."""
        try:
            yield
        except (ColloidlabError, OSError) as error:
            self._fail(error)

    # ---- jobs -------------------------------------------------------------------------------

    def _start(self, stage: Stage, checked: bool = False) -> None:
        task = self._task(stage)
        if stage.renews_particles and unsaved_repair(self._viewer, task.folder):
            self._say(
                "changes of the layer particles are not saved, and would be lost: save them in Repair, or open the run "
                "again to drop them",
                error=True,
            )
            return
        if stage.takes_recording:
            self.trial.rest()
        with self._sentences():
            before = Run(task.folder).record["stages"]
            self.panels.begin(task)
            self._say("")
            self.job.begin(stage.title, task.run, partial(self._done, task, before))

    def _done(self, task: Task, before: dict[str, Any], outcome: Outcome) -> None:
        """Say how a stage ended, and show what the run holds now."""
        self.panels.end(task, outcome)
        ended = task.stage if outcome.error is None else None
        if isinstance(outcome.error, Cancelled):
            where = str(outcome.error).partition(";")[0]
            self._say(f"{where}; what is complete is kept: press {task.stage.title} again to go on")
        elif outcome.error is not None:
            self._fail(outcome.error)
        else:
            self._say(describe_result(task.stage, outcome.result))
            show_info(self.message.text())
        if task.stage is REPORT and outcome.error is None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(outcome.result["report"]))
        with self._sentences():
            run = Run(task.folder)
            stages, shown = run.record["stages"], shows_run(self._viewer, str(run.path.resolve()))
            changed = {name for name in before.keys() | stages if before.get(name) != stages.get(name)}
            if run.has("tracks.parquet") and (not shown or changed & {"track", "indicators", "fit"}):
                self._read(run_layers, show_run, ended, run)
            elif shown and "simulate" in changed and run.has("rollout.zarr"):
                self._read(partial(member_layers, member=0), show_rollout, ended, run)
            else:
                self.panels.layers_shown(ended)

    def _read(
        self,
        read: Callable[[Run], list[LayerData]],
        show: Callable[[Any, list[LayerData]], None],
        ended: Stage | None,
        run: Run,
    ) -> None:
        """Read layers in the background, and show them."""

        def work(monitor: Monitor) -> list[LayerData]:
            monitor.update("layers", 0, 0)
            return read(run)

        def done(outcome: Outcome) -> None:
            if outcome.error is not None:
                self._fail(outcome.error)
            else:
                show(self._viewer, outcome.result)
                self.panels.layers_shown(ended)

        self.job.begin("layers", work, done)

    def _fail(self, error: Exception) -> None:
        """Say what went wrong; what no one foresaw also with its traceback."""
        self._say(explain(error), error=True)
        if not isinstance(error, ColloidlabError | OSError):
            notification_manager.receive_error(type(error), error, error.__traceback__)


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row

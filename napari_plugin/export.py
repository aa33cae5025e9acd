"""The window "Export": films and pictures of a run, what the canvas shows, and the report."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from napari.utils.notifications import notification_manager, show_error
from pydantic import ValidationError
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSpinBox,
    QToolButton,
    QWidget,
)

import colloidlab
from colloidlab.config import Config, ExportConfig, describe
from colloidlab.errors import Cancelled, ColloidlabError
from colloidlab.progress import Monitor
from colloidlab.report.film import write_export, write_png
from colloidlab.report.film_data import why_no_rollout
from colloidlab.report.words import capital
from colloidlab.run import Run
from napari_plugin.docks import dock_column
from napari_plugin.form import SectionForm
from napari_plugin.job_bar import JobBar, explain
from napari_plugin.jobs import Outcome
from napari_plugin.labels import BAD, text_label
from napari_plugin.places import is_there, to_path
from napari_plugin.scene import NAMESPACE
from napari_plugin.shown_runs import shown_runs
from napari_plugin.slider import current_frame, frame_axis
from napari_plugin.stages import REPORT, Task, flag, join_words

_FILM, _FRAME, _VIEW, _REPORT = "Film…", "Picture of this frame…", "Picture of the view…", "Report"


class Export(QWidget):
    """Write what a run holds into files for a talk or a paper.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    folder : QLineEdit
        The run folder; at first that of the layers.
    form : SectionForm
        The options of 'colloidlab export'.
    buttons : dict of str to QPushButton
        By title.
    menu : QMenu
        What "Copy as command line" offers: film, picture of this frame, report.
    problem : QLabel
        Why no film can be made.
    message : QLabel
        How the last thing ended.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._last: Path | None = None
        self.folder, self.choose, self.from_layer = QLineEdit(), QToolButton(), QPushButton("From the layers")
        self.form = SectionForm(ExportConfig)
        self.form.show_options(ExportConfig())
        self.problem, self.message = text_label(), text_label()
        self.problem.setStyleSheet(BAD)
        self.buttons = {title: QPushButton(title) for title in (_FILM, _FRAME, _VIEW, _REPORT)}
        self.magnification = QSpinBox()
        self.copy, self.menu = QPushButton("Copy as command line"), QMenu(self)
        self.open = QPushButton("Open")
        self.job = JobBar(napari_viewer)
        self._arrange()
        self._connect()
        self._take_layers()
        self._refresh()

    # ---- the window -------------------------------------------------------------------------

    def _arrange(self) -> None:
        column = dock_column(self)
        top = QHBoxLayout()
        for widget in (QLabel("run folder"), self.folder, self.choose, self.from_layer):
            top.addWidget(widget)
        column.addLayout(top)
        column.addWidget(self.form, 1)
        column.addWidget(self.problem)
        grid = QGridLayout()
        grid.addWidget(self.buttons[_FILM], 0, 0)
        grid.addWidget(self.buttons[_FRAME], 0, 1)
        grid.addWidget(self.buttons[_VIEW], 1, 0)
        grid.addWidget(self.magnification, 1, 1)
        grid.addWidget(self.buttons[_REPORT], 2, 0)
        grid.addWidget(self.copy, 2, 1)
        column.addLayout(grid)
        column.addWidget(self.job)
        bottom = QHBoxLayout()
        bottom.addWidget(self.message, 1)
        bottom.addWidget(self.open)
        column.addLayout(bottom)
        self._explain_widgets()

    def _explain_widgets(self) -> None:
        self.setMinimumWidth(400)
        self.choose.setText("…")
        self.choose.setToolTip("Choose a run folder")
        self.folder.setPlaceholderText("made by Analyse or 'colloidlab track'")
        self.from_layer.setToolTip("The run of the selected layer, or else of any layer")
        self.magnification.setRange(1, 8)
        self.magnification.setValue(2)
        self.magnification.setPrefix("magnified ")
        self.magnification.setSuffix(" ×")
        self.magnification.setToolTip("Pixels of the picture for each pixel of the view")
        tips = {
            _FILM: "Experiment and rollout side by side (MP4); the same as 'colloidlab export'",
            _FRAME: "The same for the frame of the slider alone (PNG), drawn from the data",
            _VIEW: "What the canvas shows now, with all visible layers (PNG)",
            _REPORT: "Write the page about this run, and open it; the same as 'colloidlab report'",
        }
        for title, tip in tips.items():
            self.buttons[title].setToolTip(tip)
        self.copy.setToolTip("Put the command that does the same in a terminal on the clipboard")
        self.open.setToolTip("Open what was written last")
        self.open.hide()

    def _connect(self) -> None:
        self.folder.textChanged.connect(self._refresh)
        self.choose.clicked.connect(self._choose_folder)
        self.from_layer.clicked.connect(self._take_layers)
        self.form.changed.connect(self._refresh)
        self.job.changed.connect(self._refresh)
        self.buttons[_FILM].clicked.connect(self._film)
        self.buttons[_FRAME].clicked.connect(self._picture)
        self.buttons[_VIEW].clicked.connect(self._screenshot)
        self.buttons[_REPORT].clicked.connect(self._report)
        self.open.clicked.connect(self._open)
        for title, command in (("Film", self._film_command), ("Picture of this frame", self._frame_command)):
            self.menu.addAction(title, partial(self._copy, command))
        self.menu.addAction("Report", partial(self._copy, lambda: self._task().command_line()))
        self.copy.setMenu(self.menu)

    def _refresh(self) -> None:
        why = self._why_not()
        no_run = self._no_run()
        self.problem.setText(capital(why))
        self.problem.setVisible(bool(why))
        for title in (_FILM, _FRAME):
            self.buttons[title].setEnabled(not why and not self.job.busy)
        self.buttons[_REPORT].setEnabled(not no_run and not self.job.busy)
        film, frame, report = self.menu.actions()
        for action, able in ((film, not why), (frame, not why), (report, not no_run)):
            action.setEnabled(able)

    def _no_run(self) -> str:
        folder = self._folder()
        if folder is None:
            return "choose a run folder"
        if not is_there(folder / "run.toml") or not is_there(folder / "tracks.parquet"):
            return f"{folder} is no run folder with tracks; make it with Analyse"
        return ""

    def _why_not(self) -> str:
        """Why no film can be made; empty when it can."""
        if no_run := self._no_run():
            return no_run
        try:
            options = self._options()
        except ValidationError as error:
            return describe(error, advice="")
        folder = self._folder()
        if options.rollout and folder is not None and not is_there(folder / "rollout.zarr"):
            return _no_rollout(folder)
        return ""

    def _folder(self) -> Path | None:
        text = self.folder.text().strip()
        return to_path(text)

    def _options(self) -> ExportConfig:
        return ExportConfig.model_validate(self.form.values())

    def _say(self, sentence: str, *, error: bool = False) -> None:
        self.message.setText(capital(sentence))
        self.message.setStyleSheet(BAD if error else "")
        self.message.setVisible(bool(sentence))
        if error:
            show_error(self.message.text())

    # ---- where from -------------------------------------------------------------------------

    def _take_layers(self) -> None:
        layers = self._viewer.layers
        active = layers.selection.active
        for layer in ([] if active is None else [active]) + list(layers):
            if run := layer.metadata.get(NAMESPACE, {}).get("run"):
                self.folder.setText(str(run))
                return

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Choose a run folder", self.folder.text())
        if path:
            self.folder.setText(path)

    def _ask(self, title: str, name: str, kind: str) -> Path | None:
        folder = self._folder()
        start = str(folder / name) if folder is not None and folder.is_dir() else name
        path, _ = QFileDialog.getSaveFileName(self, title, start, kind)
        if not path:
            return None
        return Path(path) if Path(path).suffix else Path(path).with_suffix(Path(name).suffix)

    # ---- what is written --------------------------------------------------------------------

    def _film(self) -> None:
        path = self._ask("Save the film", "side_by_side.mp4", "Film (*.mp4)")
        if path is not None:
            self._write(path, self._options())

    def _picture(self) -> None:
        path = self._ask("Save the picture", f"frame_{self._frame()}.png", "Picture (*.png)")
        if path is not None:
            self._write(path, self._of_this_frame())

    def _frame(self) -> int:
        folder = self._folder()
        shown = None if folder is None else shown_runs(self._viewer).get(str(folder.resolve()))
        n_space = 2 if shown is None else shown.scene.n_space
        return max(0, current_frame(self._viewer, n_space)) if frame_axis(self._viewer, n_space) >= 0 else 0

    def _of_this_frame(self) -> ExportConfig:
        frame = self._frame()
        return self._options().model_copy(update={"frames": f"{frame}:{frame + 1}"})

    def _write(self, path: Path, options: ExportConfig) -> None:
        folder = self._folder()
        assert folder is not None, "buttons are disabled without a run folder"
        self._say("")
        self.job.begin("export", partial(_export, folder, path, options), self._written)

    def _written(self, outcome: Outcome) -> None:
        if isinstance(outcome.error, Cancelled):
            self._say("stopped; nothing was written, and an earlier file is still there")
        elif outcome.error is not None:
            self._fail(outcome.error)
        else:
            result = outcome.result
            frames = f" ({result['n_frames']} frames)" if result["n_frames"] > 1 else ""
            self._done(Path(result["export"]), f"{frames}. {result['note']}" if "note" in result else frames)

    def _screenshot(self) -> None:
        """What the canvas shows, with the names of the layers and the frame in the file's comment."""
        path = self._ask("Save the picture", f"view_{self._frame()}.png", "Picture (*.png)")
        if path is None:
            return
        shown = [layer.name for layer in self._viewer.layers if layer.visible]
        about = {"program": f"colloidlab {colloidlab.__version__}", "frame": self._frame(), "layers": shown}
        about["run"] = self.folder.text()
        try:
            picture = self._magnified(self.magnification.value())
            write_png(path, picture[..., :3].copy(), json.dumps(about, ensure_ascii=False))
            self._done(path)
        except (ColloidlabError, OSError) as error:
            self._fail(error)

    def _magnified(self, times: int) -> Any:
        """The canvas, shape (height, width, 4), with so many pixels for each; napari alone would show more around it."""
        camera = self._viewer.scene.camera
        zoom = camera.zoom
        try:
            camera.zoom = zoom * times
            return self._viewer.screenshot(scale=times, canvas_only=True, flash=False)
        finally:
            camera.zoom = zoom

    def _report(self) -> None:
        self._say("")
        self.job.begin("report", self._task().run, self._reported)

    def _reported(self, outcome: Outcome) -> None:
        if isinstance(outcome.error, Cancelled):
            self._say("stopped; an earlier report is still there")
        elif outcome.error is not None:
            self._fail(outcome.error)
        else:
            self._done(Path(outcome.result["report"]))
            self._open()

    def _done(self, path: Path, more: str = "") -> None:
        self._last = path
        self.open.show()
        self._say(f"written: {path}{more}")

    def _open(self) -> None:
        if self._last is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._last)))

    def _fail(self, error: Exception) -> None:
        self._say(explain(error), error=True)
        if not isinstance(error, ColloidlabError | OSError):
            notification_manager.receive_error(type(error), error, error.__traceback__)

    # ---- the same in a terminal -------------------------------------------------------------

    def _task(self) -> Task:
        return Task(REPORT, Path(), self._folder() or Path(), Config())

    def _film_command(self) -> str:
        return export_command(self._folder() or Path(), Path("side_by_side.mp4"), self._options())

    def _frame_command(self) -> str:
        return export_command(
            self._folder() or Path(), Path(f"frame_{self._frame()}.png"), self._of_this_frame()
        )

    def _copy(self, command: Any) -> None:
        try:
            text = command()
        except ColloidlabError as error:
            self._fail(error)
            return
        if (clipboard := QApplication.clipboard()) is not None:
            clipboard.setText(text)
        self._say(f"copied: {text}")


def export_command(folder: Path, path: Path, options: ExportConfig) -> str:
    """The command that writes the same film or picture in a terminal."""
    words = ["colloidlab", "export", str(folder), "-o", str(path)]
    for name, info in ExportConfig.model_fields.items():
        if (value := getattr(options, name)) != info.default:
            words += flag(name.replace("_", "-"), value)
    return join_words(words)


def _no_rollout(folder: Path) -> str:
    """Why a run has no rollout, and what to do."""
    try:
        why = why_no_rollout(Run(folder))
    except ColloidlabError as error:
        return str(error)
    if why:
        return f"this run has no rollout: {why}; take 'rollout' off to show the experiment alone"
    return "this run has no rollout: simulate first (Analyse), or take 'rollout' off to show the experiment alone"


def _export(folder: Path, path: Path, options: ExportConfig, monitor: Monitor) -> dict[str, Any]:
    return write_export(Run(folder), path, options, monitor)

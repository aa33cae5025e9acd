"""Progress of one job and its Cancel, as a row for any window; and the sentence for what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.utils.task_status import Status
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from colloidlab.errors import ColloidlabError
from colloidlab.progress import Monitor
from napari_plugin.jobs import Job, Outcome, stop_with


class JobBar(QWidget):
    """Runs one job at a time; closing the window stops it and waits for its end.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    step : QLabel
        What it is doing, for napari's style leaves the text inside of a bar out.
    bar : QProgressBar
    cancel : QPushButton
    changed : Signal
        A job has begun or ended.
    told : Signal(object)
        What the work has found so far, `colloidlab.news`.
    """

    changed = Signal()
    told = Signal(object)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._job: Job | None = None
        self.step, self.bar, self.cancel = QLabel(), QProgressBar(), QPushButton("Cancel")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in (self.step, self.bar, self.cancel):
            row.addWidget(widget)
        self.bar.setFormat("")
        self.bar.setRange(0, 1)
        self.cancel.setEnabled(False)
        self.cancel.clicked.connect(self._cancel)

    @property
    def busy(self) -> bool:
        return self._job is not None

    def begin(self, title: str, work: Callable[[Monitor], Any], end: Callable[[Outcome], None]) -> None:
        """Work in a thread; `end` is called with the outcome, in the thread of the window."""
        job = Job(work)
        register(self._viewer.window, job, title)
        stop_with(self, job)
        self._job, self._at_end = job, end
        job.progressed.connect(self._progress)
        job.told.connect(self.told)
        job.ended.connect(self._end)
        job.begin()
        self.cancel.setEnabled(True)
        self.changed.emit()

    def _progress(self, label: str, done: int, total: int) -> None:
        self.step.setText(f"{label}: {done} of {total}" if total else label)
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self.step.setText("stopping")

    def _end(self, outcome: Outcome) -> None:
        self._job = None
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.step.setText("")
        self.cancel.setEnabled(False)
        self._at_end(outcome)
        self.changed.emit()


def register(window: Any, job: Job, title: str) -> None:
    """Let napari know of a job: closing the window asks, and stops it.

    Its end is told by nobody's method: the widget that began it may have been closed meanwhile.
    """
    known = window._register_task_status("colloidlab", Status.BUSY, title, job.stop)
    job.finished.connect(lambda: window._update_task_status(known, Status.COMPLETED))


def explain(error: Exception) -> str:
    """One sentence for people on what went wrong."""
    if isinstance(error, ColloidlabError):
        return str(error)
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"the system refused: {error.strerror}{where}; earlier results are intact"
    return f"this is a bug in colloidlab, please report it: {type(error).__name__}: {error}"

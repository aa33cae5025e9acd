"""Work of which only the newest matters: what is asked for later takes the place of what waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from colloidlab.errors import Cancelled
from colloidlab.progress import Monitor
from napari_plugin.jobs import Job, Outcome

Work = Callable[[Monitor], Any]
Then = Callable[[Outcome], None]


class Latest(QObject):
    """One job at a time. A newer one cancels it; what it has completed all the same is handed over.

    Attributes
    ----------
    progressed : Signal(str, int, int)
        Of the job that runs; ("", 0, 0) when nothing more is to be done.
    running : list of Job
        None or one; for whoever has to stop it when this object is gone.
    """

    progressed = Signal(str, int, int)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.running: list[Job] = []
        self._waiting: tuple[Work, Then] | None = None
        self._then: Then | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)  # after what is going on now: fields are filled in bursts
        self._timer.timeout.connect(self._begin)

    def ask(self, work: Work, then: Then) -> None:
        """Do this next, and nothing that was asked for before."""
        self._waiting = (work, then)
        for job in self.running:
            job.cancel()
        if not self.running and not self._timer.isActive():
            self._timer.start()

    def forget(self) -> None:
        """Ask for nothing, and hear of nothing that runs."""
        self._waiting = self._then = None
        for job in self.running:
            job.cancel()

    @property
    def is_busy(self) -> bool:
        """Is there something that runs or waits?"""
        return bool(self.running) or self._waiting is not None

    def _begin(self) -> None:
        if self._waiting is None or self.running:
            return
        work, self._then = self._waiting
        self._waiting = None
        job = Job(work)
        job.progressed.connect(self.progressed)
        job.ended.connect(self._end)
        self.running.append(job)
        job.begin()

    def _end(self, outcome: Outcome) -> None:
        self.running.clear()
        then, self._then = self._then, None
        if then is not None and not isinstance(outcome.error, Cancelled):
            then(outcome)
        if self._waiting is not None:
            self._begin()
        elif not self.running:
            self.progressed.emit("", 0, 0)

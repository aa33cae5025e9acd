"""Long work beside the window: progress comes out, Cancel goes in, and closing waits for its end."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, QThread, Signal

from colloidlab.progress import Monitor

_LEAST_PAUSE_S = 0.05
"""Between two reports; a window cannot draw them faster."""

_STACK_BYTES = 16 * 2**20
"""As large as a main thread's; some systems give other threads a thirtieth, too little for compilers."""

_RUNNING: set[Job] = set()
"""Jobs outlive whoever started them: destroying a thread that runs ends the program."""


@dataclass(frozen=True)
class Outcome:
    """How work ended: with a result or with an error."""

    result: Any = None
    error: Exception | None = None


class Job(QThread):
    """Work in its own thread.

    Parameters
    ----------
    work : callable(Monitor) -> object

    Attributes
    ----------
    progressed : Signal(str, int, int)
        Label, steps done, and of how many (0 where that is not known).
    told : Signal(object)
        What the work has found so far, `colloidlab.news`.
    ended : Signal(object)
        The `Outcome`; emitted in any case.
    """

    progressed = Signal(str, int, int)
    told = Signal(object)
    ended = Signal(object)

    def __init__(self, work: Callable[[Monitor], Any]) -> None:
        super().__init__()
        self._work = work
        self._cancelled = False
        self._last = ("", 0.0)
        self.setStackSize(_STACK_BYTES)
        self.finished.connect(lambda: _RUNNING.discard(self))

    def begin(self) -> None:
        """Start, and live until the end."""
        _RUNNING.add(self)
        self.start()

    def run(self) -> None:
        """Called by Qt in the new thread."""
        try:
            monitor = Monitor(self._report, lambda: self._cancelled, self.told.emit)
            outcome = Outcome(result=self._work(monitor))
        except Exception as error:
            outcome = Outcome(error=error)
        self.ended.emit(outcome)

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._cancelled = True

    def stop(self) -> None:
        """Cancel, and wait until nothing of the work goes on."""
        self.cancel()
        self.wait()

    def _report(self, label: str, done: int, total: int) -> None:
        now = time.monotonic()
        before, when = self._last
        if label != before or now - when > _LEAST_PAUSE_S or (total and done >= total):
            self._last = (label, now)
            self.progressed.emit(label, done, total)


class _Ending:
    """Calls something once."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action: Callable[[], None] | None = action

    def __call__(self, *told: Any) -> None:
        action, self._action = self._action, None
        if action is not None:
            action()


def when_gone(widget: QObject, action: Callable[[], None]) -> None:
    """Call `action` when a widget is gone, whether Qt destroys it or Python's garbage collector takes it.

    Of what the collector takes, `destroyed` comes too late, or never: what hangs on the connection alone has then been
    emptied, and calling an emptied function ends the program. A finalizer holds it until then, and comes first.

    Parameters
    ----------
    widget : QObject
    action : callable
        It must not hold the widget, which would then never be collected.
    """
    ending = _Ending(action)
    weakref.finalize(widget, ending).atexit = False
    widget.destroyed.connect(ending)


def stop_with(widget: QObject, job: Job) -> None:
    """Stop a job when a widget is gone."""
    reference = weakref.ref(job)  # what it works on is let go when it has ended

    def stop() -> None:
        if (alive := reference()) is not None:
            alive.stop()

    when_gone(widget, stop)

"""Progress bars on standard error; the only place that draws them for the command line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from colloidlab.progress import Monitor

T = TypeVar("T")

_PATIENCE_S = 2.0
"""Work shorter than this shows no bar."""


class Bars:
    """A `progress.Report` that draws a bar with the time left for every label that takes longer than two seconds.

    Without a terminal, each such label gives one line when it is done.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr, highlight=False)
        self._live = self.console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}

    def __enter__(self) -> Bars:
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._progress.stop()

    def __call__(self, label: str, done: int, total: int) -> None:
        now = time.monotonic()
        started = self._started.setdefault(label, now)
        finished = total > 0 and done >= total
        if finished:
            self._started.pop(label)
        if now - started < _PATIENCE_S:
            return
        if not self._live:
            if finished:
                self.console.print(f"{label}: {done} of {total} in {now - started:.0f} s", style="dim")
            return
        if label not in self._tasks:
            self._tasks[label] = self._progress.add_task(label, total=total or None)
        self._progress.update(self._tasks[label], completed=done, total=total or None)
        if finished:
            self._tasks.pop(label)


def with_bars(work: Callable[[Monitor], T]) -> T:
    """Call `work` with a monitor that draws its progress."""
    with Bars() as bars:
        return work(Monitor(bars))

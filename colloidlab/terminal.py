"""Progress bars on standard error, results on standard output: the only place that draws and prints for the commands."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pydantic import ValidationError
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

from colloidlab.config import describe
from colloidlab.errors import Cancelled
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


def anew(work: Callable[[], T], product: Path) -> T:
    """Call work that keeps nothing to go on from, so that nobody is promised it where it is interrupted."""
    try:
        return work()
    except KeyboardInterrupt:
        was = "is still that of before" if product.exists() else "was not written"
        raise Cancelled(f"interrupted; {product} {was}, and the same command starts anew") from None


_LEFT_OUT = {"simulate": "rollout_", "run": "", "track": "", "indicators": "", "fit": "", "export": ""}
"""Commands with options, and what their flags leave out of the options' names."""

_NOBODY_READS = 141
"""What a shell reports of a command that SIGPIPE has ended."""


def describe_flags(error: ValidationError, arguments: list[str]) -> str:
    """The wrong options as they were typed, and which command explains them."""
    command = arguments[0] if arguments and arguments[0] in _LEFT_OUT else "run"

    def flag(name: str) -> str:
        return "--" + name.removesuffix("_minutes").removeprefix(_LEFT_OUT[command]).replace("_", "-")

    return describe(error, f"; 'colloidlab {command} --help' lists every option", flag)


def end_output() -> int:
    """Nobody reads what is printed any more: say nothing when the interpreter closes the pipe either. An exit code."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _NOBODY_READS


def leads() -> bool:
    """False for all but the first of the processes that torchrun has started: the others are silent."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


def say(result: dict[str, Any], as_json: bool, last: str | None = None) -> None:
    """The result for people; with --json one object on standard output. `last` names the entry to end with."""
    if not leads():
        return
    if as_json:
        print_json(result)
        return
    tail = result.pop(last, None) if last else None
    skipped = result.pop("skipped", False)
    for key, value in result.items():
        for item in value if isinstance(value, list) else [value]:
            print(f"{key.removesuffix('s') if item is not value else key}: {_shown(item)}")
    if skipped:
        print("nothing to do: neither the input nor the options have changed")
    if tail is not None:
        print(tail)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    print(json.dumps(value, default=str))

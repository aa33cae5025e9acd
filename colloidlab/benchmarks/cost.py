"""Time and memory of a piece of work, as ratios within one run and as growth of the process."""

from __future__ import annotations

import gc
import math
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def cpu_ratio(
    ours: Callable[[], object], theirs: Callable[[], object], *, repeats: int, seconds: float = 0.0
) -> tuple[float, float]:
    """How many times more processor time `theirs` takes than `ours`, and the seconds of `ours`.

    The two take turns, so that a busy machine slows both; the fastest turn of each counts. Turns of some
    milliseconds are disturbed by whatever else runs: only among many is one that was not, so that they go on
    until `seconds` of processor time are spent. All threads of the process are included: it is the cost on one core.
    """
    mine: list[float] = []
    other: list[float] = []
    while len(mine) < repeats or sum(mine) + sum(other) < seconds:
        mine.append(_seconds(ours, time.process_time))
        other.append(_seconds(theirs, time.process_time))
    return min(other) / min(mine), min(mine)


def wall_ratio(ours: Callable[[], object], theirs: Callable[[], object], *, repeats: int) -> float:
    """How many times longer `theirs` takes than `ours` on the clock; the fastest turn of each counts."""
    mine, other = [], []
    for _ in range(repeats):
        mine.append(_seconds(ours, time.perf_counter))
        other.append(_seconds(theirs, time.perf_counter))
    return min(other) / min(mine)


def peak_growth_mb(work: Callable[[], object]) -> float | None:
    """Largest growth of the process's resident memory while `work` runs, MB; None where Linux's /proc is not.

    Call it in a fresh process (`in_fresh_process`): memory that was freed earlier and is used again does not show.
    """
    if not (_STATUS.exists() and _RESET.exists()):
        return None
    gc.collect()
    before = _status_kb("VmRSS")
    try:
        # Linux sets the high-water mark back to the present size.
        _RESET.write_text("5")
    except OSError:
        return None
    work()
    return (_status_kb("VmHWM") - before) / 1024


def peak_mb() -> float:
    """Largest resident memory of this process since it began, MB, interpreter and libraries included.

    NaN where Linux's /proc is not. (`getrusage` counts the process that started this one as well.)
    """
    return _status_kb("VmHWM") / 1024 if _STATUS.exists() else math.nan


def in_fresh_process(work: Callable[..., T], *arguments: object) -> T:
    """The result of `work` in a new process, whose heap no earlier work has widened."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _status_kb(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])


def _seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return clock() - started

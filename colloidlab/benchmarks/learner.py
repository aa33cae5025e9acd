"""The learner against gases of known law, and against an oracle that filters with the true one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from colloidlab.benchmarks.learner_forms import form_rows
from colloidlab.benchmarks.learner_gas import FULL, Size
from colloidlab.benchmarks.learner_positions import position_rows
from colloidlab.benchmarks.learner_temperature import found_rows, null_rows, reported_rows
from colloidlab.benchmarks.rows import Row
from colloidlab.errors import UsageError
from colloidlab.progress import SILENT, Monitor

Case = Callable[[int, Size, Monitor], Iterable[Row]]

CASES: dict[str, Case] = {
    "temperature": lambda seeds, size, monitor: found_rows(seeds, size, monitor),
    "forms": lambda seeds, size, monitor: form_rows(size, monitor=monitor),
    "weak": lambda seeds, size, monitor: reported_rows(size, monitor),
    "nulls": lambda seeds, size, monitor: null_rows(size, monitor),
    "positions": lambda seeds, size, monitor: position_rows(size, monitor=monitor),
}
"""What `colloidlab benchmark learner` measures, in this order."""


def benchmark_learner(
    cases: list[str], *, seeds: int = 3, size: Size = FULL, monitor: Monitor = SILENT
) -> list[Row]:
    """Measure some cases or all.

    Parameters
    ----------
    cases : list of str
        Of `CASES`; all where empty.
    seeds : int
        Simulations of each gas whose temperature is to be found.
    size : Size
        Lengths of the recordings and of the fits.

    Raises
    ------
    UsageError
        A case is unknown, or `seeds` is not positive.
    """
    unknown = [name for name in cases if name not in CASES]
    if unknown:
        raise UsageError(f"there is no case {unknown[0]!r}; choose from {', '.join(CASES)}")
    if seeds < 1:
        raise UsageError(f"seeds = {seeds} simulates nothing; give at least 1")
    rows: list[Row] = []
    for name in cases or list(CASES):
        rows += CASES[name](seeds, size, monitor)
    return rows

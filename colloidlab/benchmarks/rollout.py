"""Rollouts: what they conserve, what they cost, and how far they can be trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from colloidlab.benchmarks.rollout_conservation import (
    agreement_rows,
    drift_rows,
    equilibrium_rows,
    table_rows,
)
from colloidlab.benchmarks.rollout_run import run_rows
from colloidlab.benchmarks.rollout_speed import FEWEST, fused_rows, published_rows, scaling_rows
from colloidlab.benchmarks.rollout_systems import gas_system, star_system
from colloidlab.benchmarks.rows import Row
from colloidlab.errors import UsageError
from colloidlab.progress import SILENT, Monitor
from colloidlab.run import Run


@dataclass(frozen=True)
class Rollouts:
    """What to measure with.

    Attributes
    ----------
    run : Path, optional
        A finished run, whose rollouts are judged.
    weights, published : Path, optional
        Published weights of star polymers, and a checkout of the code that they belong to.
    picture : Path, optional
        PNG of the speed against the number of particles.
    largest : int
        Number of particles up to which that goes.
    drift_steps, copies, equilibrium_steps : int
    """

    run: Path | None = None
    weights: Path | None = None
    published: Path | None = None
    picture: Path | None = None
    largest: int = 1_000_000
    drift_steps: int = 1000
    copies: int = 64
    equilibrium_steps: int = 3000


def _conservation(what: Rollouts, monitor: Monitor) -> Iterable[Row]:
    gas = gas_system(343)
    yield from drift_rows("gas", gas, what.drift_steps, 1000.0, monitor=monitor)
    yield from agreement_rows(gas)
    yield from table_rows("gas", gas, 1e-8, monitor=monitor)
    if what.weights is not None:
        stars = star_system(what.weights, 1000)
        yield from drift_rows("stars", stars, what.drift_steps, 100.0, monitor=monitor)
        # Splines of networks are less exact than those of a gas, and chaos amplifies what they lack.
        yield from table_rows("stars", stars, 1e-3, monitor=monitor)


def _equilibrium(what: Rollouts, monitor: Monitor) -> Iterable[Row]:
    return equilibrium_rows(copies=what.copies, steps=what.equilibrium_steps, monitor=monitor)


def _speed(what: Rollouts, monitor: Monitor) -> Iterable[Row]:
    if what.published is not None and what.weights is not None:
        for n in (1000, 8000):
            yield from published_rows(what.published, what.weights, n, monitor)
    yield from fused_rows(monitor=monitor)
    threads = sorted({1, min(2, os.cpu_count() or 1)})
    yield from scaling_rows(what.largest, threads, picture=what.picture, monitor=monitor)


def _run(what: Rollouts, monitor: Monitor) -> Iterable[Row]:
    return [] if what.run is None else run_rows(Run(what.run))


CASES: dict[str, Callable[[Rollouts, Monitor], Iterable[Row]]] = {
    "conservation": _conservation,
    "equilibrium": _equilibrium,
    "speed": _speed,
    "run": _run,
}
"""What `colloidlab benchmark rollout` measures, in this order."""


def benchmark_rollout(
    cases: list[str],
    what: Rollouts,
    *,
    monitor: Monitor = SILENT,
    tell: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Measure some cases or all.

    Parameters
    ----------
    cases : list of str
        Of `CASES`; all where empty.
    what : Rollouts
    monitor : Monitor
    tell : callable(row)
        Is told every row as soon as it is measured.

    Raises
    ------
    UsageError
        A case is unknown, or lacks what it needs; or `largest` is too small.
    """
    unknown = [name for name in cases if name not in CASES]
    if unknown:
        raise UsageError(f"there is no case {unknown[0]!r}; choose from {', '.join(CASES)}")
    if what.published is not None and what.weights is None:
        raise UsageError("the published code needs its weights: give --weights as well")
    if "run" in cases and what.run is None:
        raise UsageError("the case 'run' judges a finished run: give --run")
    if what.largest < FEWEST:
        raise UsageError(
            f"a gas of {what.largest} particles is too small to be timed: give --largest {FEWEST} or more"
        )
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    rows: list[Row] = []
    try:
        for name in cases or CASES:
            for row in CASES[name](what, monitor):
                tell(row)
                rows.append(row)
    finally:
        torch.set_num_threads(before)
    return rows

"""Friction, noise and pressure from positions alone: sampled once a frame, with errors, also with frames left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from colloidlab.benchmarks.finite_difference import fit_finite_differences
from colloidlab.benchmarks.learner_gas import FULL, SCORING_ROUNDS, Functions, Size, function_errors
from colloidlab.benchmarks.learner_temperature import deviation_rows
from colloidlab.benchmarks.rows import Row, at_most
from colloidlab.dataset.regime import judge
from colloidlab.dataset.split import Split, split_by_time
from colloidlab.model.filter import Filter
from colloidlab.model.guess import first_guess
from colloidlab.model.sequence import WindowSource
from colloidlab.model.train import Evaluation, TrainOptions, fit_isothermal
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.indirect import correct_laws
from colloidlab.synthetic.gas import Gas, Motion, observe, simulate_gas

GAS = Gas(n=800, heat_capacity=2000.0, wave=0.0)
_THERMAL = float(np.sqrt(GAS.temperature))
CASES = {
    "exact positions": (0.0, 1, True),
    "error .25 of the thermal displacement": (0.25 * _THERMAL, 1, True),
    "error .5": (0.5 * _THERMAL, 1, True),
    "error .5, every second frame": (0.5 * _THERMAL, 2, True),
    "error .25, not known": (0.25 * _THERMAL, 1, False),
    "error .5, not known": (0.5 * _THERMAL, 1, False),
}
"""Localisation error (px), stride, and whether the fit is told the error."""
_BAR = 0.10
CORRECTIONS = 3
"""Rounds of `rollout.indirect`."""


def position_rows(size: Size = FULL, *, seed: int = 5, monitor: Monitor = SILENT) -> Iterable[Row]:
    """The corrected fit, and beside it those of the likelihood alone and of finite differences."""
    motion = simulate_gas(GAS, 2 * size.train_frames, seed=seed)
    for name, (sigma, every, known) in CASES.items():
        yield from _case(name, motion, sigma, every, known, size, seed, monitor)


def slower(gas: Gas, every: int) -> Gas:
    """The same gas with its numbers in units of `every` frames."""
    return replace(
        gas,
        temperature=gas.temperature * every**2,
        friction=gas.friction * every,
        conduction=gas.conduction * every,
    )


def _case(
    name: str,
    motion: Motion,
    sigma: float,
    every: int,
    known: bool,
    size: Size,
    seed: int,
    monitor: Monitor,
) -> Iterable[Row]:
    kept = slice(0, size.train_frames * every, every)
    gas = slower(GAS, every)
    seen = Motion(
        motion.r[kept], every * motion.v[kept], every**2 * motion.T[kept], motion.S[kept], motion.box
    )
    recording = observe(seen, sigma, seed=seed, known=known)
    guess = first_guess(recording, judge(recording, 1.5 * gas.cutoff), gas.cutoff)
    split = split_by_time(recording.first, recording.stop, 0.8, 0.15)
    windows = WindowSource(recording, gas.cutoff)
    curves: list[Evaluation] = []
    options = TrainOptions(isothermal_steps=size.isothermal_steps, scoring_rounds=SCORING_ROUNDS, seed=seed)

    before: list[Functions] = []

    def correct(filter_: Filter, windows: WindowSource, split: Split, monitor: Monitor) -> None:
        before.append(function_errors(filter_.laws, gas, seen))
        correct_laws(filter_, windows, split, seed=seed, rounds=CORRECTIONS, monitor=monitor)

    found = fit_isothermal(windows, split, guess, options, curves, monitor, correct=correct)
    yield from deviation_rows(name, function_errors(found.laws, gas, seen), _BAR)
    yield from _without_bars(deviation_rows(f"{name}, likelihood alone", before[0], _BAR))
    if found.error is not None:
        fitted = float(found.error.variance.sqrt())
        yield at_most(f"{name}: error found / true - 1", abs(fitted / sigma - 1), _BAR)
        return
    naive = fit_finite_differences(
        windows, split, guess, steps=size.isothermal_steps, seed=seed, monitor=monitor
    )
    errors = function_errors(naive, gas, seen)
    yield from _without_bars(deviation_rows(f"{name}, finite differences", errors, _BAR))


def _without_bars(rows: Iterable[Row]) -> Iterable[Row]:
    return (Row(row.name, row.value) for row in rows)

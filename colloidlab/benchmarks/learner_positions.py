"""Friction, noise and pressure from positions alone: sampled once a frame, with errors, also with frames left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from colloidlab.benchmarks.finite_difference import fit_finite_differences
from colloidlab.benchmarks.learner_functions import VISITED, Functions, function_errors, volumes
from colloidlab.benchmarks.learner_gas import FULL, SCORING_ROUNDS, Size, guess_scales, training_split
from colloidlab.benchmarks.learner_temperature import deviation_rows
from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.dataset.split import Split
from colloidlab.model.curves import learned_functions
from colloidlab.model.filter import Filter
from colloidlab.model.laws import Laws
from colloidlab.model.localisation import LocalisationError
from colloidlab.model.scores import free_parameters
from colloidlab.model.sequence import WindowSource
from colloidlab.model.train import Evaluation, TrainOptions, fit_isothermal
from colloidlab.model.uncertainty import Uncertainty
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.indirect import correct_laws
from colloidlab.synthetic.gas import Gas, Motion, gas_laws, observe, simulate_gas
from colloidlab.units import Calibration

GAS = Gas(n=800, heat_capacity=2000.0, wave=0.0, pressure=10.0)
"""Dense, because motion tells of the pressure by net forces only: at a pressure of 3 their mean square is 0.003 T a frame
squared, and pressures fitted to such a recording scatter by more than the bar."""
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
_IN_BANDS = 0.8
"""Points of a curve fail together, so that single fits scatter about 0.95."""
_POINTS = 5
_CURVES = (
    "pair_friction_perpendicular",
    "pair_friction_parallel",
    "pair_noise_perpendicular",
    "pair_noise_parallel",
    "pair_force",
)
"""What does not depend on the unit of volume, of which every kernel has its own."""
CORRECTIONS = 5
"""Rounds of `rollout.indirect`."""
_LENGTH = 2
"""Recordings are longer by this factor than that of `Size`: in one of 300 frames the farthest of five bins of K across a
pair scatters by more than half of the bar."""


def position_rows(size: Size = FULL, *, seed: int = 5, monitor: Monitor = SILENT) -> Iterable[Row]:
    """The corrected fit, and beside it those of the likelihood alone and of finite differences."""
    longest = max(every for _, every, _ in CASES.values())
    motion = simulate_gas(GAS, longest * _LENGTH * size.train_frames, seed=seed)
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
    kept = slice(0, _LENGTH * size.train_frames * every, every)
    gas = slower(GAS, every)
    seen = Motion(
        motion.r[kept], every * motion.v[kept], every**2 * motion.T[kept], motion.S[kept], motion.box
    )
    recording = observe(seen, sigma, seed=seed, known=known)
    guess, split = guess_scales(gas, recording), training_split(recording)
    windows = WindowSource(recording, gas.cutoff)
    curves: list[Evaluation] = []
    options = TrainOptions(isothermal_steps=size.isothermal_steps, scoring_rounds=SCORING_ROUNDS, seed=seed)

    before: list[Functions] = []
    known_to: list[Uncertainty] = []

    def correct(filter_: Filter, windows: WindowSource, split: Split, monitor: Monitor) -> None:
        before.append(function_errors(filter_.laws, gas, seen))
        known_to.append(correct_laws(filter_, windows, split, seed=seed, rounds=CORRECTIONS, monitor=monitor))

    found = fit_isothermal(windows, split, guess, options, curves, monitor, correct=correct)
    yield from deviation_rows(name, function_errors(found.laws, gas, seen), _BAR)
    inside, width = _bands(found.laws, known_to[0], gas, seen)
    yield at_least(f"{name}: points of the true curves in the 95 % bands", inside, _IN_BANDS)
    yield Row(f"{name}: width of the bands, median of upper / lower", width)
    yield from _without_bars(deviation_rows(f"{name}, likelihood alone", before[0], _BAR))
    if isinstance(found.error, LocalisationError):
        fitted = float(found.error.variance.sqrt())
        yield at_most(f"{name}: error found / true - 1", abs(fitted / sigma - 1), _BAR)
    naive = fit_finite_differences(
        windows, split, guess, steps=size.isothermal_steps, seed=seed, monitor=monitor
    )
    errors = function_errors(naive, gas, seen)
    yield from _without_bars(deviation_rows(f"{name}, finite differences", errors, _BAR))


def _bands(laws: Laws, known_to: Uncertainty, gas: Gas, motion: Motion) -> tuple[float, float]:
    """Share of points of true curves that the bands hold, and the median ratio of their ends."""
    p = sum(parameter.numel() for parameter in free_parameters(laws))
    # An unknown localisation error comes last; no curve depends on it.
    of_laws = replace(
        known_to,
        covariance=known_to.covariance[:p, :p],
        entropy_response=known_to.entropy_response[:p],
        log_volume_response=known_to.log_volume_response[:p],
    )
    true = gas_laws(gas)
    found, expected = (
        learned_functions(
            one, gas.temperature, volumes(one, gas, motion), Calibration(None, None), u, n_dims=gas.n_dims
        )
        for one, u in ((laws, of_laws), (true, None))
    )
    at = np.linspace(*VISITED, _POINTS) * gas.cutoff
    inside, width = [], []
    for quantity in _CURVES:
        a, b = (table[table["quantity"] == quantity] for table in (found, expected))
        low, high = (np.interp(at, a["x"], a[end]) for end in ("y_low", "y_high"))
        y = np.interp(at, b["x"], b["y"])
        inside.append((low <= y) & (y <= high))
        width.append(high / low)
    return float(np.mean(inside)), float(np.median(width))


def _without_bars(rows: Iterable[Row]) -> Iterable[Row]:
    return (Row(row.name, row.value) for row in rows)

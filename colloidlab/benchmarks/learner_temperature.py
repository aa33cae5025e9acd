"""Is the hidden temperature found where there is one, and only there?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from scipy.stats import norm

from colloidlab.benchmarks.learner_functions import BINS, Deviation, Functions, force_errors, function_errors
from colloidlab.benchmarks.learner_gas import (
    FULL,
    Learned,
    Size,
    after_the_burn_in,
    learn,
    temperature_error,
)
from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.model.held_out import Comparison
from colloidlab.progress import SILENT, Monitor
from colloidlab.synthetic.gas import Gas

SIGMA = 0.05
GASES = {
    "2D": Gas(n=800, n_dims=2, pressure=10.0),
    "3D": Gas(n=343, n_dims=3, pressure=10.0),
}
"""Dense, as those of `learner_positions`: at a pressure of 3 motion tells of it too little for a bar of 15 %."""
REPORTED = {
    "2D, a tenth of the conduction": Gas(n=200, conduction=0.0002),
    "2D, a tenth of the noise": Gas(n=200, friction=0.03),
    "2D, only the pressure depends on T": Gas(n=200, noise_power=0.0),
    "2D, only the noise depends on T": Gas(n=200, cold=True),
    "2D, only the drag depends on T": Gas(n=200, noise_power=0.0, cold=True),
}
"""Drag is K/T: it depends on T also where the noise K and the pressure do not, and filters with the true law gain by it."""
NULLS = {
    "2D, one temperature": Gas(n=200, heat_capacity=2000.0, wave=0.0),
    "2D, nothing depends on T": Gas(n=200, noise_power=0.0, cold=True, friction=0.01),
}
"""In the second there is next to no drag, which would depend on T."""

CORRECTIONS = 3
"""Rounds of `rollout.indirect`: what the filter leaves out makes the pressure up to half as large again as it is."""
_LENGTH = 4
"""Recordings of `GASES` are longer by this factor than the others: near the cutoff, where the noise of a pair is a few per
cent of that at contact, K across scatters by the bar in one of 300 frames."""


def found_rows(seeds: int, size: Size = FULL, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Gases whose temperature varies: gain, error and correlation relative to the oracle, and the functions."""
    longer = replace(size, train_frames=_LENGTH * size.train_frames)
    for name, gas in GASES.items():
        for seed in range(1, seeds + 1):
            learned = learn(gas, SIGMA, longer, seed=seed, monitor=monitor, corrections=CORRECTIONS)
            yield from _against_the_oracle(f"{name}, seed {seed}", learned, bars=True)


def reported_rows(size: Size = FULL, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Gases that tell less of their temperature; reported beside the others."""
    for name, gas in REPORTED.items():
        yield from _against_the_oracle(name, learn(gas, SIGMA, size, seed=1, monitor=monitor), bars=False)


def null_rows(size: Size = FULL, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Gases with nothing to find: with one localisation error, with one of each particle's own, and with corrections."""
    for name, gas in NULLS.items():
        spread = np.random.default_rng(0).uniform(0.03, 0.12, gas.n)
        for what, sigma, corrections in (
            ("", SIGMA, 0),
            (", errors differ", spread, 0),
            (", corrected", SIGMA, 1),
        ):
            learned = learn(
                gas,
                sigma,
                size,
                seed=3,
                monitor=monitor,
                corrections=corrections,
                start_corrected=corrections > 0,
            )
            gain, low, high = _gain(learned.gain)
            yield Row(f"{name}{what}: gain", gain, "nats")
            # Corrected laws have left the optimum of their likelihood, so that they may well lose.
            yield at_most(f"{name}{what}: lower end of the gain's interval", low, 0.0, "nats")
            if not corrections:
                yield at_least(f"{name}{what}: upper end of the gain's interval", high, 0.0, "nats")
            yield at_most(f"{name}{what}: temperature identified", learned.gain.temperature_identified, 0)


def _against_the_oracle(name: str, learned: Learned, *, bars: bool) -> Iterable[Row]:
    gain, low, _ = _gain(learned.gain)
    best, _, _ = _gain(learned.oracle_gain)
    rms, correlation = temperature_error(learned, learned.thermal)
    least, most = temperature_error(learned, learned.oracle)
    errors = function_errors(learned.fit.thermal.laws, learned.gas, learned.held_out)
    forces = force_errors(learned.fit.thermal.laws, learned.gas, learned.held_out)
    rows = [
        Row(f"{name}: gain over isothermal, of the oracle {best:.4f}", gain, "nats"),
        at_least(f"{name}: gain / oracle's", gain / best, 0.85),
        at_least(f"{name}: lower end of the gain's interval", low, 0.0, "nats"),
        at_most(f"{name}: rms error of ln T / oracle's ({least:.3f})", rms / least, 1.25),
        at_least(f"{name}: correlation / oracle's ({most:.3f})", correlation / most, 0.95),
        at_least(f"{name}: 95 % intervals of ln T that hold it", _coverage(learned), 0.85),
        *deviation_rows(name, errors, 0.15),
        Row(f"{name}: net force, slope on the true", forces.slope),
        Row(f"{name}: net force, rms error / rms", forces.rms),
        Row(f"{name}: virial, slope on the true", forces.virial_slope),
    ]
    if learned.uncorrected is not None:
        before = deviation_rows(f"{name}, likelihood alone", learned.uncorrected, 0.15)
        rows += [Row(row.name, row.value) for row in before]
    return rows if bars else [Row(row.name, row.value, row.unit) for row in rows]


def _coverage(learned: Learned) -> float:
    """Share of particles and frames after the burn-in whose true ln T lies within 1.96 sigma of the filtered one."""
    ln_t, sigma, true = after_the_burn_in(learned, learned.thermal)
    return float(np.mean(np.abs(ln_t - true) <= norm.ppf(0.975) * sigma))


def deviation_rows(name: str, errors: Functions, bar: float) -> Iterable[Row]:
    """The largest deviation of five bins against the bar, which bin it is of, and the deviation of all together.

    Conduction has no bar: motion tells little of it.
    """
    found: dict[str, Deviation | None] = vars(errors)
    for field, deviation in found.items():
        if deviation is None:
            continue
        quantity = field.replace("_", " ")
        judged = at_most(f"{name}: {quantity}, largest deviation", deviation.largest, bar)
        yield Row(judged.name, judged.value) if field == "conduction" else judged
        yield Row(f"{name}: {quantity}, worst of {BINS} bins", deviation.bin)
        yield Row(f"{name}: {quantity}, deviation overall", deviation.overall)


def _gain(comparison: Comparison) -> tuple[float, float, float]:
    row = comparison.gain
    return float(row["gain"]), float(row["gain_low"]), float(row["gain_high"])

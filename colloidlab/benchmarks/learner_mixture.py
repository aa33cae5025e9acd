"""Two species whose pairs differ in force and friction, told apart where they differ, and only there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from colloidlab.benchmarks.learner_gas import FULL, OTHER, Size, fit_recording, scored_split
from colloidlab.benchmarks.learner_parts import NULL as ALIKE
from colloidlab.benchmarks.learner_parts import SIGMA, Fitted, curves, fit_both
from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.model.curves import mass_ratios
from colloidlab.model.filter import Filter
from colloidlab.model.forms import PLAIN, Parts
from colloidlab.model.held_out import compare, pass_both
from colloidlab.model.sequence import WindowSource
from colloidlab.progress import SILENT, Monitor
from colloidlab.synthetic.gas import gas_laws, observe, simulate_gas

TWO = Parts(n_species=2)
MIXTURE = replace(ALIKE, n=800, kinds=((1.0, 0.0), (0.5, -1.0), (1.0, 0.5)), masses=(1.0, 2.0))
"""Unlike particles push each other less and rub half as much, so that each kind of pair has a third of all friction."""
_LENGTH = 2
"""Times the frames of other gases: every kind of pair has a quarter or half of them."""
CORRECTIONS = 3
"""Rounds of `rollout.indirect`: likelihood alone finds a tenth too little noise, of every kind of pair."""
NULL = replace(ALIKE, kinds=((1.0, 0.0),) * 3)
SMALL = replace(MIXTURE, n=300)
"""Fitted with a temperature of each particle."""
_BAR = 0.15
_MASS_BAR = 0.05
_IN_BANDS = 0.8
_QUANTITIES = {
    "pair_force": "force",
    "pair_friction_parallel": "friction along",
    "pair_friction_perpendicular": "friction across",
    "pair_noise_parallel": "noise along",
    "pair_noise_perpendicular": "noise across",
}


def mixture_rows(size: Size = FULL, *, seed: int = 3, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Functions of every kind of pair, with and without the species, and what it gains to tell them apart."""
    longer = replace(size, train_frames=_LENGTH * size.train_frames)
    fitted = fit_both(MIXTURE, TWO, longer, seed, monitor)
    yield Row("mixture: held-out gain over laws of one species", fitted.gain, "nats")
    yield at_least("mixture: lower end of the gain's interval", fitted.gain_low, 0.0, "nats")
    yield from _function_rows(fitted, "laws of one species", fitted.without)
    yield from _function_rows(fitted, "likelihood alone", fitted.found)
    corrected = fitted.corrected(CORRECTIONS, seed, monitor)
    yield from _function_rows(corrected, "corrected", corrected.found, bars=True)
    yield from _mass_rows("mixture", corrected, MIXTURE.masses[1])
    fitted = fit_both(NULL, TWO, size, seed, monitor)
    yield Row("species alike: held-out gain", fitted.gain, "nats")
    yield at_most("species alike: lower end of the gain's interval", fitted.gain_low, 0.0, "nats")
    yield from _mass_rows("species alike", fitted, 1.0)
    yield from _temperature_rows(size, seed, monitor)


def _temperature_rows(size: Size, seed: int, monitor: Monitor) -> Iterable[Row]:
    """What a temperature of each particle gains where there is one for all, but two species."""
    recording, held_out = (
        observe(simulate_gas(SMALL, frames, seed=s), SIGMA, seed=s, species=SMALL.species)
        for frames, s in ((size.train_frames, seed), (size.test_frames, seed + OTHER))
    )
    windows = WindowSource(held_out, SMALL.cutoff)
    for what, parts in (("not told apart", PLAIN), ("told apart", TWO)):
        fit = fit_recording(SMALL, recording, size, seed=seed, monitor=monitor, parts=parts)
        gain = compare(*pass_both(fit, windows, monitor), scored_split(size), 0, SMALL.n_dims).gain
        low = float(gain["gain_low"])
        text = f"species {what}: gain of a temperature of each particle, of which there is one for all"
        yield Row(text, float(gain["gain"]), "nats")
        yield Row(f"species {what}: upper end of its interval", float(gain["gain_high"]), "nats")
        name = f"species {what}: lower end of its interval"
        yield at_most(name, low, 0.0, "nats") if parts is TWO else Row(name, low, "nats")


def _mass_rows(name: str, fitted: Fitted, true: float) -> Iterable[Row]:
    _, (ratio, low, high) = mass_ratios(fitted.found.laws, fitted.known_to)
    yield at_most(f"{name}: mass of the second species, found / true - 1", abs(ratio / true - 1), _MASS_BAR)
    yield Row(f"{name}: the 95 % interval of its mass holds the true one", float(low <= true <= high))
    yield Row(f"{name}: upper / lower end of that interval", high / low)


def _function_rows(fitted: Fitted, what: str, filter_: Filter, *, bars: bool = False) -> Iterable[Row]:
    true = curves(fitted, gas_laws(fitted.gas), None)
    found = curves(fitted, filter_.laws, fitted.known_to if filter_ is fitted.found else None)
    held = []
    for quantity, name in _QUANTITIES.items():
        mine = _by_kind(found, quantity)
        for kind, expected in _by_kind(true, quantity).items():
            curve = mine.get(kind, next(iter(mine.values())))
            deviation = float((curve["y"] - expected["y"]).abs().max() / expected["y"].abs().max())
            text = f"mixture: {name}, pairs {kind}, {what}: largest deviation / largest value"
            yield at_most(text, deviation, _BAR) if bars else Row(text, deviation)
            held.append((curve["y_low"] <= expected["y"]) & (expected["y"] <= curve["y_high"]))
    if bars:
        yield at_least(
            "mixture: points of the true functions in the 95 % bands", float(np.mean(held)), _IN_BANDS
        )


def _by_kind(table: pd.DataFrame, quantity: str) -> dict[str, pd.DataFrame]:
    chosen = table[table["quantity"] == quantity]
    return {str(kind): part.reset_index(drop=True) for kind, part in chosen.groupby("species", sort=False)}

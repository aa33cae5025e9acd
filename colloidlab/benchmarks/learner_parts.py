"""A bath, attraction between particles and the shear energy of a solid, found where they are, and only there."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from colloidlab.benchmarks.learner_functions import VISITED, function_errors, volumes
from colloidlab.benchmarks.learner_gas import (
    FULL,
    OTHER,
    SCORING_ROUNDS,
    Size,
    guess_scales,
    scored_split,
    training_split,
)
from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.dataset.recording import Recording
from colloidlab.dataset.reference import find_reference
from colloidlab.dataset.split import Split
from colloidlab.indicators.lindemann import CRITICAL_LINDEMANN
from colloidlab.model.curves import bath_constants, learned_functions, shear_modulus
from colloidlab.model.filter import Filter
from colloidlab.model.forms import PLAIN, Parts
from colloidlab.model.held_out import compare, follow
from colloidlab.model.laws import Laws
from colloidlab.model.sequence import WindowSource
from colloidlab.model.species import number_of_kinds
from colloidlab.model.train import TrainOptions, fit_isothermal
from colloidlab.model.uncertainty import Uncertainty, estimate_uncertainty
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.indirect import correct_laws
from colloidlab.synthetic.gas import Gas, Motion, gas_laws, observe, simulate_gas
from colloidlab.units import Calibration

SIGMA = 0.05
_PLAIN_GAS = Gas(n=400, heat_capacity=2000.0, wave=0.0, pressure=5.0)
GASES = {
    "bath": (replace(_PLAIN_GAS, bath=0.1), Parts(bath=True)),
    "attraction": (replace(_PLAIN_GAS, friction=0.1, pressure=6.0, cohesion=1.5), Parts(cohesion=True)),
    "solid": (replace(_PLAIN_GAS, n=168, pressure=40.0, shear=100.0), Parts(solid=True)),
}
"""Of one temperature. A quarter of the drag is the bath's; beyond two thirds of the cutoff particles attract each other; the
solid has about half of the Lindemann parameter at which it would melt, which it owes to its shear energy."""
NULL = _PLAIN_GAS
_SOLID = GASES["solid"][0]
NULL_CRYSTAL = replace(_SOLID, pressure=90.0, shear=1e-6)
NULL_FLUID = replace(_SOLID, pressure=10.0, shear=1e-6)
_BAR = 0.10
_IN_BANDS = 0.8
_POINTS = 9
_ATTRACTING = 0.8
"""Share of the cutoff at which the true force is near its lowest."""


@dataclass(frozen=True)
class Fitted:
    """Laws with and without the part, and what the part is worth on a recording that neither has seen."""

    gas: Gas
    motion: Motion
    recording: Recording
    without: Filter
    found: Filter
    known_to: Uncertainty
    gain: float
    gain_low: float

    def corrected(self, rounds: int, seed: int, monitor: Monitor) -> Fitted:
        """The same with the laws with the part moved to those whose simulations have the data's score."""
        windows, split = WindowSource(self.recording, self.gas.cutoff), training_split(self.recording)
        found = copy.deepcopy(self.found)
        known_to = correct_laws(found, windows, split, seed=seed, rounds=rounds, monitor=monitor)
        return replace(self, found=found, known_to=known_to)


def part_rows(size: Size = FULL, *, seed: int = 3, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Numbers of the bath, the force between particles that attract each other, and what is gained by either."""
    for name, (gas, parts) in GASES.items():
        fitted = fit_both(gas, parts, size, seed, monitor)
        yield Row(f"{name}: held-out gain over laws without it", fitted.gain, "nats")
        yield at_least(f"{name}: lower end of the gain's interval", fitted.gain_low, 0.0, "nats")
        yield from _ROWS[name](name, fitted)
    for what, gas, parts in (
        ("neither bath nor attraction, both fitted", NULL, Parts(bath=True, cohesion=True)),
        ("crystal held by pushes alone, fitted as a solid", NULL_CRYSTAL, Parts(solid=True)),
        ("fluid, fitted as a solid", NULL_FLUID, Parts(solid=True)),
    ):
        fitted = fit_both(gas, parts, size, seed, monitor)
        yield Row(f"{what}: held-out gain", fitted.gain, "nats")
        yield at_most(f"{what}: lower end of the gain's interval", fitted.gain_low, 0.0, "nats")
        if parts.solid:
            yield from _modulus_rows(what, fitted)
            yield _lindemann_row(what, fitted, flows=gas is NULL_FLUID)


def fit_both(gas: Gas, parts: Parts, size: Size, seed: int, monitor: Monitor) -> Fitted:
    """Fit laws with and without these parts to one gas."""
    monitor.update("simulate", 0, 2)
    motion = simulate_gas(gas, size.train_frames, seed=seed)
    monitor.update("simulate", 1, 2)
    other = simulate_gas(gas, size.test_frames, seed=seed + OTHER)
    recording, held_out = (
        observe(seen, SIGMA, seed=seed + more, species=gas.species)
        for seen, more in ((motion, 0), (other, OTHER))
    )
    split = training_split(recording)
    if parts.solid:
        # Sites are the same in both.
        reference = find_reference(recording, gas.cutoff, *split.train).state
        recording, held_out = (replace(seen, reference=reference) for seen in (recording, held_out))
    windows = WindowSource(recording, gas.cutoff)
    without, found = (
        _fit(gas, recording, windows, split, chosen, size, seed, monitor) for chosen in (PLAIN, parts)
    )
    known_to = estimate_uncertainty(found, windows, split, monitor)
    test = WindowSource(held_out, gas.cutoff)
    passes = [follow(filter_, test, monitor, "held out") for filter_ in (without, found)]
    # The second is compared as if it were the one with entropy.
    gain = compare(passes[0], replace(passes[1], form="filter"), scored_split(size), 0, gas.n_dims).gain
    return Fitted(
        gas, motion, recording, without, found, known_to, float(gain["gain"]), float(gain["gain_low"])
    )


def _fit(
    gas: Gas,
    recording: Recording,
    windows: WindowSource,
    split: Split,
    parts: Parts,
    size: Size,
    seed: int,
    monitor: Monitor,
) -> Filter:
    guess = guess_scales(gas, recording, parts)
    rounds = SCORING_ROUNDS * number_of_kinds(parts.n_species)
    options = TrainOptions(isothermal_steps=size.isothermal_steps, scoring_rounds=rounds, seed=seed)
    return fit_isothermal(windows, split, guess, options, [], monitor)


def _bath_rows(name: str, fitted: Fitted) -> Iterable[Row]:
    gas = fitted.gas
    truth = {"friction": gas.bath, "temperature": gas.temperature}
    for quantity, (value, low, high) in bath_constants(fitted.found.laws, fitted.known_to).items():
        yield at_most(f"{name}: its {quantity}, found / true - 1", abs(value / truth[quantity] - 1), _BAR)
        held = float(low <= truth[quantity] <= high)
        yield Row(f"{name}: the 95 % interval of its {quantity} holds the true one", held)
    for what, filter_ in (("with it", fitted.found), ("without it", fitted.without)):
        errors = function_errors(filter_.laws, gas, fitted.motion)
        yield Row(f"{name}: noise of pairs, laws {what}, deviation overall", errors.noise.overall)


def _solid_rows(name: str, fitted: Fitted) -> Iterable[Row]:
    true = fitted.gas.shear * fitted.gas.temperature
    value, low, high = shear_modulus(fitted.found.laws, fitted.known_to)
    yield from _modulus_rows(name, fitted)
    yield at_most(f"{name}: shear modulus, found / true - 1", abs(value / true - 1), _BAR)
    yield Row(
        f"{name}: the 95 % interval of the shear modulus holds the true one", float(low <= true <= high)
    )
    yield _lindemann_row(name, fitted, flows=False)
    for what, filter_ in (("with it", fitted.found), ("without it", fitted.without)):
        errors = function_errors(filter_.laws, fitted.gas, fitted.motion)
        for function, deviation in (("noise", errors.noise), ("friction", errors.friction)):
            yield Row(f"{name}: {function} of pairs, laws {what}, deviation overall", deviation.overall)


def _force_rows(name: str, fitted: Fitted) -> Iterable[Row]:
    true, found, without = (
        force_and_bands[force_and_bands["quantity"] == "pair_force"]
        for force_and_bands in (
            curves(fitted, gas_laws(fitted.gas), None),
            curves(fitted, fitted.found.laws, fitted.known_to),
            curves(fitted, fitted.without.laws, None),
        )
    )
    largest = float(true["y"].abs().max())
    for what, curve, bar in (("with it", found, True), ("without it", without, False)):
        deviation = float((curve["y"] - true["y"]).abs().max()) / largest
        text = f"{name}: force of a pair, laws {what}, largest deviation / largest force"
        yield at_most(text, deviation, _BAR) if bar else Row(text, deviation)
    held = float(np.mean((found["y_low"] <= true["y"]) & (true["y"] <= found["y_high"])))
    yield at_least(f"{name}: points of the true force in the 95 % bands", held, _IN_BANDS)
    at = int(np.argmin(np.abs(_distances(fitted.gas) - _ATTRACTING * fitted.gas.cutoff)))
    upper = float(found["y_high"].iloc[at]) / largest
    yield at_most(
        f"{name}: upper end of the force at {_ATTRACTING:g} of the cutoff / largest force", upper, 0.0
    )


def _modulus_rows(name: str, fitted: Fitted) -> Iterable[Row]:
    """In k_B T, with its interval, which cannot hold zero."""
    found = shear_modulus(fitted.found.laws, fitted.known_to)
    for end, value in zip(("", ", lower end of its interval", ", upper end"), found, strict=True):
        yield Row(f"{name}: shear modulus{end}", value / fitted.gas.temperature, "k_B T")


def _lindemann_row(name: str, fitted: Fitted, *, flows: bool) -> Row:
    """What flows must be above the threshold at which `fit` warns."""
    split = training_split(fitted.recording)
    found = find_reference(fitted.recording, fitted.gas.cutoff, *split.train).lindemann
    bar = at_least if flows else at_most
    return bar(f"{name}: Lindemann parameter / critical", found / CRITICAL_LINDEMANN, 1.0)


_ROWS = {"bath": _bath_rows, "attraction": _force_rows, "solid": _solid_rows}


def _distances(gas: Gas) -> np.ndarray:
    return np.linspace(*VISITED, _POINTS) * gas.cutoff


def curves(fitted: Fitted, laws: Laws, uncertainty: Uncertainty | None) -> pd.DataFrame:
    """Functions of pairs in a typical state at `_POINTS` distances that occur, with their bands.

    Returns
    -------
    DataFrame
        Columns quantity, species, y, y_low, y_high.
    """
    gas = fitted.gas
    table = learned_functions(
        laws,
        gas.temperature,
        volumes(laws, gas, fitted.motion),
        Calibration(None, None),
        uncertainty,
        n_dims=gas.n_dims,
    )
    at, found = _distances(gas), []
    for (quantity, species), curve in table[table["quantity"] != "pressure"].groupby(
        ["quantity", "species"], sort=False
    ):
        values = {end: np.interp(at, curve["x"], curve[end]) for end in ("y", "y_low", "y_high")}
        found.append(pd.DataFrame({"quantity": quantity, "species": species, **values}))
    return pd.concat(found, ignore_index=True)

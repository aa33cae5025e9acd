"""One simulated gas, fitted and held against its law: what every case of the learner's benchmark shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from colloidlab.benchmarks.learner_functions import Functions, function_errors
from colloidlab.dataset.recording import Recording
from colloidlab.dataset.regime import judge
from colloidlab.dataset.split import Split, split_by_time
from colloidlab.model.entropy import ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.forms import PLAIN, EntropyForm, Guess, Parts
from colloidlab.model.guess import first_guess
from colloidlab.model.held_out import Comparison, Pass, compare, follow, pass_both
from colloidlab.model.isothermal_training import Correction
from colloidlab.model.sequence import WindowSource
from colloidlab.model.species import number_of_kinds
from colloidlab.model.tensors import float64
from colloidlab.model.train import Fit, TrainOptions, fit_laws
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.indirect import correct_laws
from colloidlab.synthetic.gas import Gas, Motion, gas_laws, observe, simulate_gas

SCORING_ROUNDS = 6
"""Twice as many as `fit` takes by default: recordings are longer, and nobody waits."""
BURN_IN = 40
"""Frames of a recording in which the filter forgets its start; not scored."""
_GAINS = [(information, process) for information in (0.3, 0.6, 1.2) for process in (1e-4, 1e-3)]
_PRIOR = 0.2
_ROUND_OFF = 1e-12
OTHER = 1000
"""Added to the seed of what is held out."""


@dataclass(frozen=True)
class Size:
    """How long to record and to fit."""

    train_frames: int
    test_frames: int
    isothermal_steps: int
    filter_steps: int


FULL = Size(300, 160, 120, 80)
"""What `colloidlab benchmark learner` measures with."""


@dataclass(frozen=True)
class Learned:
    """A fit, and what it is worth on a recording that it has not seen.

    Attributes
    ----------
    gas : Gas
    held_out : Motion
        True motion of the recording that was held out.
    recording : Recording
        Of it, as the camera saw it.
    fit : Fit
    isothermal, thermal, oracle : Pass
        Of the held-out recording; the oracle filters with the true law.
    gain, oracle_gain : Comparison
        Of the fitted law with entropy, and of the oracle, over the fitted isothermal law.
    uncorrected : Functions, optional
        Deviations before the corrections by simulation, where there were any.
    """

    gas: Gas
    held_out: Motion
    recording: Recording
    fit: Fit
    isothermal: Pass
    thermal: Pass
    oracle: Pass
    gain: Comparison
    oracle_gain: Comparison
    uncorrected: Functions | None = None


def learn(
    gas: Gas,
    sigma: float | np.ndarray,
    size: Size,
    *,
    seed: int,
    monitor: Monitor = SILENT,
    entropy: EntropyForm = "filter",
    corrections: int = 0,
    start_corrected: bool = False,
) -> Learned:
    """Simulate two recordings of a gas, fit the first, and filter the second.

    Parameters
    ----------
    gas : Gas
    sigma : float, or array of shape (n,), px
        Localisation error.
    size : Size
    seed : int
    entropy : str
        Form of the entropy inference that is fitted; the oracle's is the score filter.
    corrections : int
        Rounds of `rollout.indirect`, for the law with entropy. One of a single temperature cannot make these data, whatever
        its numbers: it is left where its likelihood, which it is judged by, is largest.
    start_corrected : bool
        The isothermal law is corrected too, and the fit with entropy starts there, as in `colloidlab fit`.
    """
    monitor.update("simulate", 0, 2)
    motion = simulate_gas(gas, size.train_frames, seed=seed)
    monitor.update("simulate", 1, 2)
    held_out = simulate_gas(gas, size.test_frames, seed=seed + OTHER)
    seen = observe(motion, sigma, seed=seed)

    def correct(filter_: Filter, windows: WindowSource, split: Split, monitor: Monitor) -> None:
        correct_laws(filter_, windows, split, seed=seed, rounds=corrections, monitor=monitor)

    first = correct if start_corrected else None
    fit = fit_recording(gas, seen, size, seed=seed, monitor=monitor, entropy=entropy, correct=first)
    uncorrected = None
    if corrections:
        uncorrected = function_errors(fit.thermal.laws, gas, held_out)
        correct(fit.thermal, WindowSource(seen, gas.cutoff), training_split(seen), monitor)
    recording = observe(held_out, sigma, seed=seed + OTHER)
    windows = WindowSource(recording, gas.cutoff)
    isothermal, thermal = pass_both(fit, windows, monitor)
    oracle = _oracle(gas, windows, monitor)
    split = scored_split(size)
    return Learned(
        gas,
        held_out,
        recording,
        fit,
        isothermal,
        thermal,
        oracle,
        compare(isothermal, thermal, split, 0, gas.n_dims, one_temperature=fit.one_temperature),
        compare(isothermal, oracle, split, 0, gas.n_dims),
        uncorrected,
    )


def fit_recording(
    gas: Gas,
    recording: Recording,
    size: Size,
    *,
    seed: int,
    monitor: Monitor = SILENT,
    entropy: EntropyForm = "filter",
    correct: Correction | None = None,
    parts: Parts = PLAIN,
) -> Fit:
    """Fit a recording with the steps of `size`; nothing is taken from the truth but the cutoff."""
    guess = guess_scales(gas, recording, parts)
    options = TrainOptions(
        size.isothermal_steps,
        size.filter_steps,
        scoring_rounds=SCORING_ROUNDS * number_of_kinds(parts.n_species),
        seed=seed,
        entropy=entropy,
    )
    return fit_laws(recording, training_split(recording), guess, options, monitor, correct=correct)


def guess_scales(gas: Gas, recording: Recording, parts: Parts = PLAIN) -> Guess:
    """The first guess of a fit to what a camera saw of the gas."""
    return first_guess(recording, judge(recording, 1.5 * gas.cutoff), gas.cutoff, parts)


def training_split(recording: Recording) -> Split:
    """Most of it to learn from, because what tests is another recording."""
    return split_by_time(recording.first, recording.stop, 0.8, 0.15)


def scored_split(size: Size) -> Split:
    """Of a recording that was held out: all but the burn-in is a test."""
    return Split((0, BURN_IN), (BURN_IN, BURN_IN), (BURN_IN, size.test_frames))


def _oracle(gas: Gas, windows: WindowSource, monitor: Monitor) -> Pass:
    """Filter with the true law, and with those of a few gains that suit it best on the burn-in."""
    laws = gas_laws(gas)
    start = float(laws.energy.entropy(float64([gas.temperature]), float64([gas.volume])))
    passes = []
    for information, process in _GAINS:
        inference = ScoreFilter(_PRIOR, information, process, initial=start)
        passes.append(follow(Filter(laws, inference, gas.temperature), windows, monitor, "oracle"))
    return max(passes, key=lambda p: float(p.loglik[:BURN_IN].sum()))


def after_the_burn_in(learned: Learned, found: Pass) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Filtered ln T, its stated standard deviation, and the true ln T, of all particles."""
    state = found.state[found.state["frame"] >= BURN_IN]
    frame, particle = state["frame"].to_numpy(), state["particle"].to_numpy()
    ln_t, sigma = np.log(state["temperature_px2"].to_numpy()), state["sigma_ln_temperature"].to_numpy()
    return ln_t, sigma, np.log(learned.held_out.T[frame, particle])


def temperature_error(learned: Learned, found: Pass) -> tuple[float, float]:
    """Rms error of ln T, and its correlation with the truth, over all particles after the burn-in."""
    ln_t, _, true = after_the_burn_in(learned, found)
    spread = ln_t.std() * true.std()
    # Equal numbers have a spread of round-off.
    correlation = float(np.corrcoef(ln_t, true)[0, 1]) if spread > _ROUND_OFF else 0.0
    return float(np.sqrt(np.mean((ln_t - true) ** 2))), correlation

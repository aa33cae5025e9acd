"""One simulated gas, fitted and held against its law: what every case of the learner's benchmark shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.regime import judge
from colloidlab.dataset.split import Split, split_by_time
from colloidlab.model import brackets
from colloidlab.model.energy import Isothermal
from colloidlab.model.entropy import ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.forms import EntropyForm
from colloidlab.model.guess import first_guess
from colloidlab.model.held_out import Comparison, Pass, compare, follow, pass_both
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.sequence import WindowSource
from colloidlab.model.tensors import dot, float64
from colloidlab.model.train import Fit, TrainOptions, fit_laws
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.indirect import correct_laws
from colloidlab.synthetic.gas import Gas, Motion, gas_laws, observe, simulate_gas

SCORING_ROUNDS = 2
BURN_IN = 40
"""Frames of a recording in which the filter forgets its start; not scored."""
_GAINS = [(information, process) for information in (0.3, 0.6, 1.2) for process in (1e-4, 1e-3)]
_PRIOR = 0.2
_OTHER = 1000
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
        Rounds of `rollout.indirect` for the law with entropy.
    """
    monitor.update("simulate", 0, 2)
    motion = simulate_gas(gas, size.train_frames, seed=seed)
    monitor.update("simulate", 1, 2)
    held_out = simulate_gas(gas, size.test_frames, seed=seed + _OTHER)
    seen = observe(motion, sigma, seed=seed)
    fit = fit_recording(gas, seen, size, seed=seed, monitor=monitor, entropy=entropy)
    uncorrected = None
    if corrections:
        uncorrected = function_errors(fit.thermal.laws, gas, held_out)
        windows, split = WindowSource(seen, gas.cutoff), _split(seen)
        correct_laws(fit.thermal, windows, split, seed=seed, rounds=corrections, monitor=monitor)
    recording = observe(held_out, sigma, seed=seed + _OTHER)
    windows = WindowSource(recording, gas.cutoff)
    isothermal, thermal = pass_both(fit, windows, monitor)
    oracle = _oracle(gas, windows, monitor)
    split = Split((0, BURN_IN), (BURN_IN, BURN_IN), (BURN_IN, size.test_frames))
    return Learned(
        gas,
        held_out,
        recording,
        fit,
        isothermal,
        thermal,
        oracle,
        compare(isothermal, thermal, split, 0, gas.n_dims),
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
) -> Fit:
    """Fit a recording with the steps of `size`; nothing is taken from the truth but the cutoff."""
    guess = first_guess(recording, judge(recording, 1.5 * gas.cutoff), gas.cutoff)
    options = TrainOptions(
        size.isothermal_steps,
        size.filter_steps,
        scoring_rounds=SCORING_ROUNDS,
        seed=seed,
        entropy=entropy,
    )
    return fit_laws(recording, _split(recording), guess, options, monitor)


def _split(recording: Recording) -> Split:
    return split_by_time(recording.first, recording.stop, 0.8, 0.15)


def _oracle(gas: Gas, windows: WindowSource, monitor: Monitor) -> Pass:
    """Filter with the true law, and with those of a few gains that suit it best on the burn-in."""
    laws = gas_laws(gas)
    start = float(laws.energy.entropy(float64([gas.temperature]), float64([gas.volume])))
    passes = []
    for information, process in _GAINS:
        inference = ScoreFilter(_PRIOR, information, process, initial=start)
        passes.append(follow(Filter(laws, inference, gas.temperature), windows, monitor, "oracle"))
    return max(passes, key=lambda p: float(p.loglik.sum()))


def temperature_error(learned: Learned, found: Pass) -> tuple[float, float]:
    """Rms error of ln T, and its correlation with the truth, over all particles after the burn-in."""
    state = found.state[found.state["frame"] >= BURN_IN]
    frame, particle = state["frame"].to_numpy(), state["particle"].to_numpy()
    true = np.log(learned.held_out.T[frame, particle])
    ln_t = np.log(state["temperature_px2"].to_numpy())
    spread = ln_t.std() * true.std()
    correlation = float(np.corrcoef(ln_t, true)[0, 1]) if spread > 0 else 0.0
    return float(np.sqrt(np.mean((ln_t - true) ** 2))), correlation


@dataclass(frozen=True)
class Deviation:
    """Relative deviation of a fitted from the true function: the largest of five bins, and that of all together."""

    largest: float
    overall: float


@dataclass(frozen=True)
class Functions:
    """Deviations of the fitted from the true functions over the visited range.

    Attributes
    ----------
    noise : Deviation
        Of tr K/D, the squared amplitudes, in bins of distance.
    friction : Deviation
        Of the trace of Gamma over D.
    pressure : Deviation
        Of the mean virial of a particle, in bins of the true one.
    """

    noise: Deviation
    friction: Deviation
    pressure: Deviation


def function_errors(laws: Laws, gas: Gas, motion: Motion) -> Functions:
    """Compare fitted with true functions at the true positions and temperatures of a recording.

    Kernels and volumes are told apart by no trajectory, so that what they make is compared: noise, friction and
    virial, each at the particles' own temperatures.
    """
    true = gas_laws(gas)
    sums: list[np.ndarray] = []
    for pairs, T in _frames(gas, motion):
        with torch.no_grad():
            one, other = (_at_temperature(part, pairs, T) for part in (laws, true))
        sums.append(_binned(one, other, pairs))
    total = np.sum(sums, axis=0)
    parts = (total[k : k + _BINS] for k in range(0, len(total), _BINS))
    return Functions(*(_deviation(part) for part in parts))


@dataclass(frozen=True)
class ForceErrors:
    """What the pressure does: a pressure that is the same all around makes no force, and its level is hardly seen.

    Attributes
    ----------
    slope, rms : float
        Regression of the fitted net force of a particle on the true one, and the rms difference over the rms true force.
    virial_slope : float
        Regression of the fitted virial of a particle on the true one: how the pressure varies, whatever its level.
    """

    slope: float
    rms: float
    virial_slope: float


def force_errors(laws: Laws, gas: Gas, motion: Motion) -> ForceErrors:
    """Compare fitted with true forces at the true positions and temperatures of a recording."""
    true = gas_laws(gas)
    forces, virials = [], []
    for pairs, T in _frames(gas, motion):
        with torch.no_grad():
            both = [_at_temperature(part, pairs, T) for part in (laws, true)]
        forces.append([ev.force.numpy().ravel() for ev in both])
        virials.append([_virial(ev, pairs) for ev in both])
    found, expected = np.concatenate(forces, axis=1)
    size = float(expected @ expected)
    virial, true_virial = np.concatenate(virials, axis=1)
    return ForceErrors(
        slope=float(found @ expected) / size,
        rms=float(np.sqrt(((found - expected) ** 2).sum() / size)),
        virial_slope=float(np.polyfit(true_virial, virial, 1)[0]),
    )


def volumes(laws: Laws, gas: Gas, motion: Motion) -> np.ndarray:
    """V of all particles in some frames, by the kernel of these laws."""
    found = []
    for pairs, _ in _frames(gas, motion):
        with torch.no_grad():
            found.append(brackets.evaluate(laws, pairs, torch.zeros(pairs.n, dtype=torch.float64)).volume)
    return np.asarray(torch.cat(found))


def _deviation(sums: np.ndarray) -> Deviation:
    """Of sums over bins of (fitted, true)."""
    share = sums[:, 0] / sums[:, 1] - 1
    overall = sums[:, 0].sum() / sums[:, 1].sum() - 1
    return Deviation(float(np.abs(share[np.isfinite(share)]).max()), float(overall))


_BINS = 5
VISITED = _NEAR, _FAR = 0.25, 0.85
"""Distances in units of the cutoff: nearer ones are rare, farther ones feel next to nothing."""


def _frames(gas: Gas, motion: Motion) -> Iterator[tuple[Pairs, torch.Tensor]]:
    """True pairs and temperatures of a dozen frames of a recording."""
    for frame in range(0, len(motion.r), max(len(motion.r) // 12, 1)):
        yield _pairs(gas, torch.as_tensor(motion.r[frame])), torch.as_tensor(motion.T[frame])


def _pairs(gas: Gas, r: torch.Tensor) -> Pairs:
    from colloidlab.dataset.graph import find_pairs

    box = np.full(gas.n_dims, gas.box)
    index = torch.as_tensor(find_pairs(r.numpy(), gas.cutoff, box=box))
    return pair_geometry(r, index, gas.cutoff, torch.ones_like(r[:, 0]), torch.as_tensor(box))


def _at_temperature(laws: Laws, pairs: Pairs, T: torch.Tensor) -> brackets.Evaluation:
    zero = torch.zeros_like(T)
    volume = brackets.evaluate(laws, pairs, zero).volume
    if isinstance(laws.energy, Isothermal):
        return brackets.evaluate(laws, pairs, zero)
    return brackets.evaluate(laws, pairs, laws.energy.entropy(T, volume))


def _binned(one: brackets.Evaluation, other: brackets.Evaluation, pairs: Pairs) -> np.ndarray:
    """Sums over bins of (fitted, true): noise and friction by distance, virial by the true virial; (3 bins, 2)."""
    dim = pairs.e.shape[1]
    place = ((pairs.x.numpy() - _NEAR) / (_FAR - _NEAR) * _BINS).astype(int)
    inside = (pairs.x.numpy() >= _NEAR) & (pairs.x.numpy() < _FAR)

    def by_distance(perp: str, par: str) -> np.ndarray:
        columns = [((dim - 1) * getattr(ev, perp) + getattr(ev, par)).numpy() / dim for ev in (one, other)]
        return np.column_stack(
            [np.bincount(place[inside], weights=c[inside], minlength=_BINS) for c in columns]
        )

    virials = [_virial(ev, pairs) for ev in (one, other)]
    rank = np.argsort(np.argsort(virials[1])) * _BINS // len(virials[1])
    by_rank = np.column_stack([np.bincount(rank, weights=v, minlength=_BINS) for v in virials])
    return np.concatenate([by_distance("k_perp", "k_par"), by_distance("g_perp", "g_par"), by_rank])


def _virial(ev: brackets.Evaluation, pairs: Pairs) -> np.ndarray:
    """1/(2 D) sum_j r_ij f_ij of every particle: its share of the pressure times the volume."""
    push = dot(brackets.pair_force(ev), pairs.e)
    return np.asarray(pairs.sum_symmetric(pairs.r * push).numpy() / (2 * pairs.e.shape[1]))

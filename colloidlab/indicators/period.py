"""Is a motion periodic, and if so with which period?

A sinusoid is sought that explains most of one component's variance, stands out of the noise around it, and keeps its phase:
that of the first half of the series must predict the second half. Collective motion is remembered for some frames even
without a drive, so that its noise is red: the background is that of an autoregressive process of first order, fitted to
what the sinusoid leaves over.

References
----------
Torrence & Compo, Bull. Am. Meteorol. Soc. 79, 61 (1998), section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_LEAST_PERIODS, _SHORTEST_PERIOD = 2.0, 4.0
"""A period must have been seen twice, and in four frames."""

_LEAST_SHARE = 0.6
"""Of the variance of one component, that the sinusoid must explain."""

_LEAST_PREDICTED = 0.5
"""Share of the variance of the second half, that the sinusoid of the first half must explain."""

_LEAST_HARMONIC = 0.02
"""Share of the variance that a harmonic must explain to be worth repeating."""

_LARGEST_P = 1e-3
"""Chance, over all frequencies and components, that noise looks like it."""

_MOST_HARMONICS, _TRIALS_A_LINE = 5, 16


@dataclass(frozen=True)
class Period:
    """A periodic motion.

    Attributes
    ----------
    frames : float
        Its length.
    harmonics : tuple of int
        Multiples of its frequency that stand out of the noise; 1 is the first.
    share : float
        Of the variance of the component that shows it best.
    chance : float
        That noise would look like it somewhere.
    """

    frames: float
    harmonics: tuple[int, ...]
    share: float
    chance: float


def find_period(frame: np.ndarray, values: np.ndarray) -> Period | None:
    """The period of a series of several components; None where there is none.

    Parameters
    ----------
    frame : int array, shape (n,)
    values : float array, shape (n, n_components)
        In one unit; components that do not move are left out.
    """
    x = values - values.mean(axis=0)
    spread = x.std(axis=0)
    x = x[:, spread > 1e-9 * max(float(spread.max(initial=0.0)), 1e-300)]
    span = float(frame[-1] - frame[0] + 1) if len(frame) else 0.0
    if len(frame) < 2 * _SHORTEST_PERIOD or x.shape[1] == 0:
        return None
    highest = 1 / _SHORTEST_PERIOD
    trials = np.arange(_LEAST_PERIODS / span, highest, 1 / (_TRIALS_A_LINE * span))
    if len(trials) < 3:
        return None
    power = np.array([_explained(frame, x, f).sum() for f in trials])
    best = int(power.argmax())
    around = float(trials[max(best - 1, 0)]), float(trials[min(best + 1, len(trials) - 1)])
    f = _refined(frame, x, around)
    tests = 0.5 * len(frame) * x.shape[1]
    share, chance = _judge(frame, x, f)
    # That component counts which the drive moves; the others may show something else.
    good = (
        (share >= _LEAST_SHARE)
        & (chance * tests < _LARGEST_P)
        & (_predicted(frame, x, f) >= _LEAST_PREDICTED)
    )
    if not good.any():
        return None
    shown = int(np.where(good, share, -1).argmax())
    rest = x - _fit(frame, x, [f])
    found = [1]
    for k in range(2, _MOST_HARMONICS + 1):
        if k * f >= highest:
            break
        seen = _judge(frame, rest, k * f)[1] * x.shape[1] < _LARGEST_P
        if (seen & (_explained(frame, rest, k * f) > _LEAST_HARMONIC * (x**2).sum(axis=0))).any():
            found.append(k)
    if len(found) > 1:
        f = _refined(frame, x, around, tuple(found))
    return Period(1 / f, tuple(found), float(share[shown]), float(chance[shown] * tests))


def waves(frame: np.ndarray, frequencies: list[float]) -> np.ndarray:
    """Cosines and sines, shape (n, 2 n_frequencies)."""
    angle = 2 * math.pi * np.multiply.outer(frame, np.array(frequencies))
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


def red_noise(x: np.ndarray, f: float) -> np.ndarray:
    """Spectral density at f, per variance of white noise, of autoregressive processes of first order like x; shape (c,)."""
    x = x - x.mean(axis=0)
    variance = (x**2).mean(axis=0)
    memory = (x[1:] * x[:-1]).mean(axis=0) / np.maximum(variance, 1e-300)
    # The estimate is too low by some (1 + 4 memory)/n; too high a background is the safe side.
    memory = np.clip(memory + (1 + 4 * np.abs(memory)) / len(x), 0.0, 0.999)
    return variance * (1 - memory**2) / (1 + memory**2 - 2 * memory * math.cos(2 * math.pi * f))


def _fit(frame: np.ndarray, x: np.ndarray, frequencies: list[float]) -> np.ndarray:
    basis = np.column_stack([np.ones(len(frame)), waves(frame, frequencies)])
    found: np.ndarray = basis @ np.linalg.lstsq(basis, x, rcond=None)[0]
    return found


def _explained(frame: np.ndarray, x: np.ndarray, f: float, harmonics: tuple[int, ...] = (1,)) -> np.ndarray:
    """Sum of squares that a sinusoid, or several harmonics, takes away, shape (c,)."""
    rest = x - _fit(frame, x, [k * f for k in harmonics])
    return np.asarray((x**2).sum(axis=0) - (rest**2).sum(axis=0))


def _predicted(frame: np.ndarray, x: np.ndarray, f: float) -> np.ndarray:
    """Share of the variance of the second half that the sinusoid of the first half explains, shape (c,)."""
    half = len(frame) // 2
    basis = np.column_stack([np.ones(len(frame)), waves(frame, [f])])
    rest = x[half:] - (basis @ np.linalg.lstsq(basis[:half], x[:half], rcond=None)[0])[half:]
    variance = x[half:].var(axis=0)
    return np.asarray(1 - rest.var(axis=0) / np.maximum(variance, 1e-300))


def _judge(frame: np.ndarray, x: np.ndarray, f: float) -> tuple[np.ndarray, np.ndarray]:
    """Share of the variance of every component that a sinusoid explains, and the chance that noise does so at this f."""
    explained = _explained(frame, x, f)
    share = explained / np.maximum((x**2).sum(axis=0), 1e-300)
    background = red_noise(x - _fit(frame, x, [f]), f)
    # In noise of this density half the sum of squares over it has an exponential distribution.
    return share, np.exp(-0.5 * explained / np.maximum(background, 1e-300))


def _refined(
    frame: np.ndarray, x: np.ndarray, around: tuple[float, float], harmonics: tuple[int, ...] = (1,)
) -> float:
    """The frequency of most power between two, by golden section."""
    low, high = around
    golden = 0.5 * (math.sqrt(5) - 1)
    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        power = [_explained(frame, x, f, harmonics).sum() for f in (left, right)]
        if power[0] > power[1]:
            high = right
        else:
            low = left
    return 0.5 * (low + high)

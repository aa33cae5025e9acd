"""What the fitted laws are worth: a causal pass over the whole recording, and the likelihood on the test block."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm
from scipy.stats import t as student_t

from colloidlab.dataset.split import Split
from colloidlab.dataset.windows import Window
from colloidlab.model.filter import Filter, StepResult
from colloidlab.model.sequence import CarriedState, WindowSource, fresh_state
from colloidlab.model.train import Fit
from colloidlab.progress import SILENT, Monitor

_WINDOW = 40
_BLOCK_FRAMES = 8
_RESAMPLES = 2000
_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Pass:
    """Result of filtering a recording from its first frame with frozen laws.

    Attributes
    ----------
    state : DataFrame
        See `state.parquet` in the run-folder contract.
    volumes : float array
        Volumes V of interior particles, a sample over all frames.
    loglik, count : float arrays, shape (n_frames - 1,)
        Sum over the counted particles of ln p of their next position, and their number, per frame.
    second, first : float arrays, shape (n_frames - 1,)
        Sums over the same particles of the squared second and first differences of position, for the baselines.
    form : str
        Of the entropy inference.
    """

    state: pd.DataFrame
    volumes: np.ndarray
    loglik: np.ndarray
    count: np.ndarray
    second: np.ndarray
    first: np.ndarray
    form: str = "filter"


def follow(filter_: Filter, windows: WindowSource, monitor: Monitor = SILENT, label: str = "filter") -> Pass:
    """Run the filter causally through the whole recording, window by window."""
    recording = windows.recording
    carried: CarriedState | None = None
    tables, sums, volumes = [], [], []
    last = recording.stop - 1
    for a in range(recording.first, last, _WINDOW):
        monitor.update(label, a - recording.first, last - recording.first)
        b = min(a + _WINDOW, last)
        window = windows(a, b + 1)
        state = fresh_state(window) if carried is None else carried.place(window)
        previous = _previous_positions(windows, window, a)
        for k in range(window.n_frames - 1):
            result = filter_.step(state, window, k)
            state = result.state.detach()
            tables.append(_state_rows(result, window, k, a + k, recording.particles))
            sums.append(_sums(result, window, k, previous))
            volumes.append(result.evaluation.volume.detach()[window.interior[k]].cpu().numpy()[::10])
            previous = window.positions[k]
        carried = CarriedState.take(state, window)
    monitor.update(label, last - recording.first, last - recording.first)
    loglik, count, second, first = np.array(sums).T
    state_rows, volume = pd.concat(tables, ignore_index=True), np.concatenate(volumes)
    return Pass(state_rows, volume, loglik, count, second, first, filter_.inference.form)


def _previous_positions(windows: WindowSource, window: Window, first: int) -> torch.Tensor:
    """Positions one frame before the window, for the particles of the window."""
    out = torch.full_like(window.positions[0], float("nan"))
    if first > windows.recording.first:
        rows = windows.recording.rows(first - 1)
        at = np.searchsorted(window.slot, windows.recording.particle[rows])
        at = np.minimum(at, len(window.slot) - 1)
        known = window.slot[at] == windows.recording.particle[rows]
        position = windows.recording.position[rows][known]
        where = torch.as_tensor(at[known], device=out.device)
        out[where] = torch.as_tensor(position, dtype=out.dtype, device=out.device)
    return out


def _sums(
    result: StepResult, window: Window, k: int, previous: torch.Tensor
) -> tuple[float, float, float, float]:
    m = result.counted
    step = window.positions[k + 1] - window.positions[k]
    bend = step - (window.positions[k] - previous)
    return (
        float(result.loglik.detach()[m].sum()),
        float(m.sum()),
        float((bend[m] ** 2).sum()),
        float((step[m] ** 2).sum()),
    )


def _state_rows(
    result: StepResult, window: Window, k: int, frame: int, particles: np.ndarray
) -> pd.DataFrame:
    def numbers(values: torch.Tensor) -> np.ndarray:
        return np.asarray(values.detach().cpu().numpy()[m])

    m = window.present[k].cpu().numpy()
    s = result.filtered
    r, v = numbers(s.r), numbers(s.v)
    sigma = np.sqrt(numbers(s.variance))
    # An isothermal law has no heat capacity, and nothing is known of its entropy.
    inverse = numbers(result.evaluation.thermo.inv_c)
    axes = "xyz"[: r.shape[1]]
    return pd.DataFrame(
        {
            "frame": frame,
            "particle": particles[window.slot[m]],
            **{axis: r[:, k] for k, axis in enumerate(axes)},
            **{f"v{axis}_px": v[:, k] for k, axis in enumerate(axes)},
            "entropy": numbers(s.S),
            "temperature_px2": numbers(result.evaluation.thermo.T),
            "sigma_entropy": np.where(inverse > 0, sigma / np.where(inverse > 0, inverse, 1), np.nan),
            "sigma_ln_temperature": sigma,
            "boundary": ~numbers(window.interior[k]),
        }
    )


@dataclass(frozen=True)
class Comparison:
    """Log-likelihood of every model on the test block.

    Attributes
    ----------
    table : DataFrame
        See `likelihood.parquet` in the run-folder contract.
    temperature_identified : bool
        The interval of the gain of the entropy over the isothermal law lies above zero, and the law with entropy
        beats both baselines (otherwise it describes nothing, whatever it gains over a bad law).
    form : str
        Row of the law with entropy; "isothermal" where there is none.
    """

    table: pd.DataFrame
    temperature_identified: bool
    form: str = "filter"

    @property
    def gain(self) -> pd.Series:
        """The row of the law with entropy, `gain, gain_low, gain_high` over the isothermal one among its numbers."""
        return self.table.set_index("model").loc[self.form]


def compare(
    isothermal: Pass,
    thermal: Pass,
    split: Split,
    first_frame: int,
    dim: int = 2,
    seed: int = 0,
    *,
    one_temperature: bool = False,
) -> Comparison:
    """Score the test block: two baselines, the isothermal law and the law with entropy.

    The baselines predict the next position by the last one (diffusion) or by the last one
    plus the last displacement (constant velocity), with the error variance that the training block
    shows. Intervals are 95 % from resampling blocks of 8 frames; gains are paired frame by frame. A bootstrap
    of n blocks is too narrow by sqrt((n - 1)/n) and by Student's t over the normal quantile; both are made good, so
    that a short test block does not find a temperature by chance. Where nothing of the test block counts, nothing is known:
    every number is NaN, and no temperature is identified; nor is it where the fit has preferred `one_temperature`, whose
    tiny gain may be above zero by chance.

    References
    ----------
    Hesterberg, The American Statistician 69, 371 (2015), on the narrowness of bootstrap intervals.
    """

    sums, count = _test_sums(isothermal, thermal, split, first_frame, dim)
    bootstrap = _Bootstrap(count, seed)
    rows = [
        (model, *bootstrap.interval(values), *bootstrap.interval(values - sums["isothermal"]))
        for model, values in sums.items()
    ]
    table = pd.DataFrame(rows, columns=["model", "loglik", "low", "high", "gain", "gain_low", "gain_high"])
    return Comparison(table, not one_temperature and _identifies(table, thermal.form), thermal.form)


def _test_sums(
    isothermal: Pass, thermal: Pass, split: Split, first_frame: int, dim: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Log-likelihood of every model, summed over the particles, and their number, for every frame of the test block."""

    def frames(block: tuple[int, int]) -> slice:
        return slice(block[0] - first_frame, min(block[1] - first_frame, len(thermal.count) + 1))

    train, test = frames(split.train), frames(split.test)
    # Predictions of the test frames start at the last frame before them.
    test = slice(max(test.start - 1, 0), test.stop - 1)

    def gaussian(squares: np.ndarray) -> np.ndarray:
        good = np.isfinite(squares[train])
        variance = squares[train][good].sum() / (dim * isothermal.count[train][good].sum())
        return -0.5 * (squares / variance + dim * isothermal.count * (np.log(variance) + _LOG_2PI))

    sums = {
        "constant_velocity": gaussian(isothermal.second)[test],
        "diffusion": gaussian(isothermal.first)[test],
        "isothermal": isothermal.loglik[test],
    }
    sums[thermal.form] = thermal.loglik[test]
    return sums, thermal.count[test]


class _Bootstrap:
    """Means over particles and frames with intervals from blocks of frames, drawn alike for all that is compared."""

    def __init__(self, count: np.ndarray, seed: int) -> None:
        self._blocks = np.array_split(np.arange(len(count)), max(2, len(count) // _BLOCK_FRAMES))
        n = len(self._blocks)
        self._picks = np.random.default_rng(seed).integers(0, n, size=(_RESAMPLES, n))
        self._total, self._drawn = count.sum(), self._draw(count)
        self._widening = np.sqrt(n / (n - 1)) * student_t.ppf(0.975, n - 1) / norm.ppf(0.975)

    def interval(self, values: np.ndarray) -> tuple[float, float, float]:
        """Mean and both ends of its interval, from sums over particles of every frame."""
        if not self._total:
            return math.nan, math.nan, math.nan
        means = self._draw(values) / np.maximum(self._drawn, 1)
        mean = float(values.sum() / self._total)
        low, high = mean + self._widening * (np.percentile(means, [2.5, 97.5]) - mean)
        return mean, float(low), float(high)

    def _draw(self, values: np.ndarray) -> np.ndarray:
        """Sums of what was drawn, shape (n_resamples,)."""
        drawn: np.ndarray = np.array([values[b].sum() for b in self._blocks])[self._picks].sum(axis=1)
        return drawn


def _identifies(table: pd.DataFrame, form: str) -> bool:
    """Does the law with entropy gain beyond chance, and describe more than the baselines do?"""
    found = table.set_index("model")
    simple = found.loc[["constant_velocity", "diffusion"], "loglik"].max()
    return bool(found.loc[form, "gain_low"] > 0 and found.loc[form, "loglik"] > simple)


def pass_both(fit: Fit, windows: WindowSource, monitor: Monitor = SILENT) -> tuple[Pass, Pass]:
    """Filter the recording with the likeliest isothermal laws and with those with entropy: once, where none has any."""
    alone = fit.thermal is fit.isothermal
    baseline = fit.isothermal if alone or fit.likeliest is None else fit.likeliest
    isothermal = follow(baseline, windows, monitor, "follow, isothermal")
    if alone:
        return isothermal, isothermal
    return isothermal, follow(fit.thermal, windows, monitor, "follow, with entropy")

"""Star polymers: what a training step costs, and what is learned for it, beside the published method.

Same snapshots, same pairs, one thread each, in turns. The published code and its weights are measured where they are
given; else networks of its size, ours, stand for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.benchmarks.star_fits import (
    CUTOFF,
    StarFit,
    fit_default,
    fit_networks,
    published_fit,
    split_frames,
)
from colloidlab.benchmarks.star_likelihood import take
from colloidlab.benchmarks.star_steps import (
    HIDDEN,
    Runner,
    Step,
    motion_step,
    published_code_step,
    published_size_step,
)
from colloidlab.indicators.bootstrap import band, resample
from colloidlab.progress import SILENT, Monitor
from colloidlab.synthetic.star_polymers import StarMelt, lammps_is_installed, read_stars, simulate_stars

_MB = 1024.0
_BLOCK_FRAMES = 8

_SEED = 4
"""Of the melt; cutoffs, classes and prior of the default fit were chosen on melts 1 and 2."""


@dataclass(frozen=True)
class Outside:
    """What the comparison takes from elsewhere, where it is at hand.

    Attributes
    ----------
    stars : Path, optional
        A melt that was saved; else LAMMPS makes one.
    published : Path, optional
        A checkout of the published code.
    weights : Path, optional
        Its weights for these stars.
    """

    stars: Path | None = None
    published: Path | None = None
    weights: Path | None = None

    def can_make_stars(self) -> bool:
        """There are stars, or there is what makes them."""
        return self.stars is not None or lammps_is_installed()

    def melt(self) -> StarMelt:
        """The stars."""
        return simulate_stars(seed=_SEED) if self.stars is None else read_stars(self.stars)


ALONE = Outside()
"""Nothing is given."""


@dataclass(frozen=True)
class StarSize:
    """How much to do.

    Attributes
    ----------
    snapshots, repeats : int
        In a training step, and timings of each step.
    hidden : tuple of int
        Features of the hidden layers of networks.
    evaluations, frames, network_steps : int
        Of the fits; see `star_fits`.
    """

    snapshots: int = 5
    repeats: int = 7
    hidden: tuple[int, ...] = tuple(HIDDEN)
    evaluations: int = 150
    frames: int = 20
    network_steps: int = 400


FULL = StarSize()
"""What `colloidlab benchmark learner` measures with."""


def star_rows(
    outside: Outside, melt: StarMelt, size: StarSize = FULL, monitor: Monitor = SILENT
) -> Iterable[Row]:
    """Fits first, because the cost of the default classes is that of what they were found to need."""
    blocks = split_frames(melt)
    ours = fit_default(melt, blocks, n_frames=size.frames, evaluations=size.evaluations, monitor=monitor)
    yield from cost_rows(outside, melt, ours, size, monitor)
    others = {}
    weights = None if outside.weights is None else str(outside.weights)
    if weights is not None:
        others["published weights"] = published_fit(weights)
    name = "networks" if weights is None else "published weights, fitted on"
    others[name] = fit_networks(
        melt, blocks, weights, hidden=list(size.hidden), steps=size.network_steps, monitor=monitor
    )
    yield from quality_rows(melt, blocks.test, ours, others)


def quality_rows(melt: StarMelt, test: range, ours: StarFit, others: dict[str, StarFit]) -> Iterable[Row]:
    """Log-likelihoods of the test block, and paired differences with their intervals."""
    mine = ours.by_frame(melt, test)
    unit = "nats a star and step"
    yield Row("stars: default classes, cutoff", ours.laws.cutoff)
    yield Row("stars: default classes, processor time of the fit", ours.seconds, "s")
    yield Row("stars: default classes, held-out log-likelihood", float(mine.mean()), unit)
    for name, other in others.items():
        theirs = other.by_frame(melt, test)
        gain, low, high = _paired(mine - theirs)
        if other.seconds > 0:
            yield Row(f"stars: {name}, processor time of the fit", other.seconds, "s")
        yield Row(f"stars: {name}, held-out log-likelihood", float(theirs.mean()), unit)
        yield at_least(f"stars: default classes - {name}", gain, 0.0, unit)
        yield Row(f"stars: default classes - {name}, lower end of 95 %", low, unit)
        yield Row(f"stars: default classes - {name}, upper end of 95 %", high, unit)


def _paired(gain: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean of a difference by frame, and its 95 % interval from resampled blocks of frames."""
    blocks = np.array_split(gain, max(len(gain) // _BLOCK_FRAMES, 2))
    sums = np.array([[block.sum()] for block in blocks])
    counts = np.array([[float(len(block))] for block in blocks])
    estimate = np.array([gain.mean()])
    samples = resample(sums, counts, np.random.default_rng(seed))
    low, high = band(estimate, samples, np.array([len(blocks)]))
    return float(estimate[0]), float(low[0]), float(high[0])


def cost_rows(
    outside: Outside, melt: StarMelt, ours: StarFit, size: StarSize = FULL, monitor: Monitor = SILENT
) -> Iterable[Row]:
    """Processor time and memory of training steps, all sides in turns: the median of `size.repeats` rounds."""
    frames = list(range(size.snapshots))
    now, after = take(melt, frames, CUTOFF), take(melt, [k + 1 for k in frames], CUTOFF)
    single = [take(melt, [k + shift for k in frames], CUTOFF, torch.float32) for shift in (0, 1)]
    yield Row("cost: pairs in a step", float(now.index.shape[1]))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sides: dict[str, Runner] = {}
        weights = None

        def start(name: str, make: Callable[..., Step], *arguments: object) -> None:
            # One after the other: a side may write what the next one reads.
            sides[name] = stack.enter_context(Runner(make, *arguments))
            sides[name].step()

        if outside.published is not None:
            weights = str(Path(folder) / "weights.pt")
            start("published code", published_code_step, str(outside.published), now, after, weights)
        start("networks, published objective", published_size_step, *single, weights, torch.float32, True)
        start("networks", published_size_step, *single, weights, torch.float32, False)
        start("networks, double precision", published_size_step, now, after, weights, torch.float64, False)
        laws = ours.laws.requires_grad_(True)
        start("default classes", motion_step, laws, None, take(melt, frames, laws.cutoff))
        times: dict[str, list[float]] = {name: [] for name in sides}
        for k in range(size.repeats):
            monitor.update("training steps", k, size.repeats)
            for name, side in sides.items():
                times[name].append(side.step()[0])
        memory = {name: side.peak_mb() for name, side in sides.items()}
    yield from _cost_table(times, memory)


def _cost_table(times: dict[str, list[float]], memory: dict[str, float]) -> Iterable[Row]:
    seconds = {name: float(np.median(values)) for name, values in times.items()}
    for name in seconds:
        yield Row(f"cost: {name}, a training step", seconds[name], "s on one core")
        if name in ("networks, published objective", "networks"):
            yield at_most(f"cost: {name}, memory of the process", memory[name], _MB, "MB")
        else:
            yield Row(f"cost: {name}, memory of the process", memory[name], "MB")
    # Ratios of each round, so that whatever else the machine does slows both.
    against = "published code" if "published code" in times else "networks"

    def times_faster(name: str) -> float:
        return float(np.median(np.divide(times[against], times[name])))

    if against == "published code":
        for name in ("networks, published objective", "networks"):
            yield at_least(f"cost: {name}, times faster than the {against}", times_faster(name), 1.5)
        name = "networks, double precision"
        yield Row(f"cost: {name}, times faster than the {against}", times_faster(name))
    yield at_least(
        f"cost: default classes, times faster than the {against}", times_faster("default classes"), 15
    )

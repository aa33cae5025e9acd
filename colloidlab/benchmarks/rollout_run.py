"""The rollouts of a finished run against its held-out frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import zarr

from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.run import Run

_G_R_BAR = 0.08
_HOTTER = 1.2
"""Mean square velocity, and temperature, of the hottest stretch of a rollout over those of the first: more is a blow-up."""
_STRETCH = 20
"""Frames over which they are averaged."""
_TEST_BLOCKS = 5
"""So many times the length of the test block a rollout must last to show that nothing blows up."""


def run_rows(run: Run) -> Iterable[Row]:
    """Rows of what `simulate` has measured; a run without a comparison has those of its budget only.

    Raises
    ------
    InputError
        The run has no rollouts.
    """
    run.require("simulate")
    summary = run.summary
    yield from _compared(summary)
    yield Row("run: frames of the rollouts", float(summary["rollout_frames"]))
    yield Row("run: of them beyond the recording", float(summary["rollout_frames_extrapolated"]))
    yield from _stability(run)
    yield Row(
        "run: energy made by the integrator", float(summary["rollout_energy_drift"]), "k_B T a particle"
    )
    yield Row("run: momentum made by the integrator", float(summary["rollout_momentum_drift"]))
    if "rollout_table_misses" in summary:
        yield Row("run: questions that the tables did not hold", float(summary["rollout_table_misses"]))


def _stability(run: Run) -> Iterable[Row]:
    """Do the simulated particles heat up, and is the rollout long enough to tell?"""
    group: Any = zarr.open_group(run.path / "rollout.zarr", mode="r")
    inside = np.asarray(group["simulated"])
    square = np.mean(np.asarray(group["velocities"], dtype=float)[:, :, inside] ** 2, axis=(0, 2, 3))
    temperature = np.mean(np.asarray(group["temperature"], dtype=float)[:, :, inside], axis=(0, 2))
    first, stop = run.facts("fit")["test"]
    # The filter knows no state in the last frame: a rollout over the test block is one shorter.
    block = stop - first - 1
    long_enough = len(square) >= _TEST_BLOCKS * block
    for name, values in (("<v_x^2>", square), ("temperature", temperature)):
        means = stretches(values)
        which = f"run: {name} of the simulated particles"
        yield Row(f"{which}, first {_STRETCH} frames", float(means[0]), "px^2/frame^2")
        yield Row(f"{which}, last {_STRETCH} frames", float(means[-1]), "px^2/frame^2")
        hottest, ratio = f"{which}, largest of any {_STRETCH} frames / first", float(means.max() / means[0])
        yield at_most(hottest, ratio, _HOTTER) if long_enough else Row(hottest, ratio)
    length, name = len(square) / block, "run: length of the rollouts / of the test block"
    if long_enough:
        yield at_least(f"{name}, for these to hold", length, _TEST_BLOCKS)
    else:
        needed = _TEST_BLOCKS * block
        yield Row(f"{name}, too short to judge heating (simulate --frames {needed} is enough)", length)


def stretches(values: np.ndarray) -> np.ndarray:
    """Means over every stretch of frames, the whole where there are fewer.

    >>> stretches(np.arange(21.0))
    array([ 9.5, 10.5])
    """
    n = min(_STRETCH, len(values))
    sums = np.cumsum(np.insert(values, 0, 0.0))
    return np.asarray((sums[n:] - sums[:-n]) / n)


def _compared(summary: dict[str, object]) -> Iterable[Row]:
    def number(name: str) -> float:
        return float(str(summary.get(name, "nan")))

    # Errors are those against held-out frames; rollouts over others have none.
    held_out = "rollout_unjudged" not in summary
    yield Row(
        "run: errors are those of held-out frames, without a drive or force of their own", float(held_out)
    )
    if "rollout_g_r_error" not in summary or not held_out:
        return
    yield at_most("run: g(r), relative error", number("rollout_g_r_error"), _G_R_BAR)
    for name in ("msd", "vacf", "van_hove", "alpha2", "f_s"):
        yield Row(f"run: {name}, relative error", number(f"rollout_{name}_error"))
        yield Row(f"run: {name}, halves of the experiment", number(f"rollout_{name}_floor"))
    for floor, whose in (("d2min_ks_floor", "blocks"), ("d2min_ks_floor_halves", "halves")):
        name = f"run: D2min, distance of Kolmogorov and Smirnov, against {whose} of the experiment"
        yield at_most(name, number("d2min_ks_distance"), number(floor))
    for share in (50, 80, 95):
        for end in ("first", "last"):
            value, low, high = (number(f"coverage_{share}_{end}{edge}") for edge in ("", "_low", "_high"))
            if np.isfinite(value):
                # Neither too sure nor not sure enough: the interval of the coverage holds what it should be.
                bar = f"{share / 100:g} within {low:.3f} to {high:.3f}"
                holds = bool(low <= share / 100 <= high)
                yield Row(f"run: {share} % intervals hold, {end} horizon", value, bar=bar, holds=holds)

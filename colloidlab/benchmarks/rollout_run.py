"""The rollouts of a finished run against its held-out frames."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.run import Run

_G_R_BAR = 0.08
_HOTTER = 1.2
"""Mean temperature in the last tenth of a rollout over that in the first: more is a blow-up."""


def run_rows(run: Run) -> Iterable[Row]:
    """Rows of what `simulate` has measured; a run without a comparison has those of its budget only.

    Raises
    ------
    InputError
        The run has no rollouts.
    """
    run.require("simulate")
    summary, budget = run.summary, run.read_table("budget")
    yield from _compared(summary)
    energy = budget.groupby("frame")["energy"].mean().to_numpy()
    tenth = max(len(energy) // 10, 1)
    yield Row("run: frames of the rollouts", float(summary["rollout_frames"]))
    yield Row("run: of them beyond the recording", float(summary["rollout_frames_extrapolated"]))
    change = float(np.mean(energy[-tenth:]) / np.mean(energy[:tenth]))
    yield at_most("run: energy in the last tenth / in the first", change, _HOTTER)
    yield Row(
        "run: energy made by the integrator", float(summary["rollout_energy_drift"]), "k_B T a particle"
    )
    yield Row("run: momentum made by the integrator", float(summary["rollout_momentum_drift"]))
    yield Row("run: questions that the tables did not hold", float(summary["rollout_table_misses"]))


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
    floor = number("d2min_ks_floor")
    yield at_most("run: D2min, distance of Kolmogorov and Smirnov", number("d2min_ks_distance"), floor)
    yield Row("run: D2min, halves of the experiment", number("d2min_ks_floor_halves"))
    for share in (50, 80, 95):
        for end in ("first", "last"):
            high = number(f"coverage_{share}_{end}_high")
            yield Row(f"run: {share} % intervals hold, {end} horizon", number(f"coverage_{share}_{end}"))
            if share == 80:
                yield at_least(f"run: {share} % intervals, upper end, {end} horizon", high, share / 100)

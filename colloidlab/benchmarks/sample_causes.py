"""Of the sheared sample: how errors of positions hang together in time, and what the boundary of rollouts does alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from colloidlab.benchmarks.rows import Row
from colloidlab.dataset.recording import Recording
from colloidlab.dataset.split import Split
from colloidlab.model.filter import Filter
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.belief import draw_starts, follow_to
from colloidlab.rollout.boundary import plan_rollout
from colloidlab.rollout.driven import roll_out, stable_steps_per_frame
from colloidlab.rollout.noise import member_seeds

_LAGS = (1, 2, 5)
_INSIDE_PX = (60.0, 450.0)
"""Where the needle's shadow and the edge of the view do nothing to the errors."""
_BAND_PX = 80.0
"""Depth of the first two simulated layers beside the driven wall."""
_FAR = 20
"""Lag of the mean squared displacement, frames."""
_MEMBERS = 6


def error_rows(matched: pd.DataFrame) -> Iterable[Row]:
    """Errors (found - true) of a particle in the interior: their correlation in two frames, and what motion makes of them.

    Frames that blend make a position lie by a share of its second difference in time, r(t+1) - 2 r(t) + r(t-1), from the
    truth; an exposure of a share f of the frame would by f^2/24 where the acceleration is steady.
    """
    inside = matched[matched["true_x"].between(*_INSIDE_PX) & matched["true_y"].between(*_INSIDE_PX)]
    inside = inside.assign(**{f"error_{axis}": inside[axis] - inside[f"true_{axis}"] for axis in ("x", "y")})

    def over_time(column: str) -> pd.DataFrame:
        return inside.pivot_table(index="frame", columns="particle", values=column)

    error = {axis: over_time(f"error_{axis}") for axis in ("x", "y")}
    for lag in _LAGS:
        products = np.concatenate([(e * e.shift(-lag)).to_numpy().ravel() for e in error.values()])
        squares = np.concatenate([(e**2).to_numpy().ravel() for e in error.values()])
        value = float(np.nanmean(products) / np.nanmean(squares))
        yield Row(f"correlation of a position's errors after {lag} frame{'s' * (lag > 1)}", value)
    bent = {axis: r.shift(-1) - 2 * r + r.shift(1) for axis in error for r in [over_time(f"true_{axis}")]}
    both = [(error[axis] * bent[axis], bent[axis] ** 2 * error[axis].notna()) for axis in error]
    along, square = (
        float(np.nansum([part.to_numpy() for part in parts])) for parts in zip(*both, strict=True)
    )
    yield Row("share of a path's second difference in the error of its position", along / square)


def boundary_rows(
    who: str,
    filter_: Filter,
    state: pd.DataFrame,
    recording: Recording,
    split: Split,
    monitor: Monitor = SILENT,
) -> Iterable[Row]:
    """Rollouts over the test block beside the tracks of the same particles: alpha2, and motion beside the driven wall."""
    laws, first = filter_.laws, split.test[0]
    plan = plan_rollout(recording, state, first, int(state["frame"].max()) - first + 1)
    steps = stable_steps_per_frame(laws, plan)
    seeds = member_seeds(_MEMBERS, 0)
    starts = draw_starts(plan, follow_to(filter_, recording, [first], monitor)[first], seeds)
    frames = roll_out(laws, plan, seeds=seeds, starts=starts, steps_per_frame=steps, monitor=monitor)
    rolled = np.stack([frame.r for frame in frames])[:, :, plan.simulated]
    seen = _as_seen(recording, plan.particles[plan.simulated], first, plan.n_frames)[:, None]
    for name, r in (("experiment", seen), (f"rollouts of {who}", rolled)):
        yield Row(f"{name}: alpha2 of displacements over one frame", _alpha2(r[1:] - r[:-1]))
    near = [
        np.nanmean(((r[_FAR:] - r[:-_FAR]) ** 2).sum(-1)[r[:-_FAR, ..., 1] <= _BAND_PX])
        for r in (rolled, seen)
    ]
    yield Row(
        f"rollouts of {who}: MSD over {_FAR} frames beside the driven wall, over the experiment's",
        float(near[0] / near[1]),
    )


def _as_seen(recording: Recording, particles: np.ndarray, first: int, n_frames: int) -> np.ndarray:
    """Tracked positions, shape (n_frames, n, 2); NaN where there is none."""
    r = np.full((n_frames, len(particles), 2), np.nan)
    for k in range(n_frames):
        rows = recording.rows(first + k)
        identity = recording.particles[recording.particle[rows]]
        mine = np.isin(identity, particles) & recording.observed[rows]
        r[k, np.searchsorted(particles, identity[mine])] = recording.position[rows][mine]
    return r


def _alpha2(displacement: np.ndarray) -> float:
    square = (displacement**2).sum(-1)
    return float(np.nanmean(square**2) / (2 * np.nanmean(square) ** 2) - 1)

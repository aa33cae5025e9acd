"""Short ensembles from many frames, beside where the particles were found: the predictions that calibration judges.

Every member starts from a state drawn from what the filter believes at the start frame: positions, velocities and
entropies with its covariance. Its law makes its own noise, and the position that it predicts carries the localisation
error of the observation. What is left out of the spread: correlations between the start errors of particles, and the
uncertainty of the laws. Particles near the edge follow the recording, so predictions are conditional on the boundary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from colloidlab.dataset.recording import Recording
from colloidlab.model.filter import Filter
from colloidlab.model.filter_state import MATURE, FilterState
from colloidlab.model.sequence import WindowSource, fresh_state
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.belief import draw_from
from colloidlab.rollout.boundary import Plan, plan_rollout
from colloidlab.rollout.driven import roll_out, stable_steps_per_frame
from colloidlab.rollout.integrators import Integrator

HORIZONS = (1, 2, 5, 10)
"""After so many frames a prediction is looked at, and at the last frame."""

_LEAD = 40
"""Frames that the filter runs before the first start, so that its covariance has settled."""

_GAP_CUTOFFS = 20.0
"""Members lie side by side in one plane, so many cutoffs apart."""


@dataclass(frozen=True)
class Forecasting:
    """How many predictions are made.

    Attributes
    ----------
    starts : int
        Start frames, spread over the held-out block.
    members : int
        Nine of them make ten ranks, of ten per cent each.
    n_frames : int
        Longest prediction, frames; capped by the block.
    seed : int
    """

    starts: int = 6
    members: int = 9
    n_frames: int = 10
    seed: int = 0


@dataclass(frozen=True)
class Forecasts:
    """Predictions and what was found, one row a start, horizon and simulated particle.

    Attributes
    ----------
    start, horizon : int arrays, shape (n_rows,)
        Start frame, and frames from there on.
    predicted : float array, shape (members, n_rows, D), px
        With the localisation error of the observation.
    observed : float array, shape (n_rows, D), px
    rest, straight : float arrays, shape (n_rows, D), px
        Filtered position at the start, and the same moved on with the filtered velocity.
    """

    start: np.ndarray
    horizon: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray
    rest: np.ndarray
    straight: np.ndarray


def start_frames(first: int, last: int, choice: Forecasting) -> tuple[list[int], int]:
    """Start frames and length of the longest prediction within the frames first … last; empty where none fits."""
    length = min(choice.n_frames, last - first)
    if length < 1 or choice.starts < 1:
        return [], 0
    return sorted({round(s) for s in np.linspace(first, last - length, choice.starts)}), length


def forecast(
    filter_: Filter,
    recording: Recording,
    state: pd.DataFrame,
    block: tuple[int, int],
    choice: Forecasting = Forecasting(),
    *,
    steps_per_frame: int | None = None,
    integrator: Integrator = "conserving",
    monitor: Monitor = SILENT,
) -> Forecasts | None:
    """Predict the particles of a block of frames from several of its frames.

    Parameters
    ----------
    filter_ : Filter
        The law, and how sure its filter is.
    recording : Recording
        What was observed.
    state : DataFrame
        Filtered state, as in `state.parquet`: means of the start, and the boundary.
    block : (first, last)
        Frames that predictions may start at and reach.
    choice : Forecasting
    steps_per_frame : int, optional
        Of the integrator [from stability].

    Returns
    -------
    Forecasts or None
        None where the block has no two frames, or no simulated particle was found again.
    """
    frames, length = start_frames(*block, choice)
    horizons = sorted({k for k in HORIZONS if k <= length} | ({length} if length else set()))
    beliefs = _follow(filter_, recording, frames, monitor)
    rng, generator = np.random.default_rng(choice.seed), torch.Generator().manual_seed(choice.seed)
    parts = []
    for n, frame in enumerate(frames):
        monitor.update("forecast", n, len(frames))
        plan = plan_rollout(recording, state, frame, length + 1)
        steps = steps_per_frame or stable_steps_per_frame(filter_.laws, plan, integrator=integrator)
        sure = _draw_starts(plan, beliefs[frame], choice.members, filter_.laws.cutoff, generator)
        seeds = [int(rng.integers(2**31))]
        made = roll_out(filter_.laws, sure.plan, seeds=seeds, steps_per_frame=steps, integrator=integrator)
        for k, found in enumerate(made):
            if k in horizons:
                members = found.r[0].reshape(choice.members, -1, 2) - sure.shift[:, None]
                parts.append(_look(plan, k, members, sure.mature, recording, filter_, rng))
    monitor.update("forecast", len(frames), len(frames))
    parts = [part for part in parts if len(part.start)]
    if not parts:
        return None
    joined = {
        name: np.concatenate([getattr(p, name) for p in parts], axis=int(name == "predicted"))
        for name in Forecasts.__dataclass_fields__
    }
    return Forecasts(**joined)


@dataclass(frozen=True)
class _Belief:
    """The filter's state at a frame, of the particles with these identities; `inv_c` is one over their heat capacity."""

    particles: np.ndarray
    state: FilterState
    inv_c: torch.Tensor


def _follow(filter_: Filter, recording: Recording, frames: list[int], monitor: Monitor) -> dict[int, _Belief]:
    """What the filter believes at each start frame, from a pass that begins some frames before the first."""
    if not frames:
        return {}
    first, last = max(recording.first, frames[0] - _LEAD), frames[-1]
    window = WindowSource(recording, filter_.laws.cutoff)(first, min(last + 2, recording.stop))
    state, found = fresh_state(window), {}
    for k in range(last - first + 1):
        monitor.update("follow to the starts", k, last - first + 1)
        with torch.no_grad():
            result = filter_.step(state, window, k)
        if first + k in frames:
            inv_c = result.evaluation.thermo.inv_c.detach()
            found[first + k] = _Belief(recording.particles[window.slot], result.filtered.detach(), inv_c)
        state = result.state.detach()
    return found


@dataclass(frozen=True)
class _Starts:
    """Members side by side as one plan; `shift` is where each was put, `mature` whose start is known."""

    plan: Plan
    shift: np.ndarray
    mature: np.ndarray


def _draw_starts(
    plan: Plan, belief: _Belief, members: int, cutoff: float, generator: torch.Generator
) -> _Starts:
    """Every member with a start of its own, far enough from the others that they never meet."""
    at = np.searchsorted(belief.particles, plan.particles)
    at = np.minimum(at, len(belief.particles) - 1)
    known = (belief.particles[at] == plan.particles) & np.isfinite(plan.S[0])
    mature = plan.simulated & known & (belief.state.age.numpy()[at] >= MATURE)
    chosen = np.flatnonzero(plan.simulated & known)
    rows = torch.as_tensor(at[chosen])
    # Means from the stored pass over the whole recording, covariances from the short one.
    mean = replace(
        FilterState(**{k: t[rows] for k, t in vars(belief.state).items()}),
        r=torch.as_tensor(plan.r[0, chosen]),
        v=torch.as_tensor(plan.v[0, chosen]),
        S=torch.as_tensor(plan.S[0, chosen]),
    )
    r, v, S = (np.stack([x] * members, axis=1) for x in (plan.r, plan.v, plan.S))
    for m in range(members):
        drawn = draw_from(mean, belief.inv_c[rows], generator)
        r[0, m, chosen], v[0, m, chosen], S[0, m, chosen] = (x.numpy() for x in (drawn.r, drawn.v, drawn.S))
    width = float(np.nanmax(plan.r[..., 0]) - np.nanmin(plan.r[..., 0])) + _GAP_CUTOFFS * cutoff
    shift = np.zeros((members, 2))
    shift[:, 0] = width * np.arange(members)
    r = r + shift[:, None]
    # Identities tell the noise of one member from that of another.
    particles = (np.arange(members)[:, None] * (int(plan.particles.max()) + 1) + plan.particles).ravel()
    joined = Plan(
        plan.first,
        particles,
        np.tile(plan.simulated, members),
        r.reshape(plan.n_frames, -1, 2),
        v.reshape(plan.n_frames, -1, 2),
        S.reshape(plan.n_frames, -1),
        np.tile(plan.scale, members),
    )
    return _Starts(joined, shift, mature)


def _look(
    plan: Plan,
    k: int,
    members: np.ndarray,
    mature: np.ndarray,
    recording: Recording,
    filter_: Filter,
    rng: np.random.Generator,
) -> Forecasts:
    """Predicted and observed positions k frames after the start, of the simulated particles that were seen there."""
    rows = recording.rows(plan.first + k)
    identity = recording.particles[recording.particle[rows]]
    order = np.argsort(identity)
    wanted = np.flatnonzero(mature)
    at = np.minimum(np.searchsorted(identity[order], plan.particles[wanted]), len(identity) - 1)
    at = order[at]
    seen = (identity[at] == plan.particles[wanted]) & recording.observed[rows][at]
    wanted, at = wanted[seen], at[seen]
    variance = torch.as_tensor(recording.sigma[rows][at] ** 2)
    sigma = (variance if filter_.error is None else filter_.error.of(variance).detach()).sqrt().numpy()
    predicted = members[:, wanted]
    predicted = predicted + sigma * rng.normal(size=predicted.shape)
    r, v = plan.r[0, wanted], plan.v[0, wanted]
    there = np.ones(len(wanted), dtype=np.int64)
    return Forecasts(plan.first * there, k * there, predicted, recording.position[rows][at], r, r + k * v)

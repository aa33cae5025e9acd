"""Short ensembles from many frames, beside where the particles were found: the predictions that calibration judges.

Every member starts from a state drawn from what the filter believes at the start frame: positions, velocities and
entropies with its covariance. Its law makes its own noise, and the position that it predicts carries the localisation
error of the observation. What is left out of the spread: correlations between the start errors of particles, and the
uncertainty of the laws. Particles near the edge follow the recording, so predictions are conditional on the boundary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.dataset.recording import Recording
from colloidlab.model.filter import Filter
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.belief import Belief, draw_starts, follow_to
from colloidlab.rollout.boundary import Plan, plan_rollout
from colloidlab.rollout.driven import roll_out, stable_steps_per_frame
from colloidlab.rollout.integrators import Integrator
from colloidlab.rollout.noise import member_seeds
from colloidlab.rollout.observation import new_error

HORIZONS = (1, 2, 5, 10)
"""After so many frames a prediction is looked at, and at the last frame."""


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
    beliefs: dict[int, Belief] | None = None,
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
    beliefs : dict of Belief, optional
        At the start frames, where they have been found before.
    steps_per_frame : int, optional
        Of the integrator [from stability].

    Returns
    -------
    Forecasts or None
        None where the block has no two frames, or no simulated particle was found again.
    """
    frames, length = start_frames(*block, choice)
    horizons = sorted({k for k in HORIZONS if k <= length} | ({length} if length else set()))
    if beliefs is None:
        beliefs = follow_to(filter_, recording, frames, monitor)
    rng = np.random.default_rng(choice.seed)
    parts = []
    for n, frame in enumerate(frames):
        monitor.update("forecast", n, len(frames))
        plan = plan_rollout(recording, state, frame, length + 1)
        steps = steps_per_frame or stable_steps_per_frame(filter_.laws, plan, integrator=integrator)
        belief, seeds = beliefs[frame], member_seeds(choice.members, choice.seed, frame)
        starts = draw_starts(plan, belief, seeds)
        made = roll_out(
            filter_.laws, plan, seeds=seeds, starts=starts, steps_per_frame=steps, integrator=integrator
        )
        mature = belief.mature(plan)
        for k, found in enumerate(made):
            if k in horizons:
                parts.append(_look(plan, k, found.r, mature, recording, filter_, rng))
    monitor.update("forecast", len(frames), len(frames))
    parts = [part for part in parts if len(part.start)]
    if not parts:
        return None
    joined = {
        name: np.concatenate([getattr(p, name) for p in parts], axis=int(name == "predicted"))
        for name in Forecasts.__dataclass_fields__
    }
    return Forecasts(**joined)


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
    sigma = new_error(filter_, recording.sigma[rows][at])
    predicted = members[:, wanted]
    predicted = predicted + sigma * rng.normal(size=predicted.shape)
    r, v = plan.r[0, wanted], plan.v[0, wanted]
    there = np.ones(len(wanted), dtype=np.int64)
    return Forecasts(plan.first * there, k * there, predicted, recording.position[rows][at], r, r + k * v)

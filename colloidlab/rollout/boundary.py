"""What the experiment prescribes to a rollout: who is simulated, who follows the recording, and where they go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.dataset.recording import Recording
from colloidlab.errors import InputError


@dataclass(frozen=True)
class Plan:
    """Start and boundary of a rollout over the frames first … first + n_frames - 1.

    NaN marks a particle that is not there.

    Attributes
    ----------
    first : int
    particles : int array, shape (n,)
        Track identities.
    simulated : bool array, shape (n,)
        These start at the experiment's state and then follow the law.
    r, v : float arrays, shape (n_frames, n, D)
        Filtered positions and velocities of the prescribed particles (first row: of all).
    S : float array, shape (n_frames, n)
    scale : float array, shape (n,)
        Radius over the recording's mean radius.
    box : float array, shape (D,), or None
        Periodic lengths.
    """

    first: int
    particles: np.ndarray
    simulated: np.ndarray
    r: np.ndarray
    v: np.ndarray
    S: np.ndarray
    scale: np.ndarray
    box: np.ndarray | None = None

    @property
    def n_frames(self) -> int:
        return len(self.r)


def plan_rollout(recording: Recording, state: pd.DataFrame, first: int, n_frames: int) -> Plan:
    """Decide who is simulated: every particle in the interior at the first frame.

    All others are prescribed: they follow their tracks, enter and leave with them. A track that
    begins in the interior later on is left out, because it is a simulated particle that the tracking had
    lost and found again.

    Parameters
    ----------
    recording : Recording
    state : DataFrame
        Filtered state, as in `state.parquet`.
    first, n_frames : int
        Frames of the recording.

    Raises
    ------
    InputError
        When the frames lie outside the recording or nobody is in the interior.
    """
    last = first + n_frames - 1
    frames = state["frame"].to_numpy()
    if n_frames < 2 or first < frames.min() or last > frames.max():
        raise InputError(
            f"a rollout of frames {first} to {last} does not fit into the recording, whose filtered state "
            f"covers frames {frames.min()} to {frames.max()}; change from_frame or rollout_frames"
        )
    part = state[(frames >= first) & (frames <= last)]
    start = part[part["frame"] == first]
    inner = start.loc[~start["boundary"].to_numpy(), "particle"].to_numpy()
    if len(inner) == 0:
        raise InputError(
            f"no particle of frame {first} is two cutoffs away from the edge of the view; "
            "choose a smaller cutoff_px or a larger region"
        )
    born = part.drop_duplicates("particle", keep="first")
    allowed = born.loc[(born["frame"] == first) | born["boundary"], "particle"].to_numpy()
    particles = np.unique(allowed)
    part = part[np.isin(part["particle"].to_numpy(), particles)]
    at = np.searchsorted(particles, part["particle"].to_numpy())
    k = part["frame"].to_numpy() - first
    r = np.full((n_frames, len(particles), 2), np.nan)
    v = np.full_like(r, np.nan)
    S = np.full((n_frames, len(particles)), np.nan)
    r[k, at] = part[["x", "y"]].to_numpy()
    v[k, at] = part[["vx_px", "vy_px"]].to_numpy()
    S[k, at] = part["entropy"].to_numpy()
    simulated = np.isin(particles, inner)
    r[1:, simulated], v[1:, simulated], S[1:, simulated] = np.nan, np.nan, np.nan
    scale = recording.scale[np.searchsorted(recording.particles, particles)]
    return Plan(first, particles, simulated, r, v, S, scale)


def between(plan: Plan, k: int, fraction: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prescribed positions, velocities and entropies at time k + fraction, 0 < fraction <= 1.

    Positions follow the cubic through the filtered positions and velocities of both frames;
    a particle that leaves before frame k + 1 moves straight on until then; one that enters
    at frame k + 1 appears there.
    """
    s = fraction
    if s >= 1:
        return plan.r[k + 1], plan.v[k + 1], plan.S[k + 1]
    r0, r1, v0, v1 = plan.r[k], plan.r[k + 1], plan.v[k], plan.v[k + 1]
    step = r1 - r0
    r = r0 + s * v0 + s**2 * (3 * step - 2 * v0 - v1) + s**3 * (v0 + v1 - 2 * step)
    v = v0 + 2 * s * (3 * step - 2 * v0 - v1) + 3 * s**2 * (v0 + v1 - 2 * step)
    S = (1 - s) * plan.S[k] + s * plan.S[k + 1]
    leaves = np.isfinite(plan.S[k]) & ~np.isfinite(plan.S[k + 1])
    r[leaves], v[leaves], S[leaves] = r0[leaves] + s * v0[leaves], v0[leaves], plan.S[k][leaves]
    return r, v, S

"""What the experiment prescribes to a rollout: who is simulated, who follows the recording, and where they go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd
from torch import Tensor

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.reference_state import ReferenceState
from colloidlab.errors import InputError, UsageError
from colloidlab.memory import memory_gib
from colloidlab.rollout.box import ShearBox

Array = TypeVar("Array", np.ndarray, Tensor)


STRETCH = 256
"""Frames of a boundary's motion that are worked out at once."""

_SHARE_OF_MEMORY, _UNKNOWN_MEMORY_GIB = 0.25, 8.0
"""That a plan may take; of a machine that does not say how much it has."""


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
    box : float array, shape (D,), or ShearBox, or None
        Periodic lengths; the images of a shear box are aligned in the first frame.
    species : int64 array, shape (n,), or None
        Label of each particle, where the laws are those of a mixture.
    reference : ReferenceState or None
        Where the laws are those of a solid, numbered as `particles`.
    """

    first: int
    particles: np.ndarray
    simulated: np.ndarray
    r: np.ndarray
    v: np.ndarray
    S: np.ndarray
    scale: np.ndarray
    box: np.ndarray | ShearBox | None = None
    species: np.ndarray | None = None
    reference: ReferenceState | None = None

    @property
    def n_frames(self) -> int:
        return len(self.r)


@dataclass(frozen=True)
class Starts:
    """Where every member of an ensemble begins, in place of the first row of its plan.

    Attributes
    ----------
    r, v : float arrays, shape (members, n, D)
    S : float array, shape (members, n)
    """

    r: np.ndarray
    v: np.ndarray
    S: np.ndarray


def lengthened(plan: Plan, n_frames: int) -> Plan:
    """A plan of more frames, or of fewer; NaN in the new ones.

    Raises
    ------
    UsageError
        So many would not fit into the memory of this machine.
    """
    n = len(plan.particles)
    gib = memory_gib() or _UNKNOWN_MEMORY_GIB
    most = int(_SHARE_OF_MEMORY * gib * 2**30 / (8 * max(n, 1) * (2 * plan.r.shape[2] + 1)))
    if n_frames > most:
        needed = n_frames / most * gib * _SHARE_OF_MEMORY
        raise UsageError(
            f"a rollout of {n_frames:.12g} frames would keep the motion of {n} particles in {needed:.3g} GiB of memory, and "
            f"this machine has {gib:.3g}: ask for at most {most} --frames"
        )
    common = min(n_frames, plan.n_frames)

    def longer(values: np.ndarray) -> np.ndarray:
        found = np.full((n_frames, *values.shape[1:]), np.nan)
        found[:common] = values[:common]
        return found

    return replace(plan, r=longer(plan.r), v=longer(plan.v), S=longer(plan.S))


def plan_rollout(recording: Recording, state: pd.DataFrame, first: int, n_frames: int) -> Plan:
    """Decide who is simulated: every particle in the interior at the first frame.

    All others are prescribed: they follow their tracks, enter and leave with them, and are carried over gaps in
    them. A track that
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
    state = fill_gaps(state)
    frames = state["frame"].to_numpy()
    if n_frames < 2 or first < frames.min() or last > frames.max():
        raise InputError(
            f"a rollout of frames {first} to {last} does not fit into the recording, whose filtered state "
            f"covers frames {frames.min()} to {frames.max()}; change from_frame or rollout_frames"
        )
    part = state[(frames >= first) & (frames <= last)]
    start = part[part["frame"] == first]
    inner = _interior(start)
    _need(len(inner) > 0, first)
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
    track = np.searchsorted(recording.particles, particles)
    species = None if recording.species is None else recording.species.label[track]
    reference = None if recording.reference is None else recording.reference.among(track)
    scale = recording.scale[track]
    return Plan(first, particles, simulated, r, v, S, scale, species=species, reference=reference)


def check_start(state: pd.DataFrame, first: int) -> None:
    """Refuse a frame at which no rollout can start.

    Parameters
    ----------
    state : DataFrame
        Filtered state, as in `state.parquet`.
    first : int

    Raises
    ------
    UsageError
        It is the last frame of the state, or lies outside of it.
    InputError
        Nobody is in the interior.
    """
    begin, last = int(state["frame"].min()), int(state["frame"].max())
    if first >= last:
        raise UsageError(
            f"a rollout from frame {first} has no frame left before the end at {last}; choose an earlier from_frame"
        )
    if first < begin:
        raise UsageError(
            f"a rollout from frame {first} begins before the filtered state, whose first frame is {begin}; choose "
            "a later from_frame"
        )
    start = state[state["frame"] == first]
    if len(_interior(start)) == 0:
        # Whoever was lost in this frame may have been found again.
        filled = fill_gaps(state)
        _need(len(_interior(filled[filled["frame"] == first])) > 0, first)


def _interior(start: pd.DataFrame) -> np.ndarray:
    """Identities of the particles of one frame that are simulated from there on."""
    return start.loc[~start["boundary"].to_numpy(dtype=bool), "particle"].to_numpy()


def _need(somebody: bool, first: int) -> None:
    if not somebody:
        raise InputError(
            f"no particle of frame {first} is two cutoffs away from the edge of the view; "
            "choose a smaller cutoff_px or a larger region"
        )


def fill_gaps(state: pd.DataFrame) -> pd.DataFrame:
    """The filtered state with a row in every frame from a particle's first to its last.

    In a gap positions follow the cubic through the filtered positions and velocities of its ends, entropies a line; the
    particle is of the boundary if it is at either end.
    """
    columns = ["frame", "particle", "x", "y", "vx_px", "vy_px", "entropy", "boundary"]
    table = state.sort_values(["particle", "frame"], kind="stable")[columns].reset_index(drop=True)
    step = table["frame"].diff().to_numpy()
    after = np.flatnonzero((table["particle"].diff().to_numpy() == 0) & (step > 1))
    if len(after) == 0:
        return state
    length = step[after].astype(int)
    row = np.repeat(after, length - 1)
    n = np.concatenate([np.arange(1, k) for k in length])
    one, other, time = table.iloc[row - 1], table.iloc[row], np.repeat(length, length - 1)
    s = n / time

    def ends(*names: str) -> tuple[np.ndarray, np.ndarray]:
        return one[list(names)].to_numpy(dtype=float), other[list(names)].to_numpy(dtype=float)

    (r0, r1), (v0, v1), (S0, S1) = ends("x", "y"), ends("vx_px", "vy_px"), ends("entropy")
    r, v = cubic(r0, r1, v0 * time[:, None], v1 * time[:, None], s[:, None])
    filled = pd.DataFrame(
        {
            "frame": one["frame"].to_numpy() + n,
            "particle": one["particle"].to_numpy(),
            "x": r[:, 0],
            "y": r[:, 1],
            "vx_px": v[:, 0] / time,
            "vy_px": v[:, 1] / time,
            "entropy": ((1 - s[:, None]) * S0 + s[:, None] * S1)[:, 0],
            "boundary": one["boundary"].to_numpy() | other["boundary"].to_numpy(),
        }
    )
    whole = pd.concat([table, filled], ignore_index=True)
    return whole.sort_values(["frame", "particle"], kind="stable").reset_index(drop=True)


def cubic(r0: Array, r1: Array, v0: Array, v1: Array, s: Array | float) -> tuple[Array, Array]:
    """Position and velocity at the share s of unit time, through those at its ends."""
    step = r1 - r0
    bend, twist = 3 * step - 2 * v0 - v1, v0 + v1 - 2 * step
    return r0 + s * v0 + s**2 * bend + s**3 * twist, v0 + 2 * s * bend + 3 * s**2 * twist

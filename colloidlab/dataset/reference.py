"""The reference state of a recorded solid, from the mean offsets of its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from colloidlab.dataset.graph import find_pairs
from colloidlab.dataset.recording import Recording
from colloidlab.dataset.reference_state import ReferenceState
from colloidlab.errors import FitRefused
from colloidlab.indicators.lindemann import lindemann_parameter

_LOOKS = 50
"""Frames, evenly over the block, in which neighbours are looked for."""
_READ = 1000
"""Frames, evenly over the block, over which offsets are averaged at the most."""
_FARTHER = 1.2
"""Cutoffs up to which they are looked for: who is beyond one in one frame may be nearer on average."""
_LEAST_FRAMES = 30
"""In which two particles are seen together, several times what velocities remember, else their mean offset is left out; half
of the block where it is shorter."""


@dataclass(frozen=True)
class FoundReference:
    """Reference state of a recording.

    Attributes
    ----------
    state : ReferenceState
        Numbered as `Recording.particles`.
    lindemann : float
        Lindemann parameter of nearest neighbours, see `indicators.lindemann`.
    """

    state: ReferenceState
    lindemann: float


def find_reference(recording: Recording, cutoff: float, first: int, stop: int) -> FoundReference:
    """The offsets of neighbours, averaged over the frames first … stop - 1.

    An average of offsets, not of positions: material may drift, and tracks may begin and end.

    It knows where particles are in each of the frames, which makes laws that are fitted to them too stiff, by 1 % in firm
    crystals over 90 frames. With the average over all other frames for every window they were 8 % too soft: so few frames do
    not tell the places well enough.

    Parameters
    ----------
    recording : Recording
    cutoff : float, px
        Interaction cutoff between particles of mean size.
    first, stop : int

    Raises
    ------
    FitRefused
        No two particles are seen near each other for long enough.
    """
    frames = np.arange(first, stop)
    looks = frames[np.unique(np.linspace(0, len(frames) - 1, _LOOKS).astype(int))]
    index = _candidates(recording, cutoff * _FARTHER, looks)
    read = frames[np.unique(np.linspace(0, len(frames) - 1, _READ).astype(int))]
    count, square = np.zeros((2, index.shape[1]))
    total = np.zeros((index.shape[1], recording.position.shape[1]))
    for frame in read:
        here = np.full((len(recording.particles), recording.position.shape[1]), np.nan)
        rows = recording.rows(int(frame))
        seen = recording.observed[rows]
        here[recording.particle[rows][seen]] = recording.position[rows][seen]
        offset = here[index[0]] - here[index[1]]
        known = np.isfinite(offset[:, 0])
        offset = np.where(known[:, None], offset, 0.0)
        count, total = count + known, total + offset
        square += (offset**2).sum(axis=1)
    mean = total / np.maximum(count, 1)[:, None]
    spread = np.maximum(square / np.maximum(count, 1) - (mean**2).sum(axis=1), 0.0)
    if (box := recording.box) is not None:
        mean = mean - np.where(box > 0, box * np.round(mean / np.where(box > 0, box, 1.0)), 0.0)
    distance = np.linalg.norm(mean, axis=1)
    reach = cutoff * 0.5 * (recording.scale[index[0]] + recording.scale[index[1]])
    least = min(_LEAST_FRAMES, 0.5 * len(read))
    chosen = np.flatnonzero((count >= least) & (distance < reach) & (distance > 0))
    if not len(chosen):
        raise FitRefused(
            f"no two particles are seen within {cutoff:.3g} px of each other for long enough to say where they "
            "belong, so that there is no solid to fit: leave out --solid, or give a larger cutoff_px"
        )
    distance, reach = distance[chosen], reach[chosen]
    state = ReferenceState(
        torch.as_tensor(index[:, chosen]), torch.as_tensor(mean[chosen]), torch.as_tensor(distance / reach)
    )
    return FoundReference(state, lindemann_parameter(spread[chosen], distance))


def _candidates(recording: Recording, reach: float, frames: np.ndarray) -> np.ndarray:
    """Pairs i < j of particles that are within reach in any of these frames, shape (2, n_pairs)."""
    n, keys = len(recording.particles), []
    for frame in frames:
        rows = recording.rows(int(frame))
        particle = recording.particle[rows]
        pairs = particle[
            find_pairs(recording.position[rows], reach, recording.scale[particle], recording.box)
        ]
        keys.append(pairs.min(axis=0).astype(np.int64) * n + pairs.max(axis=0))
    return np.stack(np.divmod(np.unique(np.concatenate(keys)), n))

"""What a camera would add to the positions of a rollout: the localisation error that is new in every frame.

Part of a localisation error stays from frame to frame (`model.localisation`). The filter takes it for part of the
position: the laws are learned from such positions, and a rollout starts from them and goes on with them. To add that part
again would count it twice, and it cancels in displacements. New in every frame, and in no filtered position, is the rest.
"""

from __future__ import annotations

import numpy as np
import torch

from colloidlab.dataset.recording import Recording
from colloidlab.model.filter import Filter


def new_error(filter_: Filter, stated: np.ndarray) -> np.ndarray:
    """Standard deviation of the error that is new in every frame, where `stated` is that of the whole; any shape, px."""
    variance = torch.as_tensor(np.asarray(stated, dtype=np.float64) ** 2)
    found = variance if filter_.error is None else filter_.error.of(variance).detach()
    return np.asarray(found.sqrt().numpy())


def new_error_of(filter_: Filter, recording: Recording, particles: np.ndarray) -> np.ndarray:
    """The same of particles of a recording: the median over their localisations, shape (n, D), px.

    Parameters
    ----------
    filter_ : Filter
    recording : Recording
    particles : int array, shape (n,)
        Identities.
    """
    seen = recording.observed
    rows, sigma = recording.particle[seen], recording.sigma[seen]
    medians = np.full((len(recording.particles), sigma.shape[1]), np.nan)
    order = np.argsort(rows, kind="stable")
    whose, start = np.unique(rows[order], return_index=True)
    for one, part in zip(whose, np.split(sigma[order], start[1:]), strict=True):
        medians[one] = np.median(part, axis=0)
    stated = medians[np.searchsorted(recording.particles, particles)]
    return new_error(filter_, np.where(np.isfinite(stated), stated, np.nanmedian(medians)))

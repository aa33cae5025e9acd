"""Filtering a recording window by window: reading windows, running through them, and carrying the state on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.windows import Window, read_window
from colloidlab.model.filter import Filter
from colloidlab.model.filter_state import FilterState, empty_state


class WindowSource:
    """Windows of a recording, read once and kept while they fit (they are read again and again in training)."""

    def __init__(self, recording: Recording, cutoff: float, keep: int = 400) -> None:
        self.recording = recording
        self.cutoff = cutoff
        self._keep = keep
        self._cache: dict[tuple[int, int], Window] = {}

    def __call__(self, first: int, stop: int) -> Window:
        key = (first, stop)
        if key not in self._cache:
            if len(self._cache) >= self._keep:
                self._cache.pop(next(iter(self._cache)))
            self._cache[key] = read_window(self.recording, first, stop, self.cutoff)
        return self._cache[key]


def run_window(
    filter_: Filter, state: FilterState, window: Window, *, training: bool = False, skip: int = 0
) -> tuple[FilterState, Tensor, Tensor]:
    """Filter through a window.

    Returns
    -------
    state : FilterState
        At the last frame of the window.
    total : tensor
        Sum of the log-likelihood of all counted predictions after the first `skip` frames.
    count : tensor
        Their number.
    """
    total = window.positions.new_zeros(())
    count = window.positions.new_zeros(())
    for k in range(window.n_frames - 1):
        result = filter_.step(state, window, k, training=training)
        state = result.state
        if k >= skip:
            loglik = result.loglik if training else result.loglik.detach()
            total = total + loglik[result.counted].sum()
            count = count + result.counted.sum()
        if not training:
            state = state.detach()
    return state, total, count


def fresh_state(window: Window) -> FilterState:
    """Nobody in the window has been seen yet."""
    return empty_state(
        len(window.slot), window.positions.shape[2], window.positions.dtype, window.positions.device
    )


@dataclass(frozen=True)
class CarriedState:
    """A filter state with the identity of its particles, to go on in the next window."""

    slot: np.ndarray
    state: FilterState

    @staticmethod
    def take(state: FilterState, window: Window) -> CarriedState:
        return CarriedState(window.slot, state.detach())

    def place(self, window: Window) -> FilterState:
        """The state of the particles of `window`; those not carried start unseen."""
        out = fresh_state(window)
        where = np.searchsorted(self.slot, window.slot)
        where = np.minimum(where, len(self.slot) - 1)
        known = self.slot[where] == window.slot
        source, target = torch.as_tensor(where[known]), torch.as_tensor(np.flatnonzero(known))
        return FilterState(
            **{k: t.index_copy(0, target, getattr(self.state, k)[source]) for k, t in vars(out).items()}
        )

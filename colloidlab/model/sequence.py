"""Filtering a recording window by window: reading windows, running through them, and carrying the state on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.windows import Window, read_window
from colloidlab.model.filter import Filter
from colloidlab.model.filter_state import FilterState, empty_state


class WindowSource:
    """Windows of a recording, read once and kept while they fit (they are read again and again in training).

    Parameters
    ----------
    recording : Recording
    cutoff : float, px
    keep : int
        Windows kept.
    device, dtype
        Where and in which precision they lie.
    """

    def __init__(
        self,
        recording: Recording,
        cutoff: float,
        keep: int = 400,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.recording = recording
        self.cutoff = cutoff
        self.device, self.dtype = torch.device(device), dtype
        self._keep = keep
        self._cache: dict[tuple[int, int], Window] = {}

    def __call__(self, first: int, stop: int) -> Window:
        key = (first, stop)
        if key not in self._cache:
            if len(self._cache) >= self._keep:
                self._cache.pop(next(iter(self._cache)))
            window = read_window(self.recording, first, stop, self.cutoff)
            self._cache[key] = window.to(self.device, self.dtype)
        return self._cache[key]

    def in_precision(self, dtype: torch.dtype) -> WindowSource:
        """The same windows in another precision."""
        if dtype == self.dtype:
            return self
        return WindowSource(self.recording, self.cutoff, self._keep, device=self.device, dtype=dtype)


def run_window(
    filter_: Filter, state: FilterState, window: Window, *, training: bool = False, skip: int | Tensor = 0
) -> tuple[FilterState, Tensor, Tensor]:
    """Filter through a window.

    Parameters
    ----------
    skip : int, or int64 tensor of shape (n,)
        First frames of which no prediction counts, of all or of each particle.

    Returns
    -------
    state : FilterState
        At the last frame of the window.
    total : tensor
        Sum of the log-likelihood of all counted predictions.
    count : tensor
        Their number.
    """
    total = window.positions.new_zeros(())
    count = window.positions.new_zeros(())
    for k in range(window.n_frames - 1):
        result = filter_.step(state, window, k, training=training)
        state = result.state
        if isinstance(skip, Tensor) or k >= skip:
            loglik = result.loglik if training else result.loglik.detach()
            counted = result.counted & (skip <= k) if isinstance(skip, Tensor) else result.counted
            total = total + loglik[counted].sum()
            count = count + counted.sum()
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
    """A filter state with the identity of its particles, to go on in the next window.

    Attributes
    ----------
    slot : int64 array, shape (n,)
        As in `Window`.
    state : FilterState
    """

    slot: np.ndarray
    state: FilterState

    @staticmethod
    def take(state: FilterState, window: Window) -> CarriedState:
        """The state at the end of a window of one stretch."""
        return CarriedState(window.slot, state.detach())

    @staticmethod
    def take_each(state: FilterState, window: Window) -> list[CarriedState]:
        """The states at the ends of the stretches of a window."""
        members = [(window.member == m).nonzero()[:, 0] for m in range(len(window.frames))]
        return [
            CarriedState(
                window.slot[mine.cpu().numpy()],
                FilterState(**{k: t.detach()[mine] for k, t in vars(state).items()}),
            )
            for mine in members
        ]

    def place(self, window: Window) -> FilterState:
        """The state of the particles of `window`; those not carried start unseen."""
        return place_each([self], window)


def place_each(carried: Sequence[CarriedState | None], window: Window) -> FilterState:
    """The state of the particles of a window, from one carried state a stretch; who is not carried starts unseen."""
    out = fresh_state(window)
    member = window.member.cpu().numpy()
    for m, part in enumerate(carried):
        if part is None or not len(part.slot):
            continue
        mine = np.flatnonzero(member == m)
        where = np.searchsorted(part.slot, window.slot[mine])
        where = np.minimum(where, len(part.slot) - 1)
        known = part.slot[where] == window.slot[mine]
        device = window.positions.device
        source, target = (torch.as_tensor(x, device=device) for x in (where[known], mine[known]))
        out = FilterState(
            **{k: t.index_copy(0, target, getattr(part.state, k)[source]) for k, t in vars(out).items()}
        )
    return out

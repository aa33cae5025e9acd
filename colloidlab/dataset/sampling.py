"""Which windows make the next batch: drawn with a seed, the same on every process, and to be continued after a break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


class WindowSampler:
    """Endless batches of indices of windows.

    Parameters
    ----------
    n_windows : int
    batch_windows : int
        Windows of a batch, over all processes.
    seed : int
    in_passes : bool
        Every window comes once before any comes again (what does not fill a batch is left out of a pass), and a
        batch is no larger than a pass. Otherwise windows are drawn independently.
    rank, size : int
        This process takes every `size`-th window of a batch, from the `rank`-th.
    """

    def __init__(
        self, n_windows: int, batch_windows: int, seed: int, *, in_passes: bool, rank: int = 0, size: int = 1
    ) -> None:
        self.n_windows = n_windows
        self.batch_windows = min(batch_windows, n_windows) if in_passes else batch_windows
        self._in_passes, self._rank, self._size = in_passes, rank, size
        self._rng = np.random.default_rng(seed)
        self._waiting: list[int] = []

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            yield self._draw()[self._rank :: self._size]

    def _draw(self) -> list[int]:
        if not self._in_passes:
            return [int(k) for k in self._rng.choice(self.n_windows, size=self.batch_windows)]
        if len(self._waiting) < self.batch_windows:
            self._waiting = self._rng.permutation(self.n_windows).tolist()
        return [self._waiting.pop() for _ in range(self.batch_windows)]

    def new_pass(self) -> None:
        """Leave out what is still to come in this pass."""
        self._waiting = []

    def state(self) -> dict[str, Any]:
        """The generator and the windows still to come in this pass, as JSON holds them."""
        return {"generator": self._rng.bit_generator.state, "waiting": list(self._waiting)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._rng.bit_generator.state = state["generator"]
        self._waiting = list(state["waiting"])

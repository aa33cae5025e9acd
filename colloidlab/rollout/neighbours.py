"""Neighbour search with a Verlet skin: most steps reuse the list of the last search."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.graph import find_pairs
from colloidlab.model.pairs import Pairs, pair_geometry


class Neighbours:
    """Pairs within the cutoff of a moving configuration, for several independent members at once.

    Parameters
    ----------
    cutoff : float
        h for two particles of mean size.
    scale : tensor, shape (n,)
        Radius over mean radius.
    member : int array, shape (n,), optional
        Particles of different members never interact.
    box : float array, shape (D,), optional
        Periodic lengths, zero where open.
    skin : float
        Extra distance of the search, as a fraction of the cutoff.
    """

    def __init__(
        self,
        cutoff: float,
        scale: Tensor,
        *,
        member: np.ndarray | None = None,
        box: np.ndarray | None = None,
        skin: float = 0.25,
    ) -> None:
        self.cutoff = cutoff
        self.scale = scale
        self.skin = skin
        self._scale = scale.cpu().numpy()
        self._member = np.zeros(len(scale), dtype=np.int64) if member is None else member
        self._box = box
        self._box_tensor = (
            None if box is None else torch.as_tensor(box, dtype=scale.dtype, device=scale.device)
        )
        self._at: Tensor | None = None
        self._index: Tensor | None = None
        self.n_searches = 0

    def pairs(self, r: Tensor) -> Pairs:
        """Pairs at positions r; pairs in the skin have x = 1 and contribute nothing."""
        return pair_geometry(r, self.candidates(r), self.cutoff, self.scale, self._box_tensor)

    def near(self, r: Tensor) -> Pairs:
        """Only those within the cutoff: where laws are dear, that pays."""
        found = self.pairs(r)
        return found.select(found.x < 1)

    def candidates(self, r: Tensor) -> Tensor:
        """All pairs i < j that may be within the cutoff at positions r, (2, n_pairs); `n_searches` tells lists apart."""
        if self._must_search(r):
            self._search(r)
        assert self._index is not None
        return self._index

    def lengths(self, n_dims: int) -> np.ndarray:
        """Periodic lengths, shape (D,), zero where open."""
        return np.zeros(n_dims) if self._box is None else np.asarray(self._box, dtype=float)

    def invalidate(self) -> None:
        """Force a search at the next call (after particles have jumped, entered or left)."""
        self._at = None

    def _must_search(self, r: Tensor) -> bool:
        if self._at is None:
            return True
        # Two particles that approach each other may each use half of the skin of the smallest pair.
        allowed = 0.5 * self.skin * self.cutoff * float(self._scale.min())
        moved = torch.nan_to_num(r - self._at).square().sum(1).max()
        return bool(moved > allowed**2)

    def _search(self, r: Tensor) -> None:
        positions = r.detach().cpu().numpy()
        found = []
        for member in np.unique(self._member):
            mine = np.flatnonzero(self._member == member)
            local = find_pairs(positions[mine], self.cutoff * (1 + self.skin), self._scale[mine], self._box)
            found.append(mine[local])
        index = np.concatenate(found, axis=1)
        order = np.lexsort((index[1], index[0]))  # a fixed order, so that noise drawn in it is reproducible
        self._index = torch.as_tensor(index[:, order], device=r.device)
        self._at = r.detach().clone()
        self.n_searches += 1

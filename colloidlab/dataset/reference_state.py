"""The reference state of a solid: who is whose neighbour where nothing is strained, and at which offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ReferenceState:
    """Pairs of neighbours of the undeformed state.

    Attributes
    ----------
    index : int64 tensor, shape (2, n_pairs)
        i < j.
    offset : tensor, shape (n_pairs, D), px
        r_i - r_j there.
    x : tensor, shape (n_pairs,)
        Its length over the cutoff of the pair, 0 to 1.
    """

    index: Tensor
    offset: Tensor
    x: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> ReferenceState:
        """The same elsewhere: real numbers as `dtype`, all tensors on `device`."""
        return ReferenceState(self.index.to(device), self.offset.to(device, dtype), self.x.to(device, dtype))

    def renumbered(self, identity: np.ndarray) -> ReferenceState:
        """With identity[i] in the place of i."""
        return replace(self, index=torch.as_tensor(identity[self.index.cpu().numpy()]).to(self.index))

    def among(self, chosen: np.ndarray) -> ReferenceState:
        """The pairs between particles of a sorted list, numbered by their places in it."""
        i, j = self.index.cpu().numpy()
        both = np.flatnonzero(np.isin(i, chosen) & np.isin(j, chosen))
        index = torch.as_tensor(np.searchsorted(chosen, np.stack([i[both], j[both]])))
        keep = torch.as_tensor(both, device=self.index.device)
        return ReferenceState(index.to(self.index.device), self.offset[keep], self.x[keep])


def side_by_side(states: Sequence[ReferenceState], sizes: Sequence[int]) -> ReferenceState:
    """Of groups of so many particles that do not meet, one after the other."""
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return ReferenceState(
        torch.cat([state.index + int(start) for state, start in zip(states, starts, strict=True)], dim=1),
        torch.cat([state.offset for state in states]),
        torch.cat([state.x for state in states]),
    )

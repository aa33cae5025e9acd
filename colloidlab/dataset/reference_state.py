"""The reference state of a solid: who is whose neighbour where nothing is strained, and at which offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

_LEAST_REST = 0.4
"""Of the parts of a block, less than which say too little of where particles belong."""


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


@dataclass(frozen=True)
class Parts:
    """Offsets of the pairs of a reference state, in parts of the block of frames over which they are averaged.

    Attributes
    ----------
    edges : int array, shape (n_parts + 1,)
        First frames of the parts, and the end of the last.
    total : float array, shape (n_parts, n_pairs, D), px
        Sum of r_i - r_j over the frames in which both are seen.
    count : int array, shape (n_parts, n_pairs)
        Of these frames.
    shift : float array, shape (n_pairs, D), px
        Whole periods of the box, which come off.
    reach : float array, shape (n_pairs,), px
        Cutoff of the pair.
    """

    edges: np.ndarray
    total: np.ndarray
    count: np.ndarray
    shift: np.ndarray
    reach: np.ndarray


@dataclass(frozen=True)
class RecordedReference:
    """Reference state of a recording, as each of its windows may know it.

    An average over frames knows where particles are in each of them: laws that are fitted to these very frames would take
    it for a force that draws them there, and find solids too stiff. A window is therefore given the average over all others.

    Attributes
    ----------
    whole : ReferenceState
        Averaged over all frames of the block.
    parts : Parts, optional
        Without them every window is given the whole.
    """

    whole: ReferenceState
    parts: Parts | None = None

    def outside(self, first: int, stop: int) -> ReferenceState:
        """Averaged over the parts of the block that hold none of the frames first … stop - 1.

        Where these are most of the block there is nothing but the whole, nor for pairs that are not seen in the others.
        """
        parts = self.parts
        if parts is None:
            return self.whole
        others = (parts.edges[1:] <= first) | (parts.edges[:-1] >= stop)
        if others.all() or others.mean() < _LEAST_REST:
            return self.whole
        count, total = parts.count[others].sum(axis=0), parts.total[others].sum(axis=0)
        known = count > 0
        mean = total / np.maximum(count, 1)[:, None] - parts.shift
        offset = np.where(known[:, None], mean, self.whole.offset.numpy())
        x = np.minimum(np.linalg.norm(offset, axis=1) / parts.reach, 1.0)
        return replace(self.whole, offset=torch.as_tensor(offset), x=torch.as_tensor(x))

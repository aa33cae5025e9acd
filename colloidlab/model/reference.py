"""Neighbourhoods of a solid's reference state, in which its strain is measured."""

from __future__ import annotations

import torch
from torch import Tensor

from colloidlab.dataset.reference_state import ReferenceState
from colloidlab.dataset.windows import Window
from colloidlab.errors import UsageError
from colloidlab.model.envelope import envelope
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.strain import Reference

_FLAT = 0.1
"""Smallest second moment of a neighbourhood over the mean one. With less it is nearly a line (or a plane), across which the
error of a mean offset, divided by the little that there is, would pass for a huge strain: it spans no space to strain. Two
neighbours at an angle of 30 degrees have as much."""


def reference_neighbourhoods(
    positions: Tensor, index: Tensor, cutoff: float, *, box: Tensor | None = None, scale: Tensor | None = None
) -> Reference:
    """Neighbourhoods of a reference state that is given by positions.

    Parameters
    ----------
    positions : tensor, shape (n, D)
    index : int64 tensor, shape (2, n_pairs)
        Pairs i < j within the cutoff.
    cutoff : float
        Range of the neighbourhood, unit of the positions.
    box : tensor, shape (D,), optional
        Periodic lengths; zero means open in that direction.
    scale : tensor, shape (n,), optional
        Radius over mean radius; the cutoff of a pair is multiplied by the mean of its two ends [1].

    Raises
    ------
    UsageError
        No neighbourhood spans the space.
    """
    n, dim = positions.shape
    scale = torch.ones_like(positions[:, 0]) if scale is None else scale
    pairs = pair_geometry(positions, index, cutoff, scale, box)
    state = ReferenceState(index, pairs.r[:, None] * pairs.e, pairs.x)
    found = neighbourhoods(state, torch.ones_like(scale, dtype=torch.bool), box)
    if not bool(found.spans.any()):
        raise UsageError(
            f"none of the {n} particles has neighbours in {dim} independent directions within {cutoff:g}; "
            "give a larger cutoff for the reference neighbourhoods"
        )
    return found


def neighbourhoods(state: ReferenceState, present: Tensor, box: Tensor | None = None) -> Reference:
    """Neighbourhoods of the reference state among the particles that are there.

    The best fit is to the neighbours that are present: one that is lost from view takes its share of the fit with it, and
    brings in no strain.

    Parameters
    ----------
    state : ReferenceState
    present : bool tensor, shape (n,)
    box : tensor, shape (D,), optional
    """
    both = present[state.index].all(0)
    (i, j), offset, weight = state.index[:, both], state.offset[both], envelope(state.x[both])
    n, dim = len(present), offset.shape[1]
    ends = torch.cat([i, j])
    outer = weight[:, None, None] * offset[:, :, None] * offset[:, None, :]
    moment = offset.new_zeros((n, dim, dim)).index_add(0, ends, torch.cat([outer, outer]))
    eigenvalues = torch.linalg.eigvalsh(moment)
    spans = eigenvalues[:, 0] > _FLAT * eigenvalues.mean(1)
    eye = torch.eye(dim, dtype=offset.dtype, device=offset.device)
    inverse = torch.linalg.inv(torch.where(spans[:, None, None], moment, eye))
    inverse = torch.where(spans[:, None, None], inverse, torch.zeros_like(inverse))
    weighted = weight[:, None] * offset
    at_i = torch.einsum("pab,pb->pa", inverse[i], weighted)
    at_j = torch.einsum("pab,pb->pa", inverse[j], weighted)
    own = torch.zeros_like(moment[:, 0]).index_add(0, ends, torch.cat([at_i, -at_j]))
    return Reference(i, j, at_i, at_j, own, spans, box)


class ReferenceInView:
    """The neighbourhoods among those particles of a window that are in view, found again when others are."""

    def __init__(self) -> None:
        self._last: tuple[ReferenceState, Tensor, Reference] | None = None

    def among(self, window: Window, k: int) -> Reference:
        """In frame k of a window.

        Raises
        ------
        UsageError
            The recording knows no reference state.
        """
        if window.reference is None:
            raise UsageError(
                "these are laws of a solid, and the recording knows no reference state: give it that of `find_reference`"
            )
        present = window.present[k]
        if self._last is not None:
            state, then, found = self._last
            if state is window.reference and torch.equal(then, present):
                return found
        found = neighbourhoods(window.reference, present, window.box)
        self._last = window.reference, present, found
        return found

"""Windows: a few consecutive frames as dense tensors, with the graph of every frame."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.graph import find_pairs
from colloidlab.dataset.recording import Recording
from colloidlab.dataset.reference_state import ReferenceState

PAIR_MARGIN = 1.06
"""Graphs reach a little farther than the cutoff, because filtered positions differ from tracked ones."""


@dataclass(frozen=True)
class Window:
    """Consecutive frames of one recording, or several such stretches side by side.

    Particles that are absent in a frame keep a slot; their positions there are zero and they
    have no pairs.

    Attributes
    ----------
    frames : tuple of int
        First frame of every stretch.
    slot : int64 array, shape (n,)
        Index of each particle in `Recording.particles`.
    member : int64 tensor, shape (n,)
        Which stretch a slot belongs to.
    positions, sigma2 : tensors, shape (n_frames, n, D)
        Tracked position (px) and variance of its error (px^2).
    present, observed, complete, interior : bool tensors, shape (n_frames, n)
        In view; located in this frame; at least one cutoff from the edge, so that all neighbours are seen;
        at least two cutoffs from the edge, so that all neighbours' volumes are right.
    scale : tensor, shape (n,)
        Radius over mean radius.
    pairs : tuple of int64 tensors, shape (2, n_pairs)
        Graph of every frame.
    box : tensor, shape (D,), or None
        Periodic lengths.
    species : int64 tensor, shape (n,), or None
        Label of each particle, where some are told apart.
    reference : ReferenceState or None
        Of a solid; its pairs are numbered as the slots.
    """

    frames: tuple[int, ...]
    slot: np.ndarray
    member: Tensor
    positions: Tensor
    sigma2: Tensor
    present: Tensor
    observed: Tensor
    complete: Tensor
    interior: Tensor
    scale: Tensor
    pairs: tuple[Tensor, ...]
    box: Tensor | None = None
    species: Tensor | None = None
    reference: ReferenceState | None = None

    @property
    def n_frames(self) -> int:
        return int(self.positions.shape[0])

    def to(self, device: torch.device, dtype: torch.dtype) -> Window:
        """The same window elsewhere: real numbers as `dtype`, all tensors on `device`."""

        def moved(value: Any) -> Any:
            if isinstance(value, tuple) and value and isinstance(value[0], Tensor):
                return tuple(moved(part) for part in value)
            if isinstance(value, ReferenceState):
                return value.to(device, dtype)
            if not isinstance(value, Tensor):
                return value
            return value.to(device, dtype if value.is_floating_point() else None)

        return Window(**{field.name: moved(getattr(self, field.name)) for field in fields(self)})

    def mean(self, values: Tensor, chosen: Tensor, otherwise: Tensor) -> Tensor:
        """Mean over the chosen particles of each stretch, for every slot; `otherwise` where nobody is chosen.

        Parameters
        ----------
        values : tensor, shape (n,)
        chosen : bool tensor, shape (n,)
        otherwise : tensor, shape () or (n,)

        Returns
        -------
        tensor, shape () or (n,)
        """
        if len(self.frames) == 1:
            return values[chosen].mean() if bool(chosen.any()) else otherwise
        weight = chosen.to(values.dtype)
        sums = values.new_zeros(2, len(self.frames))
        sums = sums.index_add(1, self.member, torch.stack([weight * values, weight]))
        total, count = sums[:, self.member]
        return torch.where(count > 0, total / count.clamp_min(1), otherwise)


def read_window(recording: Recording, first: int, stop: int, cutoff: float) -> Window:
    """Read the frames first … stop-1 of a recording.

    Parameters
    ----------
    cutoff : float, px
        Interaction cutoff between particles of mean size.
    """
    rows = [recording.rows(frame) for frame in range(first, stop)]
    slot = np.unique(np.concatenate([recording.particle[r] for r in rows]))
    n_frames, n, dim = stop - first, len(slot), recording.position.shape[1]
    positions = np.zeros((n_frames, n, dim))
    sigma2 = np.ones((n_frames, n, dim))
    flags = {
        name: np.zeros((n_frames, n), dtype=bool) for name in ("present", "observed", "complete", "interior")
    }
    scale = recording.scale[slot]
    graphs = []
    for k, r in enumerate(rows):
        at = np.searchsorted(slot, recording.particle[r])
        positions[k, at] = recording.position[r]
        sigma2[k, at] = recording.sigma[r] ** 2
        flags["present"][k, at] = True
        flags["observed"][k, at] = recording.observed[r]
        reach = cutoff * 0.5 * (scale[at] + scale.max())
        flags["complete"][k, at] = recording.edge[r] > reach
        flags["interior"][k, at] = recording.edge[r] > 2 * reach
        index = find_pairs(recording.position[r], cutoff * PAIR_MARGIN, scale[at], recording.box)
        graphs.append(torch.as_tensor(at[index]))
    return Window(
        frames=(first,),
        slot=slot,
        member=torch.zeros(n, dtype=torch.int64),
        positions=torch.as_tensor(positions),
        sigma2=torch.as_tensor(sigma2),
        scale=torch.as_tensor(scale),
        pairs=tuple(graphs),
        box=None if recording.box is None else torch.as_tensor(recording.box),
        species=None if recording.species is None else torch.as_tensor(recording.species.label[slot]),
        reference=None if recording.reference is None else recording.reference.among(slot),
        **{name: torch.as_tensor(values) for name, values in flags.items()},
    )


def with_positions(window: Window, positions: Tensor, cutoff: float) -> Window:
    """The same particles at other positions, shape (n_frames, n, D), with the graphs of these.

    Parameters
    ----------
    positions : tensor
        On the CPU.
    cutoff : float, px
        As in `read_window`.
    """
    scale = window.scale.cpu().numpy()
    box = None if window.box is None else window.box.cpu().numpy()
    here = window.positions
    graphs = []
    for r, present in zip(positions.numpy(), window.present.cpu().numpy(), strict=True):
        at = np.flatnonzero(present)
        index = find_pairs(r[at], cutoff * PAIR_MARGIN, scale[at], box)
        graphs.append(torch.as_tensor(at[index], device=here.device))
    return replace(window, positions=positions.to(here), pairs=tuple(graphs))

"""Windows as torch-geometric's `Data`, so that its loader draws and batches them.

Several windows of a batch become one whose parts do not interact: particles of the second follow those of the first, and
the pairs of every frame count accordingly. Importing torch-geometric takes seconds, so that nothing but training does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from colloidlab.dataset.reference_state import ReferenceState
from colloidlab.dataset.windows import Window

_BY_FRAME = ("positions", "sigma2", "present", "observed", "complete", "interior")
_PAIRS = ("pairs", "reference_pairs")


class WindowData(Data):
    """One window, or the batch of several; the attributes are those of `Window`.

    Attributes
    ----------
    first : int64 tensor, shape (n_windows,)
        First frame of each.
    slot : int64 tensor, shape (n,)
    box : tensor, shape (n_windows, D)
    species : int64 tensor, shape (n,)
    reference_pairs, reference_offset, reference_x : tensors
        Of the reference state of a solid. All these are absent where there is none.
    """

    @staticmethod
    def of(window: Window) -> WindowData:
        """The item of one stretch."""
        if len(window.frames) != 1:
            raise ValueError("the window is a batch already: give its stretches one by one")
        data = WindowData(
            first=torch.tensor(window.frames),
            slot=torch.as_tensor(window.slot),
            scale=window.scale,
            pairs=list(window.pairs),
            num_nodes=len(window.slot),
            **{name: getattr(window, name) for name in _BY_FRAME},
        )
        if window.box is not None:
            data.box = window.box[None]
        if window.species is not None:
            data.species = window.species
        if (reference := window.reference) is not None:
            data.reference_pairs, data.reference_offset = reference.index, reference.offset
            data.reference_x = reference.x
        return data

    def __inc__(self, key: str, value: Any, *args: Any) -> int:
        return int(self.num_nodes or 0) if key in _PAIRS else 0

    def __cat_dim__(self, key: str, value: Any, *args: Any) -> int:
        return 1 if key in _PAIRS or key in _BY_FRAME else 0

    def window(self) -> Window:
        """Back to what the filter runs through."""
        member = self.batch if isinstance(self, Batch) else torch.zeros(self.num_nodes, dtype=torch.int64)
        return Window(
            frames=tuple(self.first.tolist()),
            slot=self.slot.numpy(),
            member=member.to(self.positions.device),
            scale=self.scale,
            pairs=tuple(self.pairs),
            box=self.box[0] if "box" in self else None,
            species=self.species if "species" in self else None,
            reference=self._reference(),
            **{name: self[name] for name in _BY_FRAME},
        )

    def _reference(self) -> ReferenceState | None:
        if "reference_pairs" not in self:
            return None
        return ReferenceState(self.reference_pairs, self.reference_offset, self.reference_x)


def join(windows: Sequence[Window]) -> Window:
    """Windows of one stretch and of equal length as one whose parts do not interact."""
    if len(windows) == 1:
        return windows[0]
    return Batch.from_data_list([WindowData.of(window) for window in windows]).window()


class WindowDataset(torch.utils.data.Dataset[WindowData]):
    """Windows of one recording by their first frames, all of the same length.

    Parameters
    ----------
    read : callable(first, stop) -> Window
    starts : sequence of int
    n_frames : int
    """

    def __init__(self, read: Callable[[int, int], Window], starts: Sequence[int], n_frames: int) -> None:
        self.read, self.starts, self.n_frames = read, starts, n_frames

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> WindowData:
        first = int(self.starts[index])
        return WindowData.of(self.read(first, first + self.n_frames))


def window_loader(dataset: WindowDataset, sampler: Iterable[list[int]]) -> DataLoader:
    """Batches of the windows that the sampler names, read in this process and in its order."""
    # A generator of its own, because a loader takes a seed for workers that it has not from everybody's.
    return DataLoader(dataset, batch_sampler=sampler, generator=torch.Generator())

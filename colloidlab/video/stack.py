"""Recordings whose images can be read one by one in any order: stacks, folders, camera files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from colloidlab.errors import ColloidlabError
from colloidlab.video.foreign import describe
from colloidlab.video.frames import Delivery, Description, Image, Video
from colloidlab.video.grey import to_grey


class Damaged(Exception):
    """One image of a recording cannot be read; the others may be fine. Never leaves this package."""


class Stack(Video):
    """A recording that is a sequence of independent images.

    Parameters
    ----------
    slots : int array, shape (n_delivered,), optional
        Frame index of each image; consecutive when None.
    repeated : bool array, shape (n_delivered,), optional
        True where the time stamp equals the one before.
    n_frames : int, optional
        Announced frames where the file says how many there should be.
    """

    jumps = True

    def __init__(
        self,
        path: Path,
        about: Description,
        *,
        slots: np.ndarray,
        repeated: np.ndarray | None = None,
        n_frames: int = 0,
    ) -> None:
        super().__init__(path, max(n_frames, int(slots[-1]) + 1 if len(slots) else 0), about)
        self._slots = slots
        self._repeated = repeated if repeated is not None else np.zeros(len(slots), dtype=bool)

    @abstractmethod
    def _read(self, k: int) -> Image:
        """Read the k-th image that is in the file; raise `Damaged` with the reason when it is spoilt."""

    def _deliveries(self, start: int, stop: int) -> Iterator[Delivery]:
        k = int(np.searchsorted(self._slots, start))
        for index in range(start, stop):
            if k >= len(self._slots):
                yield Delivery(index, None, "missing", "announced by the file, but not in it")
            elif self._slots[k] > index:
                yield Delivery(index, None, "missing", "not there; found by the gap before the next frame")
            else:
                yield self._one(index, k)
                k += 1

    def _one(self, index: int, k: int) -> Delivery:
        try:
            image = to_grey(self._read(k))
        except Damaged as error:
            return Delivery(index, None, "damaged", str(error))
        except ColloidlabError:
            raise
        except Exception as error:  # a foreign reader's opinion of spoilt bytes: any class is possible
            return Delivery(index, None, "damaged", f"cannot be decoded ({describe(error)})")
        if image.shape != self.shape:
            return Delivery(index, None, "damaged", f"is {image.shape} pixels instead of {self.shape}")
        if self._repeated[k]:
            return Delivery(index, image, "duplicate", "same time stamp as the frame before")
        return Delivery(index, image)

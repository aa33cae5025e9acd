"""A sequence of images that are made one at a time, as an array for an Image layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from colloidlab.errors import InputError

LARGEST_READ = 2**31
"""Bytes that may be asked for at once; a display of all frames at the same time would ask for everything."""


class Images(ABC):
    """Array, shape (n_frames, height, width), whose images come from `frame` when they are looked at.

    Sub-classes set `shape` and `dtype`.
    """

    ndim = 3
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    @abstractmethod
    def frame(self, index: int) -> np.ndarray:
        """The image of one frame, shape (height, width)."""

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis:
            first, rest = slice(None), [Ellipsis, *rest] if rest else []
        where = np.arange(len(self))[first]
        if np.ndim(where) == 0:
            return self.frame(int(where))[tuple(rest)]
        if len(where) * (self.size // len(self)) * self.dtype.itemsize > LARGEST_READ:
            raise InputError(
                f"{len(where)} frames are too many to be shown at once; go back to the view of one frame "
                "(the 2D/3D button)"
            )
        if not len(where):
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        return np.stack([self.frame(int(k)) for k in where])[(slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

"""Image-sized working memory that a thread keeps from one frame to the next.

Fresh pages from the operating system cost more time than the arithmetic on them.
"""

from __future__ import annotations

import threading

import numpy as np

_mine = threading.local()


def scratch(name: str, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """This thread's array of that name, with whatever an earlier frame left in it.

    It is valid until the next call with the same name in the same thread.
    """
    arrays = _mine.__dict__.setdefault("arrays", {})
    kept = arrays.get(name)
    if kept is None or kept.shape != shape or kept.dtype != dtype:
        kept = arrays[name] = np.empty(shape, dtype)
    return np.asarray(kept)

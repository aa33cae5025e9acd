"""Making double-precision tensors from plain numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def float64(values: float | Sequence[float]) -> Tensor:
    """A float64 tensor; laws are stored in double precision and cast with ``.to(dtype)`` where less will do."""
    return torch.tensor(values, dtype=torch.float64)

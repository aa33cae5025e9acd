"""Where a program would wait for a GPU: the operators that cannot go on before the host has seen a number."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_OF_UNKNOWN_SIZE = {
    "nonzero",
    "nonzero_numpy",
    "masked_select",
    "unique_dim",
    "unique_consecutive",
    "_unique",
    "_unique2",
}
_NUMBERS = {"_local_scalar_dense", "is_nonzero", "equal", "item"}
_FROM_PYTHON = {"lift_fresh", "lift", "lift_fresh_copy"}
"""What `torch.tensor(...)` and `new_tensor(...)` end with."""


class Waits(TorchDispatchMode):
    """Counts them while it is entered, by name.

    Attributes
    ----------
    found : Counter
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        if name in _OF_UNKNOWN_SIZE | _NUMBERS | _FROM_PYTHON or _has_unknown_size(name, args, kwargs):
            self.found[name] += 1
        out = func(*args, **kwargs)
        devices = {leaf.device for leaf in tree_leaves([args, kwargs, out]) if isinstance(leaf, torch.Tensor)}
        if len(devices) > 1:
            self.found[f"{name} between devices"] += 1
        return out


def _has_unknown_size(name: str, args: Any, kwargs: Any) -> bool:
    if name.startswith("index") and name not in ("index_select", "index_add", "index_add_"):
        chosen = args[1] if len(args) > 1 else kwargs.get("indices")
        return any(
            isinstance(leaf, torch.Tensor) and leaf.dtype == torch.bool for leaf in tree_leaves(chosen)
        )
    return name == "repeat_interleave" and kwargs.get("output_size") is None

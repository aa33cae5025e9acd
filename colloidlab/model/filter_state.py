"""What a filter believes about every particle at one frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MATURE = 4
"""Frames that a particle must have been followed before its predictions are scored."""


@dataclass(frozen=True)
class FilterState:
    """What is believed about every particle at one frame.

    Attributes
    ----------
    r, v : tensors, shape (n, D)
        Mean position (px) and velocity (px/frame).
    rr, rv, vv : tensors, shape (n, D, D)
        Blocks of their covariance.
    S : tensor, shape (n,)
        Entropy, k_B.
    variance : tensor, shape (n,)
        Variance of ln T.
    age : int64 tensor, shape (n,)
        Frames since the particle came into view; 0 while absent.
    """

    r: Tensor
    v: Tensor
    rr: Tensor
    rv: Tensor
    vv: Tensor
    S: Tensor
    variance: Tensor
    age: Tensor

    def detach(self) -> FilterState:
        return FilterState(**{k: t.detach() for k, t in vars(self).items()})


def empty_state(n: int, dim: int, dtype: torch.dtype, device: torch.device) -> FilterState:
    """Nobody has been seen yet."""

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)

    return FilterState(
        r=zeros(n, dim),
        v=zeros(n, dim),
        rr=zeros(n, dim, dim),
        rv=zeros(n, dim, dim),
        vv=zeros(n, dim, dim),
        S=zeros(n),
        variance=zeros(n),
        age=torch.zeros(n, dtype=torch.int64, device=device),
    )

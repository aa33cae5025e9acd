"""Possible truths: states drawn from what a filter believes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from colloidlab.model.filter_state import FilterState


def draw_from(believed: FilterState, inv_c: Tensor, generator: torch.Generator) -> FilterState:
    """Positions, velocities and entropies as sure as the filter is of them, each particle on its own.

    Parameters
    ----------
    believed : FilterState
    inv_c : tensor, shape (n,)
        One over the heat capacity of every particle: d ln T = dS/c at constant volume.
    generator : torch.Generator
    """
    dim = believed.r.shape[1]
    both = (
        torch.cat([believed.rr, believed.rv], 2),
        torch.cat([believed.rv.transpose(1, 2), believed.vv], 2),
    )
    variances, axes = torch.linalg.eigh(torch.cat(both, 1))
    like = believed.S
    numbers = torch.randn((len(like), 2 * dim + 1), generator=generator, dtype=like.dtype).to(like.device)
    kick = torch.einsum("nab,nb->na", axes, variances.clamp_min(0).sqrt() * numbers[:, :-1])
    # Laws of one temperature, and forms of inference that do not say, have no such uncertainty.
    certain = (inv_c <= 0) | ~(believed.variance > 0)
    spread = torch.where(certain, 0.0, believed.variance.clamp_min(0).sqrt() / inv_c.clamp_min(1e-12))
    S = believed.S + spread * numbers[:, -1]
    return replace(believed, r=believed.r + kick[:, :dim], v=believed.v + kick[:, dim:], S=S)

"""Interacting pairs: who is within the cutoff of whom, and along which direction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from colloidlab.model.strain import Strain

Labels = TypeVar("Labels", int, Tensor, np.ndarray)


@dataclass(frozen=True)
class Pairs:
    """Geometry of the unique pairs i < j.

    Attributes
    ----------
    i, j : int64 tensor, shape (n_pairs,)
    e : tensor, shape (n_pairs, D)
        Unit vector (r_i - r_j)/|r_i - r_j|, minimum image.
    r : tensor, shape (n_pairs,)
        Distance.
    x : tensor, shape (n_pairs,)
        Reduced distance r/h_ij, where h_ij is the cutoff of this pair; clipped at 1,
        where every function of it and its first derivatives vanish.
    h : tensor, shape (n_pairs,)
        Cutoff of the pair: the common cutoff times (R_i + R_j)/(2 R_mean).
    n : int
        Number of particles.
    kind : int64 tensor, shape (n_pairs,), or None
        Unordered pair of species (`pair_kind`); None where all particles are of one.
    wind : tensor, shape (n_pairs, D), or None
        Velocity of the image of j that i meets, less that of j; None where images move as their particles do.
    species, scale : tensors, shape (n,), or None
        Labels of the particles, and radius over mean radius.
    strain : Strain or None
        Of the reference neighbourhoods of a solid, at the same positions.
    """

    i: Tensor
    j: Tensor
    e: Tensor
    r: Tensor
    x: Tensor
    h: Tensor
    n: int
    kind: Tensor | None = None
    wind: Tensor | None = None
    species: Tensor | None = None
    scale: Tensor | None = None
    strain: Strain | None = None

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        """What the functions of a pair are given besides distance and temperatures: the kind, where there are several."""
        return () if self.kind is None else (self.kind,)

    def select(self, keep: Tensor) -> Pairs:
        """Only the pairs of a mask of shape (n_pairs,)."""
        # The mask is searched once, not for every array.
        at = torch.nonzero(keep)[:, 0]
        i, j, e, r, x, h = (
            part.index_select(0, at) for part in (self.i, self.j, self.e, self.r, self.x, self.h)
        )
        kind = None if self.kind is None else self.kind.index_select(0, at)
        wind = None if self.wind is None else self.wind.index_select(0, at)
        return Pairs(i, j, e, r, x, h, self.n, kind, wind, self.species, self.scale, self.strain)

    # Both ends in one go: with some thousand pairs it is the number of operations that takes time.

    @cached_property
    def _ends(self) -> Tensor:
        return torch.cat([self.i, self.j])

    def at_ends(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """A quantity of the particles, shape (n, ...), at either end of each pair; shape (n_pairs, ...) each."""
        found = values.index_select(0, self._ends)
        at_i, at_j = found.reshape(2, self.i.shape[0], *values.shape[1:]).unbind(0)
        return at_i, at_j

    def difference(self, values: Tensor) -> Tensor:
        """At i less at j, shape (n_pairs, ...)."""
        at_i, at_j = self.at_ends(values)
        return at_i - at_j

    def relative_velocity(self, v: Tensor) -> Tensor:
        """v_i less the velocity of the image of j that i meets, shape (n_pairs, D)."""
        apart = self.difference(v)
        return apart if self.wind is None else apart - self.wind

    def total(self, values: Tensor) -> Tensor:
        """At i and at j together, shape (n_pairs, ...)."""
        at_i, at_j = self.at_ends(values)
        return at_i + at_j

    def sum_symmetric(self, values: Tensor) -> Tensor:
        """Sum over the pairs of each particle of a quantity equal for both ends; shape (n, ...)."""
        return self.sum_ends(values, values)

    def sum_antisymmetric(self, values: Tensor) -> Tensor:
        """Sum over the pairs of each particle of a quantity of opposite sign at j; shape (n, ...)."""
        return self.sum_ends(values, -values)

    def sum_ends(self, at_i: Tensor, at_j: Tensor) -> Tensor:
        """Sum over the pairs of each particle of a quantity that differs between the ends; shape (n, ...)."""
        out = at_i.new_zeros((self.n, *at_i.shape[1:]))
        return out.index_add(0, self._ends, torch.cat([at_i, at_j]))


def pair_kind(first: Labels, second: Labels) -> Labels:
    """Number of the unordered pair of two species: of (0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2), ..."""
    either, apart = first + second, abs(first - second)
    low, high = (either - apart) // 2, (either + apart) // 2
    return high * (high + 1) // 2 + low


def pair_geometry(
    positions: Tensor,
    index: Tensor,
    cutoff: float | Tensor,
    scale: Tensor,
    box: Tensor | None = None,
    species: Tensor | None = None,
    *,
    tilt: float | Tensor = 0.0,
    wind: float = 0.0,
) -> Pairs:
    """Distances and directions of given pairs at given positions, of which the nearest images meet.

    Parameters
    ----------
    positions : tensor, shape (n, D)
    index : int64 tensor, shape (2, n_pairs)
    cutoff : float
        Cutoff h for two particles of mean size.
    scale : tensor, shape (n,)
        Radius over mean radius.
    box : tensor, shape (D,), optional
        Periodic lengths; zero means open in that direction.
    species : int64 tensor, shape (n,), optional
        Label 0, 1, ... of each particle, where the laws are those of a mixture.
    tilt : float, or tensor without dimensions
    wind : float
        Displacement and velocity along x of an image one length of the box up along y (Lees-Edwards).

    References
    ----------
    Lees & Edwards, J. Phys. C 5, 1921 (1972).
    """
    i, j = index[0], index[1]
    offset = positions.index_select(0, i) - positions.index_select(0, j)
    blown = None
    if box is not None:
        length = torch.where(box > 0, box, torch.ones_like(box))
        if wind or isinstance(tilt, Tensor) or tilt:
            up = torch.round(offset[:, 1] / length[1])[:, None]
            along = torch.eye(len(box), dtype=offset.dtype, device=offset.device)[0]
            offset = offset - up * (tilt * along)
            blown = up * (wind * along) if wind else None
        offset = offset - torch.where(box > 0, box, torch.zeros_like(box)) * torch.round(offset / length)
    r = torch.linalg.vector_norm(offset, dim=1).clamp_min(1e-12)
    h = cutoff * 0.5 * (scale[i] + scale[j])
    x = (r / h).clamp_max(1.0)
    kind = None if species is None else pair_kind(species[i], species[j])
    return Pairs(
        i=i,
        j=j,
        e=offset / r[:, None],
        r=r,
        x=x,
        h=h,
        n=positions.shape[0],
        kind=kind,
        wind=blown,
        species=species,
        scale=scale,
    )

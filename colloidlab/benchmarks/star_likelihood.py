"""Likelihood of star polymers whose velocities are known: what every law is fitted to and judged by.

    v(t + dt) - v(t) ~ N(a(r, v) dt, C dt),   C the marginal covariance of the noise

with the mean acceleration a and C of the brackets. Velocities are exact here, and the step is that of the published
work, so that nothing has to be filtered. The entropy is not scored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.graph import find_pairs
from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.tensors import dot
from colloidlab.model.transition import inverse_and_logdet
from colloidlab.synthetic.star_polymers import StarMelt


@dataclass(frozen=True, eq=False)
class Snapshots:
    """Some frames of a melt as one graph, particle after particle.

    Attributes
    ----------
    index : int64 tensor, shape (2, n_pairs)
    r, v, v_next : tensor, shape (n_frames n, 3)
    box : tensor, shape (3,)
    cutoff, dt : float
    """

    index: Tensor
    r: Tensor
    v: Tensor
    v_next: Tensor
    box: Tensor
    cutoff: float
    dt: float

    def pairs(self) -> Pairs:
        """Distances and directions."""
        return pair_geometry(self.r, self.index, self.cutoff, torch.ones_like(self.r[:, 0]), self.box)


def take(
    melt: StarMelt, frames: Sequence[int], cutoff: float, dtype: torch.dtype = torch.float64
) -> Snapshots:
    """Frames of a melt, each with the velocities of the next one."""
    n = melt.r.shape[1]
    box = np.full(3, melt.box)
    parts = [find_pairs(melt.r[frame], cutoff, box=box) + n * k for k, frame in enumerate(frames)]
    chosen = np.asarray(frames)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.tensor(values.reshape(-1, 3), dtype=dtype)

    return Snapshots(
        index=torch.as_tensor(np.concatenate(parts, axis=1)),
        r=tensor(melt.r[chosen] % melt.box),
        v=tensor(melt.v[chosen]),
        v_next=tensor(melt.v[chosen + 1]),
        box=torch.full((3,), melt.box, dtype=dtype),
        cutoff=cutoff,
        dt=melt.dt,
    )


def log_likelihood(laws: Laws, snapshots: Snapshots, S: Tensor | None = None) -> Tensor:
    """ln p of the next velocity of every particle, nats; shape (n,).

    Parameters
    ----------
    laws : Laws
    snapshots : Snapshots
    S : tensor, shape (n,), optional
        Entropies [zero].
    """
    v = snapshots.v
    ev = brackets.evaluate(laws, snapshots.pairs(), torch.zeros_like(v[:, 0]) if S is None else S)
    jump = snapshots.v_next - v - snapshots.dt * brackets.acceleration(laws, ev, v)
    precision, logdet = inverse_and_logdet(snapshots.dt * brackets.velocity_noise(laws, ev))
    square = dot(jump, torch.einsum("nab,nb->na", precision, jump))
    return -0.5 * (square + logdet + v.shape[1] * math.log(2 * math.pi))

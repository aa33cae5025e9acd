"""The plan of a rollout as tensors of all its members: where they start, and where the prescribed particles are held."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from colloidlab.rollout.boundary import Plan, Starts, between
from colloidlab.rollout.state import State


class Prescription:
    """All members of a rollout side by side.

    Parameters
    ----------
    plan : Plan
    members : int
    like : tensor
        Of the precision and on the device of the rollout.
    starts : Starts, optional
        Of the members; without them all begin with the first row of the plan.

    Attributes
    ----------
    simulated : bool tensor, shape (members n,)
    scale : tensor, shape (members n,)
    member : int array, shape (members n,)
    """

    def __init__(self, plan: Plan, members: int, like: Tensor, starts: Starts | None = None) -> None:
        self.plan = plan
        self._starts = starts
        self.members = members
        self._like = like
        self.simulated = torch.as_tensor(np.tile(plan.simulated, members), device=like.device)
        self.scale = self.tile(plan.scale)
        self.member = np.repeat(np.arange(members), len(plan.particles))

    def tile(self, values: np.ndarray) -> Tensor:
        """The same for every member."""
        here = torch.as_tensor(values, dtype=self._like.dtype, device=self._like.device)
        return here.repeat(self.members, *[1] * (here.dim() - 1))

    def start(self) -> State:
        """Of the first frame."""
        if self._starts is not None:
            return self.given(self._starts.r, self._starts.v, self._starts.S)
        return State(r=self.tile(self.plan.r[0]), v=self.tile(self.plan.v[0]), S=self.tile(self.plan.S[0]))

    def given(self, r: np.ndarray, v: np.ndarray, S: np.ndarray) -> State:
        """A state from arrays of shape (members, n, ...)."""

        def flat(values: np.ndarray) -> Tensor:
            joined = values.reshape(-1, *values.shape[2:])
            return torch.as_tensor(joined, dtype=self._like.dtype, device=self._like.device)

        return State(flat(r), flat(v), flat(S))

    def hold(self, free: State, k: int, fraction: float) -> State:
        """The state with the prescribed particles where they are at time k + fraction."""
        r, v, S = (self.tile(values) for values in between(self.plan, k, fraction))
        mine = self.simulated
        return State(
            r=torch.where(mine[:, None], free.r, r),
            v=torch.where(mine[:, None], free.v, v),
            S=torch.where(mine, free.S, S),
        )

    def arrays(self, values: Tensor) -> np.ndarray:
        """A quantity of the particles as an array of shape (members, n, ...)."""
        shape = (self.members, len(self.plan.particles), *values.shape[1:])
        return values.detach().cpu().numpy().reshape(shape).copy()

"""The plan of a rollout as tensors of all its members: where they start, and where the prescribed particles are held."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.reference_state import ReferenceState, side_by_side
from colloidlab.errors import UsageError
from colloidlab.model.laws import Laws
from colloidlab.model.species import labels_for
from colloidlab.rollout.boundary import Plan, Starts, cubic
from colloidlab.rollout.neighbours import Neighbours
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
    species : int64 tensor, shape (members n,), or None
    member : int array, shape (members n,)
    """

    def __init__(self, plan: Plan, members: int, like: Tensor, starts: Starts | None = None) -> None:
        self.plan = plan
        self._starts = starts
        self.members = members
        self._like = like
        self.simulated = torch.as_tensor(np.tile(plan.simulated, members), device=like.device)
        self.scale = self.tile(plan.scale)
        self.species = (
            None
            if plan.species is None
            else torch.as_tensor(np.tile(plan.species, members), device=like.device)
        )
        self.member = np.repeat(np.arange(members), len(plan.particles))
        self._ends: tuple[int, State, State] | None = None

    def neighbours(self, laws: Laws, member: np.ndarray | None = None) -> Neighbours:
        """Of all members, for these laws.

        Parameters
        ----------
        laws : Laws
        member : int array, shape (members n,), optional
            Who meets whom, where that is not one member each.
        """
        return Neighbours(
            laws.cutoff,
            self.scale,
            member=self.member if member is None else member,
            box=self.plan.box,
            species=labels_for(laws, self.species),
            reference=None if laws.shear is None else self._reference(),
        )

    def _reference(self) -> ReferenceState:
        one = self.plan.reference
        if one is None:
            raise UsageError(
                "these are laws of a solid: the plan needs a `reference` state, as that of its recording"
            )
        found = side_by_side([one] * self.members, [len(self.plan.particles)] * self.members)
        return found.to(self._like.device, self._like.dtype)

    def tile(self, values: np.ndarray) -> Tensor:
        """The same for every member."""
        return self._repeat(torch.as_tensor(values, device=self._like.device))

    def _repeat(self, values: Tensor) -> Tensor:
        return values.to(self._like.dtype).repeat(self.members, *[1] * (values.dim() - 1))

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
        there, mine = between(*self._around(k), fraction), self.simulated
        return State(
            r=torch.where(mine[:, None], free.r, self._repeat(there.r)),
            v=torch.where(mine[:, None], free.v, self._repeat(there.v)),
            S=torch.where(mine, free.S, self._repeat(there.S)),
        )

    def traffic(self, k: int) -> bool:
        """Does anybody enter or leave with frame k + 1?"""
        there = np.isfinite(self.plan.S[k : k + 2, ~self.plan.simulated])
        return bool((there[0] != there[1]).any())

    def _around(self, k: int) -> tuple[State, State]:
        """Frames k and k + 1 of one member, which are brought to the device once for all steps between."""
        if self._ends is None or self._ends[0] != k:
            self._ends = (
                k,
                planned(self.plan, k, self._like.device),
                planned(self.plan, k + 1, self._like.device),
            )
        return self._ends[1], self._ends[2]

    def arrays(self, values: Tensor) -> np.ndarray:
        """A quantity of the particles as an array of shape (members, n, ...)."""
        shape = (self.members, len(self.plan.particles), *values.shape[1:])
        return values.detach().cpu().numpy().reshape(shape).copy()


def planned(plan: Plan, k: int, device: torch.device | None = None) -> State:
    """What a plan says of frame k, in double precision."""
    parts = (values[k] for values in (plan.r, plan.v, plan.S))
    return State(*(torch.as_tensor(part, dtype=torch.float64, device=device) for part in parts))


def between(here: State, there: State, fraction: float) -> State:
    """Prescribed positions, velocities and entropies a fraction, 0 < fraction <= 1, of the way from a frame to the next.

    Positions follow the cubic through the filtered positions and velocities of both frames; a particle that leaves before
    the next frame moves straight on until then; one that enters with it appears there.
    """
    s = fraction
    if s >= 1:
        return there
    r, v = cubic(here.r, there.r, here.v, there.v, s)
    leaves = torch.isfinite(here.S) & ~torch.isfinite(there.S)
    return State(
        r=torch.where(leaves[:, None], here.r + s * here.v, r),
        v=torch.where(leaves[:, None], here.v, v),
        S=torch.where(leaves, here.S, (1 - s) * here.S + s * there.S),
    )

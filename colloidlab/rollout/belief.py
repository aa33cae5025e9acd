"""Possible truths: states drawn from what a filter believes.

Filtered velocities and entropies are means of what may be the case, and means scatter less than the truth: <v^2> of the
truth is that of the means and the filter's variance. A rollout from the means begins too cold, and
members that all begin there are too much alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.recording import Recording
from colloidlab.model.filter import Filter
from colloidlab.model.filter_state import MATURE, FilterState
from colloidlab.model.sequence import WindowSource, fresh_state
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.boundary import Plan, Starts

_LEAD = 40
"""Frames that the filter runs before the first start, so that its covariance has settled."""


@dataclass(frozen=True)
class Belief:
    """The filter's state at a frame.

    Attributes
    ----------
    particles : int array, shape (n,)
        Sorted identities.
    state : FilterState
    inv_c : tensor, shape (n,)
        One over the heat capacity.
    """

    particles: np.ndarray
    state: FilterState
    inv_c: Tensor

    def known(self, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        """Who of a plan is simulated and in the filter's sight, as rows of the plan and of the belief."""
        at = np.minimum(np.searchsorted(self.particles, plan.particles), len(self.particles) - 1)
        there = plan.simulated & (self.particles[at] == plan.particles) & np.isfinite(plan.S[0])
        there &= self.state.age.numpy()[at] > 0
        return np.flatnonzero(there), at[there]

    def mature(self, plan: Plan) -> np.ndarray:
        """Is the start of a simulated particle known? Bool array over the particles of the plan."""
        rows, at = self.known(plan)
        found = np.zeros(len(plan.particles), dtype=bool)
        found[rows] = self.state.age.numpy()[at] >= MATURE
        return found


def follow_to(
    filter_: Filter, recording: Recording, frames: Sequence[int], monitor: Monitor = SILENT
) -> dict[int, Belief]:
    """What the filter believes at each of these frames, from a pass that begins some frames before the first."""
    if not frames:
        return {}
    first, last = max(recording.first, min(frames) - _LEAD), max(frames)
    window = WindowSource(recording, filter_.laws.cutoff)(first, min(last + 2, recording.stop))
    state, found = fresh_state(window), {}
    for k in range(last - first + 1):
        monitor.update("follow to the starts", k, last - first + 1)
        with torch.no_grad():
            result = filter_.step(state, window, k)
        if first + k in frames:
            inv_c = result.evaluation.thermo.inv_c.detach()
            found[first + k] = Belief(recording.particles[window.slot], result.filtered.detach(), inv_c)
        state = result.state.detach()
    return found


def draw_starts(plan: Plan, belief: Belief, seeds: Sequence[int]) -> Starts:
    """A start of its own for every member: simulated particles as sure as the filter is of them, the others as prescribed.

    Means are those of the plan, from the pass over the whole recording; covariances those of the belief.

    Parameters
    ----------
    plan : Plan
    belief : Belief
        At the plan's first frame.
    seeds : sequence of int
        One a member; a start depends only on its own.
    """
    chosen, at = belief.known(plan)
    rows = torch.as_tensor(at)
    mean = replace(
        FilterState(**{k: t[rows] for k, t in vars(belief.state).items()}),
        r=torch.as_tensor(plan.r[0, chosen]),
        v=torch.as_tensor(plan.v[0, chosen]),
        S=torch.as_tensor(plan.S[0, chosen]),
    )
    r, v, S = (np.stack([x[0]] * len(seeds)) for x in (plan.r, plan.v, plan.S))
    for m, seed in enumerate(seeds):
        drawn = draw_from(mean, belief.inv_c[rows], torch.Generator().manual_seed(seed))
        r[m, chosen], v[m, chosen], S[m, chosen] = (x.numpy() for x in (drawn.r, drawn.v, drawn.S))
    return Starts(r, v, S)


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

"""Entropy by a score filter: it moves along the gradient of ln p of the next position, and by the law.

| symbol | name |
|---|---|
| p, variance of ln T | `variance` |
| first p, I, Q | `prior`, `information`, `process` |

    S <- S + c clip(p c d ln p(y)/dS),    1/p <- 1/p + I,
    S <- S + dS/dt(r, v; <v v^T>) + Cov(S, v) Cov(v)^-1 (v corrected - v predicted),    p <- p + Q
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from colloidlab.dataset.windows import Window
from colloidlab.model import brackets
from colloidlab.model.entropy.encoder import EntropyEncoder
from colloidlab.model.entropy.inference import EntropyInference, StepOutcome, neighbour_mean
from colloidlab.model.filter_state import MATURE, FilterState
from colloidlab.model.pairs import Pairs
from colloidlab.model.tensors import dot, float64
from colloidlab.model.transition import inverse_and_logdet

_MAX_STEP = 0.3
"""Largest change of ln T by one observation."""

_LEAST_NOISE = 1e-8
"""Added to the variance of the kicks of a frame, in units of that of a thermal velocity: keeps its inverse finite."""


class ScoreFilter(EntropyInference):
    """What the motion tells about the entropy, frame after frame, and how fast it is forgotten.

    Parameters
    ----------
    prior, information, process : float
        First guesses of the variance of ln T of a particle just seen, of the information on ln T that a frame
        brings, and of the variance by which ln T changes in a frame beyond the law.
    initial : float
        Entropy of a particle none of whose neighbours is known yet.
    start : EntropyEncoder, optional
        Says the entropy of a particle until its predictions count, from which the score moves it; it stays as it
        is, and must speak of the same laws (`EntropyEncoder.translated`). Without one, the mean of the neighbours.
    """

    form = "filter"
    scored = True

    def __init__(
        self,
        prior: float = 0.06,
        information: float = 1.0,
        process: float = 3e-4,
        *,
        initial: float = 0.0,
        start: EntropyEncoder | None = None,
    ) -> None:
        super().__init__(initial)
        self.start = None if start is None else start.requires_grad_(False)
        self.log_values = nn.Parameter(torch.log(float64([prior, information, process])))

    @property
    def prior(self) -> Tensor:
        return self.log_values[0].exp()

    @property
    def information(self) -> Tensor:
        return self.log_values[1].exp()

    @property
    def process(self) -> Tensor:
        return self.log_values[2].exp()

    def first(self, state: FilterState, known: Tensor, window: Window, k: int) -> tuple[Tensor, Tensor]:
        S = neighbour_mean(state.S.detach(), known, window.pairs[k], window, self.initial)
        return S, self.prior.expand_as(state.variance)

    def at_frame(self, state: FilterState, pairs: Pairs, window: Window, k: int) -> Tensor:
        S = state.S
        if self.start is not None:
            # Velocities are known by and by, and so is what they say.
            young = state.age <= MATURE
            S = torch.where(young, self.start.at_frame(state, pairs, window, k).detach(), S)
        return S if S.requires_grad else S.detach().requires_grad_(True)

    def follow(self, step: StepOutcome) -> tuple[Tensor, Tensor]:
        assert step.score is not None
        before, ev, noise = step.before, step.evaluation, step.noise
        c = 1.0 / ev.thermo.inv_c.detach()
        variance = 1.0 / (1.0 / before.variance.clamp_min(1e-12) + self.information)
        S = before.S + c * (variance * c * step.score).clamp(-_MAX_STEP, _MAX_STEP)
        rate = brackets.entropy_rate(step.laws, ev, before.v, velocity_variance=before.vv)
        vS = brackets.velocity_entropy_covariance(step.laws, ev, before.v)
        # An isolated particle has no noise to condition on.
        eye = torch.eye(noise.shape[1], dtype=noise.dtype, device=noise.device)
        least = _LEAST_NOISE * step.laws.k_B / step.laws.mass * ev.thermo.T.detach()
        surprise = step.corrected_v - step.predicted_v
        precision = inverse_and_logdet(noise + least[:, None, None] * eye)[0]
        kick = torch.einsum("nab,nb->na", precision, surprise)
        limit = _MAX_STEP * c
        S = S + torch.clamp(rate + dot(vS, kick), -limit, limit)
        # Where neighbours are out of view the law cannot be followed: entropy stays near that of the neighbours.
        complete = step.window.complete[step.k]
        index = torch.stack([ev.pairs.i, ev.pairs.j])
        known = complete & (before.age > 0)
        nearby = neighbour_mean(before.S.detach(), known, index, step.window, self.initial)
        S = torch.where(complete, S, 0.9 * before.S + 0.1 * nearby)
        return S, torch.where(complete, variance + self.process, before.variance)

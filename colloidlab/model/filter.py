"""Following hidden velocities through noisy positions.

Per particle, position and velocity are estimated by a Kalman filter whose drift and noise are the law's own; entropies
come from one of the forms of `entropy`. Only positions are scored, never an inferred entropy, because the
likelihood of a learned hidden variable has no minimum.

One step from frame t to t + 1, in units of the frame interval:

1. ask for the entropies of the frame, evaluate the laws at the filtered positions and predict r and v by the time
   series of the linearised motion: with less, curvature of the path would stay in the innovation and be taken for noise;
2. the covariance follows the exact motion of an oscillator with the particle's own
   stiffness and friction, driven by its own noise, which yields the (2/3, 1/6) correlation of
   sampled white forcing;
3. the innovation y - r has that covariance plus sigma^2: its log-density is the likelihood;
4. r and v move by the Kalman gain;
5. the entropy follows, by what the step has shown.

Neighbours enter through their filtered means; correlations between particles are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from colloidlab.dataset.windows import Window
from colloidlab.model import brackets
from colloidlab.model.entropy import EntropyInference, StepOutcome
from colloidlab.model.filter_state import MATURE, FilterState
from colloidlab.model.laws import Laws
from colloidlab.model.localisation import FittedError
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.reference import ReferenceInView
from colloidlab.model.response import LinearResponse
from colloidlab.model.species import labels_for
from colloidlab.model.strain import measure_strain
from colloidlab.model.tensors import dot, each
from colloidlab.model.transition import inverse_and_logdet, oscillator_transition, symmetric

_LEAST_SIGMA2 = 1e-15
"""Variance added to every localisation error, in squares of the cutoff: keeps exact positions of particles at rest
finite."""

_LARGEST_SIGMA2 = 0.1
"""Variance with which a particle is believed to be where it is first seen, in squares of the cutoff, at the most."""

_ORDER = 5
"""Terms of the series in time of a particle's mean motion: relative velocities of a pair may decay twice as fast as those
of a particle among neighbours at rest, and with the second term alone friction came out several per cent too high."""

_RATE = 1.0
"""A frame up to which the series is exact to .4 % of what is left of a velocity: so little that derivatives with the
parameters, on which the number of parts depends, do not see it change. Beyond three it diverges."""
_MOST_PARTS = 16
"""Of a frame: laws that need more are none of this recording."""


@dataclass(frozen=True)
class StepResult:
    """Outcome of one step.

    Attributes
    ----------
    state : FilterState
        At the next frame.
    filtered : FilterState
        At this frame, particles that have just come into view included.
    evaluation : brackets.Evaluation
    loglik : tensor, shape (n,)
        ln p(y_{t+1} | past) in nats for px^-2; zero where nothing was observed.
    counted : bool tensor, shape (n,)
        Whose `loglik` belongs in the objective: interior, mature, observed, and with a neighbour in reach.
    """

    state: FilterState
    filtered: FilterState
    evaluation: brackets.Evaluation
    loglik: Tensor
    counted: Tensor


class Filter:
    """A law with the settings of its inference.

    Parameters
    ----------
    laws : Laws
    inference : EntropyInference
        Where entropies come from.
    velocity_variance : float
        Prior variance of a velocity component of a particle just seen, (px/frame)^2.
    error : LocalisationError or ErrorScale, optional
        What is fitted of the localisation errors; without it those that the recording states are new in every frame.

    """

    def __init__(
        self,
        laws: Laws,
        inference: EntropyInference,
        velocity_variance: float,
        error: FittedError | None = None,
    ) -> None:
        self.laws = laws
        self.inference = inference
        self.velocity_variance = velocity_variance
        self.error = error
        self._reference = ReferenceInView()

    def step(self, state: FilterState, window: Window, k: int, *, training: bool = False) -> StepResult:
        """From frame k to frame k + 1 of a window.

        Parameters
        ----------
        training : bool
            Keep the graph of the laws for a later backward pass.
        """
        state = self._meet(state, window, k)
        inference, complete = self.inference, window.complete[k]
        with torch.set_grad_enabled(training or inference.scored):
            species = labels_for(self.laws, window.species)
            pairs = pair_geometry(
                state.r, window.pairs[k], self.laws.cutoff, window.scale, window.box, species
            )
            if self.laws.shear is not None:
                reference = self._reference.among(window, k)
                pairs = replace(pairs, strain=measure_strain(reference, state.r))
            S = inference.at_frame(state, pairs, window, k)
            ev = self._evaluate(pairs, S, window, k)
            vv = brackets.velocity_noise(self.laws, ev)
            predicted = self._predict(state, S, ev, vv)
            innovation = window.positions[k + 1] - predicted.r
            covariance = predicted.rr + torch.diag_embed(self.localisation_variance(window)[k + 1])
            precision, logdet = inverse_and_logdet(covariance)
            whitened = torch.einsum("nab,nb->na", precision, innovation)
            dim = innovation.shape[1]
            loglik = -0.5 * (dot(innovation, whitened) + logdet + dim * _LOG_2PI)
            follows = window.present[k] & window.present[k + 1]
            # Without a neighbour there is no noise: the law says nothing about such a particle.
            touching = ev.pairs.sum_symmetric((ev.pairs.x < 1).to(S.dtype)) > 0
            if self.laws.bath is not None:
                touching = torch.ones_like(touching)
            scored = follows & window.observed[k + 1] & (state.age >= MATURE)
            loglik = torch.where(scored, loglik, torch.zeros_like(loglik))
            counted = scored & touching & window.interior[k] & window.interior[k + 1]
            score = None
            if inference.scored:
                # Every complete neighbourhood informs, also in the boundary zone that is not in the objective.
                informing = scored & complete
                (score,) = torch.autograd.grad(loglik[informing].sum(), S, retain_graph=True)
        filtered = replace(state, S=S)
        with torch.set_grad_enabled(training):
            updated = self._correct(predicted, covariance, precision, whitened)
            entropy, variance = inference.follow(
                StepOutcome(self.laws, filtered, ev, predicted.v, updated.v, vv, score, window, k)
            )
            age = torch.where(follows, state.age + 1, torch.zeros_like(state.age))
            updated = replace(updated, S=entropy, variance=variance, age=age)
        return StepResult(updated, filtered, ev, loglik, counted)

    def _evaluate(self, pairs: Pairs, S: Tensor, window: Window, k: int) -> brackets.Evaluation:
        complete, present = window.complete[k], window.present[k]
        if bool((complete | ~present).all()):
            return brackets.evaluate(self.laws, pairs, S)

        def volume(density: Tensor) -> Tensor:
            """Neighbours beyond the edge of the view are not seen: such particles get the mean density of the others."""
            seen = density.detach()
            somewhere = window.mean(seen, present, seen.new_ones(()))
            return 1.0 / torch.where(complete, density, window.mean(seen, complete, somewhere))

        return brackets.evaluate(self.laws, pairs, S, volume=volume)

    def localisation_variance(self, window: Window) -> Tensor:
        """Variance of the localisation error that is new in every frame, px^2, shape (n_frames, n, D)."""
        stated = window.sigma2 + _LEAST_SIGMA2 * self.laws.cutoff**2
        return stated if self.error is None else self.error.of(stated)

    def _meet(self, state: FilterState, window: Window, k: int) -> FilterState:
        """Start following particles that have just come into view."""
        new = window.present[k] & (state.age == 0)
        if not bool(new.any()):
            return state
        S_new, variance = self.inference.first(state, window.present[k] & ~new, window, k)
        eye = torch.eye(state.r.shape[1], dtype=state.r.dtype, device=state.r.device)
        one, two = new[:, None], new[:, None, None]
        lighter = self.laws.mass_of(window) / self.laws.mass
        first = self.localisation_variance(window)[k].clamp_max(_LARGEST_SIGMA2 * self.laws.cutoff**2)
        return FilterState(
            r=torch.where(one, window.positions[k], state.r),
            v=torch.where(one, torch.zeros_like(state.v), state.v),
            rr=torch.where(two, torch.diag_embed(first), state.rr),
            rv=torch.where(two, torch.zeros_like(state.rv), state.rv),
            vv=torch.where(two, self.velocity_variance * eye / each(lighter, state.vv), state.vv),
            S=torch.where(new, S_new, state.S),
            variance=torch.where(new, variance, state.variance),
            age=torch.where(new, torch.ones_like(state.age), state.age),
        )

    def _predict(self, state: FilterState, S: Tensor, ev: brackets.Evaluation, vv: Tensor) -> FilterState:
        mass = self.laws.mass_of(ev.pairs)
        linear = LinearResponse(self.laws, ev)
        stiffness = linear.mean_self_stiffness() / mass
        friction = linear.mean_self_friction() / mass
        # Outside these bounds one frame is too coarse to follow the motion, and the series would not converge.
        t = oscillator_transition(stiffness.clamp(-1.0, 4.0), friction.clamp(0.0, 4.0), 1.0)
        r, v = self._advance(state, ev, linear)
        rr_, rv_, vr_, vv_, q_rr, q_rv, q_vv = (x[:, None, None] for x in t)
        cross = state.rv + state.rv.transpose(1, 2)
        return replace(
            state,
            S=S,
            r=r,
            v=v,
            rr=rr_**2 * state.rr + rr_ * rv_ * cross + rv_**2 * state.vv + q_rr * vv,
            rv=rr_ * vr_ * state.rr
            + rr_ * vv_ * state.rv
            + rv_ * vr_ * state.rv.transpose(1, 2)
            + rv_ * vv_ * state.vv
            + q_rv * vv,
            vv=vr_**2 * state.rr + vr_ * vv_ * cross + vv_**2 * state.vv + q_vv * vv,
        )

    def _advance(
        self, state: FilterState, ev: brackets.Evaluation, linear: LinearResponse
    ) -> tuple[Tensor, Tensor]:
        """Mean position and velocity one frame on, shape (n, D).

        The time series of the motion with force, its gradient and friction as they are at the start of the frame; in
        parts of a frame where two particles are so near each other that it would not converge.
        """
        mass, first = (
            each(self.laws.mass_of(ev.pairs), state.v),
            brackets.acceleration(self.laws, ev, state.v),
        )
        rate = linear.fastest_rate()
        # What is no number is found by whoever looks at the likelihood.
        parts = min(max(math.ceil(rate / _RATE), 1), _MOST_PARTS) if math.isfinite(rate) else 1
        dt, r, v, derivative = 1.0 / parts, state.r, state.v, first
        for part in range(parts):
            if part:
                derivative = first + linear.force(r - state.r, v - state.v) / mass
            before, r = v, r + v * dt + derivative * dt**2 / 2
            v = v + derivative * dt
            for order in range(2, _ORDER + 1):
                before, derivative = derivative, linear.force(before, derivative) / mass
                v = v + derivative * dt**order / math.factorial(order)
                r = r + derivative * dt ** (order + 1) / math.factorial(order + 1)
        return r, v

    @staticmethod
    def _correct(
        predicted: FilterState, covariance: Tensor, precision: Tensor, whitened: Tensor
    ) -> FilterState:
        vr = predicted.rv.transpose(1, 2)
        gain_r = predicted.rr @ precision
        gain_v = vr @ precision
        return replace(
            predicted,
            r=predicted.r + torch.einsum("nab,nb->na", predicted.rr, whitened),
            v=predicted.v + torch.einsum("nab,nb->na", vr, whitened),
            rr=symmetric(predicted.rr - gain_r @ predicted.rr),
            rv=predicted.rv - gain_r @ predicted.rv,
            vv=symmetric(predicted.vv - gain_v @ predicted.rv),
        )


_LOG_2PI = 1.8378770664093453

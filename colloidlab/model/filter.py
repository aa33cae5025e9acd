"""Following hidden velocity and entropy through noisy positions.

Per particle, position and velocity are estimated by a Kalman filter whose drift and noise are
the law's own, and the entropy by a score filter: S moves along the gradient of the log-likelihood of
the next position. Only positions are scored, never an inferred entropy, because the
likelihood of a learned hidden variable has no minimum.

One step from frame t to t + 1, in units of the frame interval:

1. evaluate the laws at the filtered positions and predict r and v to third order in time: with less, curvature of
   the path would stay in the innovation and be taken for noise;
2. the covariance follows the exact motion of an oscillator with the particle's own
   stiffness and friction, driven by its own noise, which yields the (2/3, 1/6) correlation of
   sampled white forcing;
3. the innovation y - r has that covariance plus sigma^2: its log-density is the likelihood;
4. S moves by P c^2 d log p/dS, then r, v by the Kalman gain;
5. S follows the law: friction heat (with the uncertainty of v), conduction, Itô terms, and what the observed
   kick of v tells through Cov(S, v).

Neighbours enter through their filtered means; correlations between particles are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from colloidlab.dataset.windows import Window
from colloidlab.model import brackets, response
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.tensors import dot, float64
from colloidlab.model.transition import inverse_and_logdet, oscillator_transition, symmetric

MATURE = 4
"""Frames that a particle must have been followed before its predictions are scored."""

_SIGMA2_FLOOR = 1e-12
"""Variance added to every localisation error, px^2: keeps exact positions of particles at rest finite."""

_LEAST_SIGMA = 1e-4
"""Where the search for an unknown localisation error begins at the least, px."""

_MAX_STEP = 0.3
"""Largest change of ln T by one observation."""


class EntropyGain(nn.Module):
    """How fast the entropy filter forgets: prior variance, information per frame and process noise of ln T."""

    def __init__(self, prior: float = 0.06, information: float = 1.0, process: float = 3e-4) -> None:
        super().__init__()
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


class LocalisationError(nn.Module):
    """One localisation error for all, px, where the recording states none: fitted like the laws."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.log(float64(max(sigma, _LEAST_SIGMA))))

    @property
    def variance(self) -> Tensor:
        return (2 * self.log_sigma).exp()


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


class Filter:
    """A law with the settings of its inference.

    Parameters
    ----------
    laws : Laws
    gain : EntropyGain or None
        None keeps every entropy where it starts (isothermal).
    velocity_variance : float
        Prior variance of a velocity component of a particle just seen, (px/frame)^2.
    initial_entropy : float
        Entropy of a particle none of whose neighbours is known yet.
    error : LocalisationError, optional
        Adds to the errors that the recording states.
    """

    def __init__(
        self,
        laws: Laws,
        gain: EntropyGain | None,
        velocity_variance: float,
        initial_entropy: float = 0.0,
        error: LocalisationError | None = None,
    ) -> None:
        self.laws = laws
        self.gain = gain
        self.velocity_variance = velocity_variance
        self.initial_entropy = initial_entropy
        self.error = error

    def step(self, state: FilterState, window: Window, k: int, *, training: bool = False) -> StepResult:
        """From frame k to frame k + 1 of a window.

        Parameters
        ----------
        training : bool
            Keep the graph of the laws for a later backward pass.
        """
        index = window.pairs[k]
        state = self._meet(state, window, k, index)
        S = state.S
        if self.gain is not None and not S.requires_grad:
            S = S.detach().requires_grad_(True)
        with torch.set_grad_enabled(training or self.gain is not None):
            ev = self._evaluate(state, S, window, k, index)
            vv = brackets.velocity_noise(self.laws, ev)
            predicted = self._predict(state, S, ev, vv)
            innovation = window.positions[k + 1] - predicted.r
            covariance = predicted.rr + torch.diag_embed(self._sigma2(window, k + 1))
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
            if self.gain is not None:
                # Every complete neighbourhood informs, also in the boundary zone that is not in the objective.
                informing = scored & window.complete[k]
                (score,) = torch.autograd.grad(loglik[informing].sum(), S, retain_graph=True)
        with torch.set_grad_enabled(training):
            updated = self._correct(predicted, covariance, precision, whitened)
            if self.gain is not None and score is not None:
                updated = self._follow_entropy(
                    replace(state, S=S), updated, predicted, ev, vv, score, window, k
                )
            age = torch.where(follows, state.age + 1, torch.zeros_like(state.age))
            updated = replace(updated, age=age)
        return StepResult(updated, replace(state, S=S), ev, loglik, counted)

    def _evaluate(
        self, state: FilterState, S: Tensor, window: Window, k: int, index: Tensor
    ) -> brackets.Evaluation:
        pairs = pair_geometry(state.r, index, self.laws.cutoff, window.scale, window.box)
        complete, present = window.complete[k], window.present[k]
        if bool((complete | ~present).all()):
            return brackets.evaluate(self.laws, pairs, S)
        # Neighbours beyond the edge of the view are not seen: such particles get the mean density of the others.
        density = self.laws.kernel.at_zero().detach() + pairs.sum_symmetric(
            self.laws.kernel(pairs.x, *pairs.arguments).w.detach()
        )
        somewhere = window.mean(density, present, density.new_ones(()))
        mean = window.mean(density, complete, somewhere)
        volume = torch.where(complete, torch.full_like(density, float("nan")), 1.0 / mean)
        return brackets.evaluate(self.laws, pairs, S, volume=volume)

    def _sigma2(self, window: Window, k: int) -> Tensor:
        """Variance of the localisation error in frame k, shape (n, D)."""
        stated = window.sigma2[k] + _SIGMA2_FLOOR
        return stated if self.error is None else stated + self.error.variance

    def _meet(self, state: FilterState, window: Window, k: int, index: Tensor) -> FilterState:
        """Start following particles that have just come into view."""
        new = window.present[k] & (state.age == 0)
        if not bool(new.any()):
            return state
        known = window.present[k] & ~new
        S_new = self._neighbour_mean(state.S, known, index, window)
        eye = torch.eye(state.r.shape[1], dtype=state.r.dtype, device=state.r.device)
        one, two = new[:, None], new[:, None, None]
        prior = (
            torch.zeros_like(state.variance)
            if self.gain is None
            else self.gain.prior.expand_as(state.variance)
        )
        return FilterState(
            r=torch.where(one, window.positions[k], state.r),
            v=torch.where(one, torch.zeros_like(state.v), state.v),
            rr=torch.where(two, torch.diag_embed(self._sigma2(window, k).clamp_max(1e2)), state.rr),
            rv=torch.where(two, torch.zeros_like(state.rv), state.rv),
            vv=torch.where(two, self.velocity_variance * eye, state.vv),
            S=torch.where(new, S_new, state.S),
            variance=torch.where(new, prior, state.variance),
            age=torch.where(new, torch.ones_like(state.age), state.age),
        )

    def _neighbour_mean(self, S: Tensor, known: Tensor, index: Tensor, window: Window) -> Tensor:
        """Mean entropy of the known neighbours, else of all known of the stretch, else the initial entropy."""
        S = S.detach()
        overall = window.mean(S, known, S.new_tensor(self.initial_entropy))
        weight = known.to(S.dtype)
        total, count = torch.zeros_like(S), torch.zeros_like(S)
        for a, b in ((0, 1), (1, 0)):
            total = total.index_add(0, index[a], (weight * S)[index[b]])
            count = count.index_add(0, index[a], weight[index[b]])
        return torch.where(count > 0, total / count.clamp_min(1), overall)

    def _predict(self, state: FilterState, S: Tensor, ev: brackets.Evaluation, vv: Tensor) -> FilterState:
        mass = self.laws.mass
        stiffness = response.mean_self_stiffness(ev) / mass
        friction = response.mean_self_friction(self.laws, ev) / mass
        # Outside these bounds one frame is too coarse to follow the motion, and the series would not converge.
        t = oscillator_transition(stiffness.clamp(-1.0, 4.0), friction.clamp(0.0, 4.0), 1.0)
        a = brackets.acceleration(self.laws, ev, state.v)
        jerk = (response.force_rate(ev, state.v) + brackets.friction_force(ev, a)) / mass
        rr_, rv_, vr_, vv_, q_rr, q_rv, q_vv = (x[:, None, None] for x in t)
        cross = state.rv + state.rv.transpose(1, 2)
        return replace(
            state,
            S=S,
            r=state.r + state.v + a / 2 + jerk / 6,
            v=state.v + a + jerk / 2,
            rr=rr_**2 * state.rr + rr_ * rv_ * cross + rv_**2 * state.vv + q_rr * vv,
            rv=rr_ * vr_ * state.rr
            + rr_ * vv_ * state.rv
            + rv_ * vr_ * state.rv.transpose(1, 2)
            + rv_ * vv_ * state.vv
            + q_rv * vv,
            vv=vr_**2 * state.rr + vr_ * vv_ * cross + vv_**2 * state.vv + q_vv * vv,
        )

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

    def _follow_entropy(
        self,
        before: FilterState,
        after: FilterState,
        predicted: FilterState,
        ev: brackets.Evaluation,
        vv: Tensor,
        score: Tensor,
        window: Window,
        k: int,
    ) -> FilterState:
        assert self.gain is not None
        complete = window.complete[k]
        c = 1.0 / ev.thermo.inv_c.detach()
        variance = 1.0 / (1.0 / before.variance.clamp_min(1e-12) + self.gain.information)
        S = before.S + c * (variance * c * score).clamp(-_MAX_STEP, _MAX_STEP)
        rate = brackets.entropy_rate(self.laws, ev, before.v, velocity_variance=before.vv)
        vS = brackets.velocity_entropy_covariance(self.laws, ev, before.v)
        # An isolated particle has no noise to condition on.
        eye = torch.eye(vv.shape[1], dtype=vv.dtype, device=vv.device)
        kick = torch.einsum("nab,nb->na", inverse_and_logdet(vv + 1e-9 * eye)[0], after.v - predicted.v)
        limit = _MAX_STEP * c
        S = S + torch.clamp(rate + dot(vS, kick), -limit, limit)
        # Where neighbours are out of view the law cannot be followed: entropy stays near that of the neighbours.
        known = complete & (before.age > 0)
        index = torch.stack([ev.pairs.i, ev.pairs.j])
        S = torch.where(
            complete, S, 0.9 * before.S + 0.1 * self._neighbour_mean(before.S, known, index, window)
        )
        variance = torch.where(complete, variance + self.gain.process, before.variance)
        return replace(after, S=S, variance=variance)


_LOG_2PI = 1.8378770664093453

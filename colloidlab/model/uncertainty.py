"""How well the parameters of a fitted law are known: Laplace approximation from scores of single particles.

The likelihood of a filter is a product of predictions, so the score of each particle in each frame (derivative of its
ln p with the parameters) is zero on average given the past, and a sum of squares of scores is a consistent estimate of
Fisher's information. With hundreds of particles a few frames suffice; no second derivative is needed.

| symbol | name | meaning |
|---|---|---|
| g_ik | scores | derivative of ln p of particle i in frame k, whole past of the filter included |
| H = sum g_ik g_ik^T | information | curvature of the log-likelihood |
| J = sum g_ik (g_ik + sum_j g_jk)^T | variation | variance of the summed score; neighbours j share a kick |
| phi >= 1 | overdispersion | how much more stretches scatter than J says; outliers have their own |
| G | gradient | summed score, less what it is expected to be |
| d = (H + 1)^-1 G | shift | Newton's step to the optimum |

    Cov = phi (H + 1)^-1 (J + 1) (H + 1)^-1 + d d^T

The 1 is a prior: no parameter, all of which are logarithms, exponents or coefficients of them, is more than
about one from its value. The filter's likelihood is approximate and its score not zero on average. Where the expected
score has been found by simulation (`rollout.indirect`), from s times as many predictions as there are data, there is no
likelihood to climb but an equation to solve: G = H d up to a scatter of variance phi (1 + 1/s) J, which weighs against the
prior around the values theta_0 of the likelihood's own optimum:

    L = H (phi (1 + 1/s) J + 1)^-1 H,    d = (L + 1)^-1 [H (phi (1 + 1/s) J + 1)^-1 G - (theta - theta_0)]
    Cov = (L + 1)^-1 + d d^T

What hardly shows in the scores but scatters in them, such as conduction, stays where the likelihood left it; Newton's steps
would chase its scatter round after round. Included: finite data, momentum shared by neighbours, an unfinished optimisation.
Not included: that the true function is none of the class, errors of cutoff, radii and sigma, and the choice between laws.

The likelihood of a fit that is far from its optimum is no parabola, and d is then too long: bands are too wide rather
than too narrow. A fit with enough steps has d within the rest.

References
----------
White, Econometrica 50, 1 (1982), the sandwich; Hansen, Econometrica 50, 1029 (1982), equations weighed by their scatter;
Varin, Reid & Firth, Statistica Sinica 21, 5 (2011), products of marginal likelihoods; McCullagh & Nelder, Generalized Linear
Models (1989), overdispersion.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat

import torch
from torch import Tensor

from colloidlab.dataset.split import Split
from colloidlab.model.filter import Filter
from colloidlab.model.scores import (
    Stretch,
    join_stretches,
    read_values,
    single_scores,
    stretch_score,
    training_stretches,
)
from colloidlab.model.sequence import WindowSource
from colloidlab.progress import SILENT, Monitor

_STRETCHES = 2
_STRETCH_FRAMES = 13
_PARTS = 4
"""Of the training block, at the least, from whose scatter the overdispersion is found."""
TRUST = 0.7
"""Largest change of a parameter in one step; all are logarithms, exponents or coefficients of them."""
_STRONGEST, _BISECTIONS = math.log(1e8), 30
"""Logarithm of the precision of a prior with which nothing moves, and how closely one is found that lets enough move."""
_ROUNDING = 1e-13
"""Of the largest eigenvalue; smaller ones are numerical noise."""
_APART = 5.0
"""Times the median scatter: of directions that are alike one in a hundred exceeds it in four windows, one in two thousand
in seven."""


@dataclass(frozen=True)
class ExpectedScore:
    """The score that motion made by the laws themselves has on average.

    Attributes
    ----------
    mean : tensor, shape (p + 1,)
        Per prediction; the last component is that of a shift of all entropies.
    count : float
        Number of predictions that it was found from.
    """

    mean: Tensor
    count: float


Expectation = Callable[[Filter, list[Stretch]], ExpectedScore]


@dataclass(frozen=True)
class Uncertainty:
    """Covariance of the parameters of a law, and what a typical state does when they change.

    Attributes
    ----------
    covariance : tensor, shape (p, p)
        Of the fitted parameters, one after the other in the order of `scores.fitted_parameters`.
    entropy_response : tensor, shape (p,)
        Change of the mean filtered entropy with each parameter: the filter holds on to the noise that it sees, so that
        another law gives the same particles another temperature.
    log_volume_response : tensor, shape (p,)
        Change of the mean ln V with each parameter at fixed positions.
    overdispersion : float
    shift : tensor, shape (p,)
        d: Newton's step to the optimum of the training likelihood, or to the law of which the data have the expected score.
    nearest : float
        Reduced distance r/h nearer than which 0.5 % of the interacting pairs are: laws are guesses there.
    distance : float
        G^T (H + 1)^-1 G, twice the log-likelihood by which the optimum is away; with an expected score
        G^T (phi (1 + 1/s) J + 1)^-1 G + |theta - theta_0|^2. About p, or less, where nothing is left to gain.
    step : tensor, shape (p,), optional
        Towards d, as far as laws may be trusted to change in one go: a stronger prior around the present values.
    """

    covariance: Tensor
    entropy_response: Tensor
    log_volume_response: Tensor
    overdispersion: float
    shift: Tensor
    nearest: float
    distance: float = 0.0
    step: Tensor | None = None

    def cpu(self) -> Uncertainty:
        """The same in the computer's own memory."""
        return replace(
            self,
            covariance=self.covariance.cpu(),
            entropy_response=self.entropy_response.cpu(),
            log_volume_response=self.log_volume_response.cpu(),
            shift=self.shift.cpu(),
            step=None if self.step is None else self.step.cpu(),
        )


def estimate_uncertainty(
    filter_: Filter,
    windows: WindowSource,
    split: Split,
    monitor: Monitor = SILENT,
    *,
    stretches: int = _STRETCHES,
    stretch_frames: int = _STRETCH_FRAMES,
    expectation: Expectation | None = None,
    anchor: Tensor | None = None,
) -> Uncertainty:
    """Covariance of the fitted parameters from the training block; see the head of this module.

    Parameters
    ----------
    filter_ : Filter
        With the fitted laws, whose free parameters require a gradient.
    windows : WindowSource
    split : Split
    stretches, stretch_frames : int
        Stretches of the training block in which single scores are taken, and their length; one short one will do for
        a step.
    expectation : callable, optional
        Gives the expected score; zero without it.
    anchor : tensor, shape (p,), optional
        theta_0, where there is an expected score [the present values].
    """
    block = training_stretches(filter_, windows, split, monitor)
    scores, counts = _block_scores(filter_, join_stretches(block, _PARTS), monitor)
    chosen = sorted({round((j + 0.5) * len(block) / stretches - 0.5) for j in range(stretches)})
    found = []
    for n, w in enumerate(chosen):
        monitor.update("uncertainty, scores", n, len(chosen))
        found.append(single_scores(filter_, block[w], stretch_frames))
    monitor.update("uncertainty, scores", len(chosen), len(chosen))
    total = float(counts.sum())
    scale = total / max(sum(s.count for s in found), 1.0)
    information, variation = (
        scale * sum(m) for m in zip(*((s.information, s.variation) for s in found), strict=True)
    )
    gradient, share = scores.sum(0), 0.0
    if expectation is not None:
        expected = expectation(filter_, block)
        gradient, share = gradient - total * expected.mean, total / max(expected.count, 1.0)
    response = _entropy_response(information)
    one = torch.eye(len(response), dtype=response.dtype, device=response.device)
    extend = torch.cat([one, response[:, None]], dim=1)
    information, variation = (extend @ m @ extend.T for m in (information, variation))
    scores, gradient = scores @ extend.T, extend @ gradient
    spread, inflated = _overdispersion(scores, counts, variation / total)
    step = None
    if expectation is None:
        inside, shift = _sandwich(information, total * inflated, gradient)
        inside, distance = spread * inside, float(gradient @ shift)
    else:
        here = read_values(filter_)
        pull = torch.zeros_like(gradient) if anchor is None else here.to(gradient) - anchor.to(gradient)
        weighed = _weigh(information, spread * (1 + share) * total * inflated, gradient, pull)
        inside, shift, distance = weighed.covariance(), weighed.shift(), weighed.distance
        step = weighed.step()
    return Uncertainty(
        covariance=inside + torch.outer(shift, shift),
        entropy_response=response,
        log_volume_response=torch.stack([s.log_volume for s in found]).mean(0),
        overdispersion=spread,
        shift=shift,
        nearest=min(s.nearest for s in found),
        distance=distance,
        step=step,
    )


def _block_scores(filter_: Filter, block: list[Stretch], monitor: Monitor) -> tuple[Tensor, Tensor]:
    """Summed score of every part of the block, shape (n_parts, p + 1), and the numbers of predictions."""
    scores, counts = [], []
    # Small operations, many of them: threads help across the stretches, not inside of one.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for score, count in monitor.track(
            pool.map(stretch_score, repeat(filter_), block), "uncertainty, stretches", len(block)
        ):
            scores.append(score)
            counts.append(count)
    block_scores = torch.stack(scores)
    return block_scores, block_scores.new_tensor(counts)


def _entropy_response(information: Tensor) -> Tensor:
    """Common change of all entropies that undoes most of what a parameter does, shape (p,).

    The filter follows the level of entropy, so that it is fitted along with the laws, window by window. What laws gain
    by shifting it, they have not been told by the data.
    """
    level = information[-1, -1]
    return -information[:-1, -1] / level if float(level) > 0 else torch.zeros_like(information[:-1, -1])


def _overdispersion(scores: Tensor, counts: Tensor, variation: Tensor) -> tuple[float, Tensor]:
    """Scatter of the scores of whole windows over what independent frames would give; 1 at least.

    A rare event, such as one close encounter, may have a score in one direction that outweighs all others together.
    That says nothing of the other directions: what scatters several times as much as they do is told apart.

    Parameters
    ----------
    scores : tensor, shape (n_windows, p)
    counts : tensor, shape (n_windows,)
        Number of predictions in each.
    variation : tensor, shape (p, p)
        Variance of the score of one prediction.

    Returns
    -------
    phi : float
        Of all directions that scatter alike.
    inflated : tensor, shape (p, p)
        `variation`, with directions apart larger by as much as they scatter beyond phi.
    """
    used = counts > 0.5 * counts.max()
    scores, counts = scores[used], counts[used]
    if len(counts) < 3:
        return 1.0, variation
    centred = (scores - counts[:, None] * (scores.sum(0) / counts.sum())) / counts[:, None].sqrt()
    values, vectors = torch.linalg.eigh(variation)
    # Directions that the data do not see hold numerical noise only.
    seen = values > 1e-6 * values.max()
    white = centred @ vectors[:, seen] / values[seen].sqrt()
    ratio = (white**2).sum(0) / (len(counts) - 1)
    alike = ratio <= _APART * ratio.median()
    phi = max(1.0, float(ratio[alike].mean()))
    excess = torch.where(alike, torch.ones_like(ratio), (ratio / phi).clamp_min(1.0))
    own = vectors[:, seen]
    return phi, variation + (own * (values[seen] * (excess - 1))) @ own.T


def _sandwich(information: Tensor, variation: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance (H + 1)^-1 (J + 1) (H + 1)^-1 and Newton's step (H + 1)^-1 G.

    Along directions in which J is many times H the gradient is mostly chance, and the step is as many times shorter.
    """
    if not _are_numbers(information, variation, gradient):
        return torch.full_like(information, torch.nan), torch.full_like(gradient, torch.nan)
    inverse_root, values, vectors = _whiten(information, variation)
    inner = vectors * values @ vectors.T
    covariance = inverse_root.T @ inner @ inverse_root
    step = inverse_root @ gradient
    step = vectors @ ((_APART / values.clamp_min(_APART)) * (vectors.T @ step))
    shift = inverse_root.T @ step
    return 0.5 * (covariance + covariance.T), shift


@dataclass(frozen=True)
class _Weighed:
    """G = H d up to a scatter J, and a prior: what they say of d.

    Attributes
    ----------
    precision : tensor, shape (p, p)
        H (J + 1)^-1 H.
    towards : tensor, shape (p,)
        H (J + 1)^-1 G - (theta - theta_0).
    distance : float
        G^T (J + 1)^-1 G + |theta - theta_0|^2.
    """

    precision: Tensor
    towards: Tensor
    distance: float

    def covariance(self) -> Tensor:
        """Of d."""
        return (
            torch.linalg.inv(self._prior(1.0))
            if self._is_number()
            else torch.full_like(self.precision, torch.nan)
        )

    def shift(self, prior: float = 1.0) -> Tensor:
        """The likeliest d, where the prior has this precision."""
        if not self._is_number():
            return torch.full_like(self.towards, torch.nan)
        return torch.linalg.solve(self._prior(prior), self.towards)

    def step(self) -> Tensor:
        """The same, with the prior as strong as it takes to change no parameter by more than `TRUST`."""
        whole = self.shift()
        if not self._is_number() or float(whole.abs().max()) <= TRUST:
            return whole
        low, high = 0.0, _STRONGEST
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            if float(self.shift(math.exp(middle)).abs().max()) > TRUST:
                low = middle
            else:
                high = middle
        return self.shift(math.exp(high))

    def _prior(self, prior: float) -> Tensor:
        return self.precision + prior * torch.eye(
            len(self.towards), dtype=self.towards.dtype, device=self.towards.device
        )

    def _is_number(self) -> bool:
        return math.isfinite(self.distance)


def _weigh(information: Tensor, variation: Tensor, gradient: Tensor, pull: Tensor) -> _Weighed:
    """See `_Weighed`; `pull` is theta - theta_0."""
    if not _are_numbers(information, variation, gradient):
        nothing = torch.full_like(information, torch.nan)
        return _Weighed(nothing, nothing[0], math.nan)
    inverse_root, values, vectors = _whiten(information, variation)
    # (J + 1)^-1 = W^T W
    weight = (vectors / values.sqrt()).T @ inverse_root
    told, seen = weight @ information, weight @ gradient
    precision = told.T @ told
    distance = float(seen @ seen + pull @ pull)
    return _Weighed(0.5 * (precision + precision.T), told.T @ seen - pull, distance)


def _are_numbers(*parts: Tensor) -> bool:
    """False for laws that have been led out of their domain."""
    return all(bool(torch.isfinite(part).all()) for part in parts)


def _whiten(information: Tensor, variation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """R with R (H + 1) R^T = 1, and R (J + 1) R^T by its eigenvalues, which are positive, and eigenvectors."""
    one = torch.eye(len(information), dtype=information.dtype, device=information.device)
    known = information + one
    # Scores of parameters may differ by many orders of magnitude, so that rounding in one would outweigh the others.
    scale = known.diagonal().sqrt()
    values, vectors = torch.linalg.eigh(known / torch.outer(scale, scale))
    inverse_root = (vectors / values.clamp_min(_ROUNDING * values.max()).sqrt()).T / scale
    inner = inverse_root @ (variation + one) @ inverse_root.T
    values, vectors = torch.linalg.eigh(0.5 * (inner + inner.T))
    # A sum over pairs of scores may have a negative direction by chance.
    return inverse_root, values.clamp_min(0.1), vectors

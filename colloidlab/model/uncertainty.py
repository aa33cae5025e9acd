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
likelihood to climb but an equation to solve (`score_equation`, with the scatter phi J/s): d is its, and the covariance of
the bias that it has found is added. Included: finite data, momentum shared by neighbours, an unfinished optimisation. Not
included: that the true function is none of the class, errors of cutoff, radii and sigma, and the choice between laws.

The likelihood of a fit that is far from its optimum is no parabola, and d is then too long: bands are too wide rather
than too narrow. A fit with enough steps has d within the rest.

References
----------
White, Econometrica 50, 1 (1982), the sandwich; Varin, Reid & Firth, Statistica Sinica 21, 5 (2011), products of marginal
likelihoods; McCullagh & Nelder, Generalized Linear Models (1989), overdispersion.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat

import torch
from torch import Tensor

from colloidlab.dataset.split import Split
from colloidlab.model.filter import Filter
from colloidlab.model.score_equation import ScoreEquation, roots, score_equation, symmetric
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
        G^T (H + 1)^-1 G, twice the log-likelihood by which the optimum is away, or that of the equation; p or less where
        nothing is left to gain.
    equation : ScoreEquation, optional
        Where there is an expected score.
    """

    covariance: Tensor
    entropy_response: Tensor
    log_volume_response: Tensor
    overdispersion: float
    shift: Tensor
    nearest: float
    distance: float = 0.0
    equation: ScoreEquation | None = None

    def cpu(self) -> Uncertainty:
        """The same in the computer's own memory, without the equation that it may be from."""
        return replace(
            self,
            covariance=self.covariance.cpu(),
            entropy_response=self.entropy_response.cpu(),
            log_volume_response=self.log_volume_response.cpu(),
            shift=self.shift.cpu(),
            equation=None,
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
    variation = total * inflated
    inside, shift = _sandwich(information, variation, gradient)
    inside, distance, equation = spread * inside, float(gradient @ shift), None
    if expectation is not None:
        here = read_values(filter_).to(gradient)
        pull = here - (here if anchor is None else anchor.to(gradient))
        equation = score_equation(information, spread * variation, share, gradient, pull)
        inside, shift, distance = inside + equation.covariance(), equation.shift(), equation.distance()
    return Uncertainty(
        covariance=inside + torch.outer(shift, shift),
        entropy_response=response,
        log_volume_response=torch.stack([s.log_volume for s in found]).mean(0),
        overdispersion=spread,
        shift=shift,
        nearest=min(s.nearest for s in found),
        distance=distance,
        equation=equation,
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
    one = torch.eye(len(gradient), dtype=gradient.dtype, device=gradient.device)
    if not bool(torch.isfinite(information).all() & torch.isfinite(variation).all()):
        # Laws that have been led out of their domain.
        return torch.full_like(information, torch.nan), torch.full_like(gradient, torch.nan)
    _, inverse_root = roots(information + one)
    values, vectors = torch.linalg.eigh(symmetric(inverse_root @ (variation + one) @ inverse_root.T))
    # A sum over pairs of scores may have a negative direction by chance.
    inner = vectors * values.clamp_min(0.1) @ vectors.T
    step = vectors @ ((_APART / values.clamp_min(_APART)) * (vectors.T @ (inverse_root @ gradient)))
    return symmetric(inverse_root.T @ inner @ inverse_root), inverse_root.T @ step

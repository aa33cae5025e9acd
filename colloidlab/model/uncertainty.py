"""How well the parameters of a fitted law are known: Laplace approximation from scores of single particles.

The likelihood of a filter is a product of predictions, so the score of each particle in each frame (derivative of its
ln p with the parameters) is zero on average given the past, and a sum of squares of scores is a consistent estimate of
Fisher's information. With hundreds of particles a few frames suffice; no second derivative is needed.

| symbol | name | meaning |
|---|---|---|
| g_ik | scores | derivative of ln p of particle i in frame k, whole past of the filter included |
| H = sum g_ik g_ik^T | information | curvature of the log-likelihood |
| J = sum g_ik (g_ik + sum_j g_jk)^T | variation | variance of the summed score; neighbours j share a kick |
| phi >= 1 | overdispersion | how much more whole windows scatter than J says |
| d = (H + 1)^-1 G | shift | Newton's step to the optimum that the optimiser stopped short of |

    Cov = phi (H + 1)^-1 (J + 1) (H + 1)^-1 + d d^T

The 1 is a prior: no parameter, all of which are logarithms, exponents or coefficients of them, is more than
about one from its value. Included: finite data, momentum shared by neighbours, an unfinished optimisation. Not
included: that the true function is none of the class, errors of cutoff, radii and sigma, and the choice between laws.

The likelihood of a fit that is far from its optimum is no parabola, and d is then too long: bands are too wide rather
than too narrow. A fit with enough steps has d within the rest.

References
----------
White, Econometrica 50, 1 (1982), the sandwich; Varin, Reid & Firth, Statistica Sinica 21, 5 (2011), products of marginal
likelihoods; McCullagh & Nelder, Generalized Linear Models (1989), overdispersion.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from colloidlab.dataset.split import Split
from colloidlab.dataset.windows import Window
from colloidlab.model.filter import Filter
from colloidlab.model.sequence import CarriedState, WindowSource, fresh_state, run_window
from colloidlab.progress import SILENT, Monitor

_WINDOW = 20
_STRETCHES = 2
_STRETCH_FRAMES = 11
_SETTLING = 4
"""First frames of a stretch, not scored: the derivatives of filtered velocities grow to their full size."""
_EPSILON = 1e-4
"""Step of the numerical derivatives, which have about eleven digits left in double precision."""


@dataclass(frozen=True)
class Uncertainty:
    """Covariance of the parameters of a law, and what a typical state does when they change.

    Attributes
    ----------
    covariance : tensor, shape (p, p)
        Of the free parameters, one after the other in the order of `free_parameters`.
    entropy_response : tensor, shape (p,)
        Change of the mean filtered entropy with each parameter: the filter holds on to the noise that it sees, so that
        another law gives the same particles another temperature.
    log_volume_response : tensor, shape (p,)
        Change of the mean ln V with each parameter at fixed positions.
    overdispersion : float
    shift : tensor, shape (p,)
        Newton's step to the optimum of the training likelihood.
    nearest : float
        Reduced distance r/h nearer than which 0.5 % of the interacting pairs are: laws are guesses there.
    """

    covariance: Tensor
    entropy_response: Tensor
    log_volume_response: Tensor
    overdispersion: float
    shift: Tensor
    nearest: float

    def cpu(self) -> Uncertainty:
        """The same in the computer's own memory."""
        return replace(
            self,
            covariance=self.covariance.cpu(),
            entropy_response=self.entropy_response.cpu(),
            log_volume_response=self.log_volume_response.cpu(),
            shift=self.shift.cpu(),
        )


@dataclass(frozen=True)
class _Scores:
    """Sums over the scored particles of one stretch; the last row and column belong to a shift of all entropies."""

    information: Tensor
    variation: Tensor
    count: float
    log_volume: Tensor
    nearest: float


def free_parameters(laws: nn.Module) -> list[nn.Parameter]:
    """The parameters that were fitted."""
    return [p for p in laws.parameters() if p.requires_grad]


def estimate_uncertainty(
    filter_: Filter,
    windows: WindowSource,
    split: Split,
    monitor: Monitor = SILENT,
    *,
    stretches: int = _STRETCHES,
    stretch_frames: int = _STRETCH_FRAMES,
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
    """
    starts, states, block, counts = _window_scores(filter_, windows, split, monitor)
    if len(starts) > 1:
        # In the first window entropies and velocities are still those of the first guess.
        starts, states, block, counts = starts[1:], states[1:], block[1:], counts[1:]
    chosen = sorted({round((j + 0.5) * len(starts) / stretches - 0.5) for j in range(stretches)})
    found = []
    for n, w in enumerate(chosen):
        monitor.update("uncertainty, scores", n, len(chosen))
        stop = min(starts[w] + stretch_frames, split.train[1] - 1)
        found.append(_single_scores(filter_, windows(starts[w], stop + 1), states[w]))
    monitor.update("uncertainty, scores", len(chosen), len(chosen))
    total = float(counts.sum())
    scale = total / max(sum(s.count for s in found), 1.0)
    information, variation = (
        scale * sum(m) for m in zip(*((s.information, s.variation) for s in found), strict=True)
    )
    response = _entropy_response(information)
    one = torch.eye(len(response), dtype=response.dtype, device=response.device)
    extend = torch.cat([one, response[:, None]], dim=1)
    information, variation, scores = (
        extend @ information @ extend.T,
        extend @ variation @ extend.T,
        block @ extend.T,
    )
    spread = _overdispersion(scores, counts, variation / total)
    inside, shift = _sandwich(information, variation, scores.sum(0))
    return Uncertainty(
        covariance=spread * inside + torch.outer(shift, shift),
        entropy_response=response,
        log_volume_response=torch.stack([s.log_volume for s in found]).mean(0),
        overdispersion=spread,
        shift=shift,
        nearest=min(s.nearest for s in found),
    )


def _window_scores(
    filter_: Filter, windows: WindowSource, split: Split, monitor: Monitor
) -> tuple[list[int], list[CarriedState | None], Tensor, Tensor]:
    """Starts of the windows of the training block, the filter's state there, summed scores, and numbers scored."""
    parameters = free_parameters(filter_.laws)
    first, last = split.train[0], split.train[1] - 1
    starts, states, scores, counts = [], [], [], []
    carried: CarriedState | None = None
    for a in range(first, last, _WINDOW):
        monitor.update("uncertainty, windows", a - first, last - first)
        window = windows(a, min(a + _WINDOW, last) + 1)
        state = fresh_state(window) if carried is None else carried.place(window)
        level = state.S.new_zeros((), requires_grad=True)
        end, total, count = run_window(
            filter_, replace(state, S=state.S + level), window, training=True
        )  # fmt: skip
        starts.append(a)
        states.append(carried)
        counts.append(float(count))
        if total.requires_grad:
            found = torch.autograd.grad(
                total, [*parameters, level], allow_unused=True, materialize_grads=True
            )
            scores.append(torch.cat([g.reshape(-1) for g in found]))
        else:
            scores.append(state.S.new_zeros(sum(p.numel() for p in parameters) + 1))
        carried = CarriedState.take(end, window)
    monitor.update("uncertainty, windows", last - first, last - first)
    block = torch.stack(scores)
    return starts, states, block, block.new_tensor(counts)


def _neighbouring_filters(filter_: Filter) -> list[Filter]:
    """The filter with each free parameter a little larger."""
    found = []
    for n, parameter in enumerate(free_parameters(filter_.laws)):
        for m in range(parameter.numel()):
            laws = copy.deepcopy(filter_.laws)
            with torch.no_grad():
                free_parameters(laws)[n].view(-1)[m] += _EPSILON
            found.append(
                Filter(
                    laws.requires_grad_(False),
                    filter_.gain,
                    filter_.velocity_variance,
                    filter_.initial_entropy,
                    filter_.error,
                )
            )
    return found


def _single_scores(filter_: Filter, window: Window, start: CarriedState | None) -> _Scores:
    """Run the filter and its neighbours side by side through one stretch; differences are derivatives."""
    state = fresh_state(window) if start is None else start.place(window)
    raised = replace(state, S=state.S + _EPSILON)
    filters = [filter_, *_neighbouring_filters(filter_), filter_]
    states = [state] * (len(filters) - 1) + [raised]
    p = len(filters) - 1
    information, variation = state.S.new_zeros((2, p, p))
    distances: list[Tensor] = []
    count, log_volume = 0.0, state.S.new_zeros(p)
    n_steps = window.n_frames - 1
    settling = min(_SETTLING, n_steps // 2)
    for k in range(n_steps):
        results = [f.step(s, window, k) for f, s in zip(filters, states, strict=True)]
        states = [r.state.detach() for r in results]
        if k < settling:
            continue
        scores, counted = _differences([r.loglik.detach() for r in results]), results[0].counted
        scores = torch.where(counted[:, None], scores, torch.zeros_like(scores))
        shared = _with_neighbours(scores, window.pairs[k])
        information += scores.T @ scores
        variation += 0.5 * (scores.T @ shared + shared.T @ scores)
        count += float(counted.sum())
        distances.append(results[0].evaluation.pairs.x.detach().clamp_max(1.0))
        log_volume += _mean_change([r.evaluation.volume.detach().log() for r in results], counted)
    nearest = float(torch.cat(distances).quantile(0.005))
    return _Scores(information, variation, count, log_volume[:-1] / max(n_steps - settling, 1), nearest)


def _differences(values: list[Tensor]) -> Tensor:
    """Derivatives with each parameter, shape (n, p), from the values at the fit and beside it."""
    return (torch.stack(values[1:], dim=1) - values[0][:, None]) / _EPSILON


def _mean_change(values: list[Tensor], chosen: Tensor) -> Tensor:
    if not bool(chosen.any()):
        return values[0].new_zeros(len(values) - 1)
    return _differences([v[chosen] for v in values]).mean(0)


def _with_neighbours(scores: Tensor, pairs: Tensor) -> Tensor:
    """Score of each particle and of all its neighbours together."""
    i, j = pairs
    return scores.index_add(0, i, scores[j]).index_add(0, j, scores[i])


def _entropy_response(information: Tensor) -> Tensor:
    """Common change of all entropies that undoes most of what a parameter does, shape (p,).

    The filter follows the level of entropy, so that it is fitted along with the laws, window by window. What laws gain
    by shifting it, they have not been told by the data.
    """
    level = information[-1, -1]
    return -information[:-1, -1] / level if float(level) > 0 else torch.zeros_like(information[:-1, -1])


def _overdispersion(scores: Tensor, counts: Tensor, variation: Tensor) -> float:
    """Scatter of the scores of whole windows over what independent frames would give; 1 at least.

    Parameters
    ----------
    scores : tensor, shape (n_windows, p)
    counts : tensor, shape (n_windows,)
        Number of predictions in each.
    variation : tensor, shape (p, p)
        Variance of the score of one prediction.
    """
    used = counts > 0.5 * counts.max()
    scores, counts = scores[used], counts[used]
    if len(counts) < 3:
        return 1.0
    centred = (scores - counts[:, None] * (scores.sum(0) / counts.sum())) / counts[:, None].sqrt()
    values, vectors = torch.linalg.eigh(variation)
    # Directions that the data do not see hold numerical noise only.
    seen = values > 1e-6 * values.max()
    white = centred @ vectors[:, seen] / values[seen].sqrt()
    return max(1.0, float((white**2).sum() / ((len(counts) - 1) * int(seen.sum()))))


def _sandwich(information: Tensor, variation: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance (H + 1)^-1 (J + 1) (H + 1)^-1 and Newton's step (H + 1)^-1 G."""
    one = torch.eye(len(gradient), dtype=gradient.dtype, device=gradient.device)
    root = torch.linalg.cholesky(information + one)
    half = torch.linalg.solve_triangular(root, variation + one, upper=False)
    inner = torch.linalg.solve_triangular(root, half.T, upper=False)
    values, vectors = torch.linalg.eigh(0.5 * (inner + inner.T))
    # A sum over pairs of scores may have a negative direction by chance.
    inner = vectors * values.clamp_min(0.1) @ vectors.T
    half = torch.linalg.solve_triangular(root.T, inner, upper=True)
    covariance = torch.linalg.solve_triangular(root.T, half.T, upper=True)
    return 0.5 * (covariance + covariance.T), torch.cholesky_solve(gradient[:, None], root)[:, 0]

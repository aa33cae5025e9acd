"""Scores: derivatives of the likelihood with the parameters, of stretches of the training block and of single particles.

A stretch is a window of the training block with what the filter believes where it begins. Its first frames are not scored,
so that the derivatives of the filtered velocities have grown to their full size.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat

import torch
from torch import Tensor, nn

from colloidlab.dataset.split import Split
from colloidlab.dataset.windows import Window
from colloidlab.model.filter import Filter
from colloidlab.model.filter_state import FilterState
from colloidlab.model.sequence import CarriedState, WindowSource, fresh_state, run_window
from colloidlab.progress import SILENT, Monitor

LEAD = 6
"""Frames at the start of a stretch that are not scored."""

_SCORED = 20
"""Scored frames of a stretch."""

_TOGETHER = 2500
"""Particles: three times 800 take 1.6 times as long as 800, and .9 GB."""

_EPSILON = 1e-4
"""Step of the numerical derivatives, which have about eleven digits left in double precision."""


@dataclass(frozen=True)
class Stretch:
    """Some frames of the training block.

    Attributes
    ----------
    window : Window
        With `lead` frames before the scored ones.
    start : FilterState
        What the filter believes at its first frame.
    path, velocity : tensors, shape (n_frames, n, D)
        Filtered positions and velocities.
    lead : int
    """

    window: Window
    start: FilterState
    path: Tensor
    velocity: Tensor
    lead: int


@dataclass(frozen=True)
class SingleScores:
    """Sums over the scored particles of one stretch; the last row and column belong to a shift of all entropies.

    Attributes
    ----------
    information : tensor, shape (p + 1, p + 1)
        sum g g^T.
    variation : tensor, shape (p + 1, p + 1)
        sum g (g + sum of the neighbours' g)^T.
    count : float
        Number of predictions.
    log_volume : tensor, shape (p,)
        Mean change of ln V.
    nearest : float
        Reduced distance nearer than which 0.5 % of the interacting pairs are.
    """

    information: Tensor
    variation: Tensor
    count: float
    log_volume: Tensor
    nearest: float


def free_parameters(laws: nn.Module) -> list[nn.Parameter]:
    """The parameters that were fitted."""
    return [p for p in laws.parameters() if p.requires_grad]


def fitted_parameters(filter_: Filter) -> list[nn.Parameter]:
    """Those of the laws, and the localisation error where it is fitted with them."""
    return [
        *free_parameters(filter_.laws),
        *([] if filter_.error is None else free_parameters(filter_.error)),
    ]


def training_stretches(
    filter_: Filter, windows: WindowSource, split: Split, monitor: Monitor = SILENT
) -> list[Stretch]:
    """Filter the training block once, and cut it into stretches whose scored frames follow each other.

    What comes before the first one is left out where there are several: entropies and velocities are still those of the
    first guess there.
    """
    first, last = split.train[0], split.train[1] - 1
    found: list[Stretch] = []
    carried: CarriedState | None = None
    starts = range(first, last, _SCORED)
    for scored in monitor.track(starts, "scores, filter"):
        lead = 0 if carried is None else LEAD
        stop = min(scored + _SCORED, last)
        window = windows(scored - lead, stop + 1)
        start = fresh_state(window) if carried is None else carried.place(window)
        # The next stretch begins so many frames before this one ends.
        keep = window.n_frames - 1 - LEAD
        state, path, velocity = start, [], []
        for k in range(window.n_frames - 1):
            if k == keep:
                carried = CarriedState.take(state, window)
            result = filter_.step(state, window, k)
            path.append(result.filtered.r.detach())
            velocity.append(result.filtered.v.detach())
            state = result.state.detach()
        path.append(state.r)
        velocity.append(state.v)
        found.append(Stretch(window, start, torch.stack(path), torch.stack(velocity), lead))
        if keep < 0:
            break
    return found[1:] if len(found) > 1 else found


def join_stretches(block: list[Stretch], least: int = 1) -> list[Stretch]:
    """Stretches of equal length side by side, up to some thousand particles each: small ones take little longer so.

    Parameters
    ----------
    block : list of Stretch
    least : int
        Parts to be left, at the least, where there are so many stretches.
    """
    # Here, because torch-geometric takes seconds to import.
    from colloidlab.dataset.window_data import join

    most = max(len(block) // least, 1)
    groups: list[list[Stretch]] = []
    for stretch in block:
        last = groups[-1] if groups else []
        alike = bool(last) and (last[0].window.n_frames, last[0].lead) == (
            stretch.window.n_frames,
            stretch.lead,
        )
        n = sum(len(s.window.slot) for s in last) + len(stretch.window.slot)
        if alike and n <= _TOGETHER and len(last) < most:
            last.append(stretch)
        else:
            groups.append([stretch])
    found = []
    for group in groups:
        states = [vars(s.start) for s in group]
        start = FilterState(**{k: torch.cat([state[k] for state in states]) for k in states[0]})
        path, velocity = (torch.cat([getattr(s, name) for s in group], 1) for name in ("path", "velocity"))
        found.append(Stretch(join([s.window for s in group]), start, path, velocity, group[0].lead))
    return found


def stretch_score(filter_: Filter, stretch: Stretch) -> tuple[Tensor, float]:
    """Derivative of the log-likelihood of a stretch, shape (p + 1,), and the number of its predictions.

    The last component is that of a shift of all entropies at the start.
    """
    parameters = fitted_parameters(filter_)
    level = stretch.start.S.new_zeros((), requires_grad=True)
    start = replace(stretch.start, S=stretch.start.S + level)
    skip = min(stretch.lead, (stretch.window.n_frames - 1) // 2)
    _, total, count = run_window(filter_, start, stretch.window, training=True, skip=skip)
    if not total.requires_grad:
        return total.new_zeros(sum(p.numel() for p in parameters) + 1), 0.0
    found = torch.autograd.grad(total, [*parameters, level], allow_unused=True, materialize_grads=True)
    return torch.cat([g.reshape(-1) for g in found]), float(count)


def single_scores(filter_: Filter, stretch: Stretch, n_frames: int) -> SingleScores:
    """Scores of every particle in the first frames of a stretch.

    The filter and its neighbours in parameters run side by side; their differences are the derivatives.
    """
    window, state = stretch.window, stretch.start
    raised = replace(state, S=state.S + _EPSILON)
    filters = [filter_, *_neighbouring_filters(filter_), filter_]
    states = [state] * (len(filters) - 1) + [raised]
    p = len(filters) - 1
    information, variation = state.S.new_zeros((2, p, p))
    distances: list[Tensor] = []
    count, log_volume = 0.0, state.S.new_zeros(p)
    n_steps = min(n_frames, window.n_frames - 1)
    settling = min(LEAD, n_steps // 2)
    # Small operations, many of them: threads help across the filters, not inside of one.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for k in range(n_steps):
            results = list(pool.map(Filter.step, filters, states, repeat(window), repeat(k)))
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
    return SingleScores(information, variation, count, log_volume[:-1] / max(n_steps - settling, 1), nearest)


def set_values(filter_: Filter, values: Tensor) -> None:
    """Give the fitted parameters these values, shape (p,)."""
    at = 0
    with torch.no_grad():
        for parameter in fitted_parameters(filter_):
            n = parameter.numel()
            parameter.copy_(values[at : at + n].reshape(parameter.shape))
            at += n


def read_values(filter_: Filter) -> Tensor:
    """The fitted parameters one after the other, shape (p,)."""
    return torch.cat([p.detach().reshape(-1).clone() for p in fitted_parameters(filter_)])


def _neighbouring_filters(filter_: Filter) -> list[Filter]:
    """The filter with each fitted parameter a little larger."""
    found = []
    start = read_values(filter_)
    for n in range(len(start)):
        other = copy.copy(filter_)
        other.laws, other.error = copy.deepcopy(filter_.laws), copy.deepcopy(filter_.error)
        raised = start.clone()
        raised[n] += _EPSILON
        set_values(other, raised)
        other.laws.requires_grad_(False)
        found.append(other)
    return found


def _differences(outcomes: list[Tensor]) -> Tensor:
    """Derivatives with each parameter, shape (n, p), from the values at the fit and beside it."""
    return (torch.stack(outcomes[1:], dim=1) - outcomes[0][:, None]) / _EPSILON


def _mean_change(outcomes: list[Tensor], chosen: Tensor) -> Tensor:
    if not bool(chosen.any()):
        return outcomes[0].new_zeros(len(outcomes) - 1)
    return _differences([v[chosen] for v in outcomes]).mean(0)


def _with_neighbours(scores: Tensor, pairs: Tensor) -> Tensor:
    """Score of each particle and of all its neighbours together."""
    i, j = pairs
    return scores.index_add(0, i, scores[j]).index_add(0, j, scores[i])

"""The end of the isothermal fit: Newton's steps with Fisher's information, where Adam only wanders about the optimum.

Some twenty parameters of very different weight are strongly correlated; the information that the filter's scores give
(`uncertainty`) knows how. A step is taken as long as it raises the likelihood of the whole training block, and kept as
long as that of the validation block does not fall. A long step is shortened as a whole: with each parameter cut off at a
bound of its own, directions in which parameters make good for each other were lost, and steps ended hundreds of nats from
the optimum. With entropy, whose level follows every change of the laws, such steps gained nothing that could be measured,
so that they are not taken there.

References
----------
Osborne, Biometrika 79, 739 (1992), on Fisher's scoring.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from colloidlab.dataset.split import Split
from colloidlab.model.filter import Filter
from colloidlab.model.scores import read_values, set_values
from colloidlab.model.sequence import CarriedState, WindowSource, fresh_state, run_window
from colloidlab.model.uncertainty import estimate_uncertainty
from colloidlab.progress import SILENT, Monitor

_TRUST = 1.0
"""Largest change of a parameter in one step; all are logarithms, exponents or coefficients of them."""
_NEAR = 1.0
"""Of `Uncertainty.distance`: half a nat of the whole block is not worth a step."""
_FRACTIONS = (1.0, 0.3, 0.1)
_WINDOW = 40
_STRETCH_FRAMES = 10
"""Of single scores: with hundreds of particles, a few frames tell the information."""


@dataclass(frozen=True)
class BlockLikelihood:
    """Mean log-likelihood of the training and of the validation block, nats per particle and frame."""

    train: float
    validation: float

    @property
    def finite(self) -> bool:
        """False where the laws led nowhere."""
        return bool(torch.isfinite(torch.tensor([self.train, self.validation])).all())


def score_steps(
    filter_: Filter, windows: WindowSource, split: Split, *, rounds: int, monitor: Monitor = SILENT
) -> list[BlockLikelihood]:
    """Take up to `rounds` steps; the filter's laws are changed in place, to those that suit the validation block best.

    Parameters
    ----------
    filter_ : Filter
        Fitted; its free parameters, and those of a localisation error that is fitted too, require a gradient.
    windows : WindowSource
    split : Split
    rounds : int
    monitor : Monitor

    Returns
    -------
    list of BlockLikelihood
        Before the first step and after each that was taken.
    """
    found = [block_likelihood(filter_, windows, split)]
    best, best_values = found[0], read_values(filter_)
    for k in range(rounds):
        monitor.update("fit, scoring", k, rounds)
        way = estimate_uncertainty(filter_, windows, split, stretches=1, stretch_frames=_STRETCH_FRAMES)
        if not way.distance >= _NEAR or not bool(torch.isfinite(way.shift).all()):
            break
        step = way.shift * min(1.0, _TRUST / float(way.shift.abs().max()))
        after = _climb(filter_, windows, split, step, found[-1])
        if after is None:
            break
        found.append(after)
        if after.validation > best.validation:
            best, best_values = after, read_values(filter_)
    set_values(filter_, best_values)
    monitor.update("fit, scoring", rounds, rounds)
    return found


def block_likelihood(filter_: Filter, windows: WindowSource, split: Split) -> BlockLikelihood:
    """Filter from the first frame of the training to the last of the validation block, and score both."""
    carried: CarriedState | None = None
    sums = torch.zeros(2, 2, dtype=torch.float64, device=windows.device)
    ends = split.train[1], split.validation[1] - 1
    first = split.train[0]
    for block, end in enumerate(ends):
        while first < end:
            stop = min(first + _WINDOW, end)
            window = windows(first, stop + 1)
            state = fresh_state(window) if carried is None else carried.place(window)
            with torch.no_grad():
                state, total, count = run_window(filter_, state, window)
            carried = CarriedState.take(state, window)
            sums[block] += torch.stack([total.detach(), count.detach()]).to(sums)
            first = stop
    # Laws that are no numbers leave nobody to count: no likelihood, rather than one of 0.
    train, validation = (sums[:, 0] / sums[:, 1]).tolist()
    return BlockLikelihood(train, validation)


def _climb(
    filter_: Filter, windows: WindowSource, split: Split, step: Tensor, before: BlockLikelihood
) -> BlockLikelihood | None:
    """Go as far along the step as the training block allows; None where it allows nothing."""
    start = read_values(filter_)
    for fraction in _FRACTIONS:
        set_values(filter_, start + fraction * step)
        after = block_likelihood(filter_, windows, split)
        if after.finite and after.train > before.train:
            return after
    set_values(filter_, start)
    return None

"""Entropy that does not change: the honest baseline, and the start of the other forms."""

from __future__ import annotations

import torch
from torch import Tensor

from colloidlab.dataset.windows import Window
from colloidlab.model.entropy.inference import EntropyInference, StepOutcome, neighbour_mean
from colloidlab.model.filter_state import FilterState
from colloidlab.model.pairs import Pairs


class ConstantEntropy(EntropyInference):
    """Every particle keeps the entropy that it has when it comes into view: that of all, so that T is one for all.

    Parameters
    ----------
    initial : float
        That entropy, k_B.
    """

    form = "isothermal"

    def first(self, state: FilterState, known: Tensor, window: Window, k: int) -> tuple[Tensor, Tensor]:
        S = neighbour_mean(state.S.detach(), known, window.pairs[k], window, self.initial)
        return S, torch.zeros_like(state.variance)

    def at_frame(self, state: FilterState, pairs: Pairs, window: Window, k: int) -> Tensor:
        return state.S

    def follow(self, step: StepOutcome) -> tuple[Tensor, Tensor]:
        return step.before.S, step.before.variance

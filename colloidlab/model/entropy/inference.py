"""What every form of entropy inference can be asked by the filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from colloidlab.dataset.windows import Window
from colloidlab.model import brackets
from colloidlab.model.filter_state import FilterState
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs


@dataclass(frozen=True)
class StepOutcome:
    """What one step of the filter has shown, for the entropy to follow.

    Attributes
    ----------
    laws : Laws
    before : FilterState
        At this frame, with the entropies that the laws were evaluated at.
    evaluation : brackets.Evaluation
        Of the laws at this frame.
    predicted_v, corrected_v : tensors, shape (n, D)
        Velocity at the next frame, without and with the observation there.
    noise : tensor, shape (n, D, D)
        Covariance of the kick of v in a frame.
    score : tensor, shape (n,), or None
        d ln p(y)/dS, zero where nothing informs; None unless the form is `scored`.
    window : Window
    k : int
        This frame of it.
    """

    laws: Laws
    before: FilterState
    evaluation: brackets.Evaluation
    predicted_v: Tensor
    corrected_v: Tensor
    noise: Tensor
    score: Tensor | None
    window: Window
    k: int


class EntropyInference(nn.Module):
    """Where the entropy of every particle comes from; its parameters are fitted with the laws.

    Parameters
    ----------
    initial : float
        Entropy of a particle none of whose neighbours is known yet.

    Attributes
    ----------
    form : str
        Name in options and files.
    scored : bool
        `follow` needs the gradient of ln p with the entropies.
    """

    form: ClassVar[str]
    scored: ClassVar[bool] = False

    def __init__(self, initial: float = 0.0) -> None:
        super().__init__()
        self.initial = initial

    def first(self, state: FilterState, known: Tensor, window: Window, k: int) -> tuple[Tensor, Tensor]:
        """Entropy of particles that come into view in frame k, and variance of their ln T; shape (n,) each.

        Parameters
        ----------
        state : FilterState
        known : bool tensor, shape (n,)
            Who is in view and was before.
        window : Window
        k : int
        """
        raise NotImplementedError

    def at_frame(self, state: FilterState, pairs: Pairs, window: Window, k: int) -> Tensor:
        """Entropies at which the laws are evaluated in frame k, shape (n,).

        Parameters
        ----------
        state : FilterState
            Filtered state of the frame.
        pairs : Pairs
            At its positions.
        window : Window
        k : int
        """
        raise NotImplementedError

    def follow(self, step: StepOutcome) -> tuple[Tensor, Tensor]:
        """Entropy at the next frame, and variance of ln T; shape (n,) each."""
        raise NotImplementedError


def neighbour_mean(S: Tensor, known: Tensor, index: Tensor, window: Window, otherwise: float) -> Tensor:
    """Mean entropy of the known neighbours, else of all known particles of the stretch, else the one given; shape (n,).

    Parameters
    ----------
    S : tensor, shape (n,)
    known : bool tensor, shape (n,)
    index : int64 tensor, shape (2, n_pairs)
    window : Window
    otherwise : float
    """
    overall = window.mean(S, known, S.new_tensor(otherwise))
    weight = known.to(S.dtype)
    total, count = torch.zeros_like(S), torch.zeros_like(S)
    for a, b in ((0, 1), (1, 0)):
        total = total.index_add(0, index[a], (weight * S)[index[b]])
        count = count.index_add(0, index[a], weight[index[b]])
    return torch.where(count > 0, total / count.clamp_min(1), overall)

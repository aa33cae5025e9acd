"""Minus the mean log-likelihood of a batch of windows, shared by all processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colloidlab.dataset.windows import Window
from colloidlab.model.distributed import Machine
from colloidlab.model.filter import Filter, FilterState
from colloidlab.model.sequence import run_window
from colloidlab.model.trained_parts import trained_parts


@dataclass(frozen=True)
class Batch:
    """Minus the mean log-likelihood of some frames.

    Attributes
    ----------
    loss : tensor, shape ()
        To be differentiated: averaged over the processes, its gradient is that of the whole batch.
    loglik : float
        Mean over the whole batch, nats per particle and frame.
    stretches : tuple of (int, int)
        Half-open ranges of frames that this process has read.
    """

    loss: Tensor
    loglik: float
    stretches: tuple[tuple[int, int], ...]

    def suspects(self, machine: Machine) -> str:
        """Frames, of all processes, that something not finite may have come from, in words.

        Those of the processes whose own likelihood is not finite; all of the batch, where each is. Every process must ask.
        """
        sound = bool(torch.isfinite(self.loss.detach()))
        rows = torch.tensor([[*stretch, sound] for stretch in self.stretches], device=machine.device)
        found = torch.cat(machine.gathered(rows))
        failed = found[found[:, 2] == 0]
        ranges = sorted({(first, stop) for first, stop, _ in (failed if len(failed) else found).tolist()})
        return " and ".join(f"{first} to {stop - 1}" for first, stop in ranges)


class _Likelihood(nn.Module):
    """A filter as a module, so that gradients of its parts can be averaged over processes."""

    def __init__(self, filter_: Filter) -> None:
        super().__init__()
        self.parts = trained_parts(filter_)
        self._filter = filter_

    def forward(
        self, window: Window, state: FilterState, skip: int | Tensor
    ) -> tuple[Tensor, Tensor, FilterState]:
        state, total, count = run_window(self._filter, state, window, training=True, skip=skip)
        return total, count, state.detach()


class BatchLoss:
    """The loss of a filter.

    Parameters
    ----------
    filter_ : Filter
        On the machine's device; which of its parameters are fitted must not change any more.
    machine : Machine
    """

    def __init__(self, filter_: Filter, machine: Machine) -> None:
        self._machine = machine
        self._likelihood = machine.parallel(_Likelihood(filter_))

    def __call__(
        self, window: Window, state: FilterState, skip: int | Tensor = 0
    ) -> tuple[Batch, FilterState]:
        """Filter through a window; the state at its end comes back beside the loss."""
        total, count, state = self._likelihood(window, state, skip)
        everywhere, counted = self._machine.total(torch.stack([total.detach(), count]))
        counted = counted.clamp_min(1)
        stretches = tuple((first, first + window.n_frames) for first in window.frames)
        loss = -self._machine.size * total / counted
        return Batch(loss, float(everywhere / counted), stretches), state

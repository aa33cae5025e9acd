"""Fitting laws with entropy: truncated back-propagation through windows that hand their states on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from colloidlab.dataset.sampling import WindowSampler
from colloidlab.dataset.split import Split
from colloidlab.dataset.windows import Window
from colloidlab.errors import UsageError
from colloidlab.model.batch_loss import Batch, BatchLoss
from colloidlab.model.carried_states import CarriedStates
from colloidlab.model.checkpoint import State
from colloidlab.model.distributed import Machine
from colloidlab.model.filter import Filter
from colloidlab.model.journal import Evaluation, Journal
from colloidlab.model.loop import Loop, Phase, steps_between
from colloidlab.model.sequence import CarriedState, WindowSource, run_window
from colloidlab.model.train_options import TrainOptions
from colloidlab.model.trained_parts import Best, copied_weights, move, set_weights, trained_parts

_LOOKS = 3
"""Looks at the validation block (a trial has one, a long fit more); each costs a pass through it."""

_RATE = 0.02


def divide(split: Split, options: TrainOptions) -> tuple[int, range, range]:
    """Windows of the training block.

    Returns
    -------
    n : int
        Steps of a window.
    starts, visited : range
        First frames of all, and of those that are learned from.

    Raises
    ------
    UsageError
        The burn-in leaves none.
    """
    # A window holds one frame more than it has steps, and none of another block.
    n = min(options.window_frames, split.train[1] - split.train[0] - 1)
    starts = range(split.train[0], split.train[1] - n, n)
    visited = starts[options.burn_in_frames // n :]
    if not visited:
        raise UsageError(
            f"burn_in_frames = {options.burn_in_frames} leaves no window of {n} frames of the training block to "
            f"learn from; give fewer than {n * len(starts)}"
        )
    return n, starts, visited


class EntropyTrainer:
    """Laws with entropy, and what their training needs to go on.

    Consecutive windows are each started from the state that was left by the one before. The states at the starts of the
    windows are kept from pass to pass, so that windows can be visited in any order; they are as old as the last visit
    to the window before. The first frames of the block do not count, and windows that hold no others are not visited.

    Parameters
    ----------
    start : Filter
        First guess, with its inference as `forms.first_inference` gives it.
    windows : WindowSource
    split : Split
    options : TrainOptions
    machine : Machine
    """

    def __init__(
        self,
        start: Filter,
        windows: WindowSource,
        split: Split,
        options: TrainOptions,
        machine: Machine,
    ) -> None:
        self.filter = move(start, machine.device, machine.dtype)
        self._windows = windows.in_precision(machine.dtype)
        self._options, self._machine = options, machine
        self._n, self._starts, self._visited = divide(split, options)
        self._validation = (split.train[0] + self._n * len(self._starts), split.validation)
        self._sampler = WindowSampler(
            len(self._visited),
            options.batch_windows,
            options.seed,
            in_passes=True,
            rank=machine.rank,
            size=machine.size,
        )
        self._carried = CarriedStates(machine)
        self._best = Best(self.filter)

    @property
    def best_validation(self) -> float:
        """Mean log-likelihood of the validation block with the best weights so far."""
        return self._best.validation

    def train(self, n_steps: int, phase: str, journal: Journal, *, trial: bool = False) -> None:
        """Take steps, unless they are behind us."""
        if journal.finished(phase):
            return
        every = n_steps if trial else steps_between(n_steps, _LOOKS)
        loop = Loop(
            Phase(phase, n_steps, _RATE, every, self._options.patience),
            trained_parts(self.filter),
            self._best,
            journal,
            self._machine,
        )
        if not journal.interrupted(phase):
            self._sampler.new_pass()
            self._first_pass(journal, phase)
        loop.run(self._loss, self._validate)
        journal.finish(phase)

    def look(self, phase: str, journal: Journal) -> None:
        """Let the validation block judge the laws as they are, unless it has."""
        if journal.finished(phase):
            return
        journal.monitor.update(f"fit, {phase}", 0, 1)
        started, last = time.perf_counter(), self._starts[-1]
        window = self._windows(last, last + self._n + 1)
        state, total, count = run_window(self.filter, self._carried.place(window), window)
        self._carried.keep(state, window)
        (validation,) = self._machine.agreed([self._validate()])
        self._best.offer(validation)
        train = float(total / count) if float(count) else math.nan
        journal.add(Evaluation(phase, 0, time.perf_counter() - started, train, validation))
        journal.finish(phase)
        journal.monitor.update(f"fit, {phase}", 1, 1)

    def finish(self) -> Filter:
        """The filter with the best weights, in float64."""
        self._best.use()
        return move(self.filter, self._machine.device, torch.float64)

    def _first_pass(self, journal: Journal, phase: str) -> None:
        """A state for the start of every window."""
        if self._starts[-1] + self._n in self._carried:
            return
        for start in journal.monitor.track(self._starts, f"fit, first pass, {phase}"):
            window = self._windows(start, start + self._n + 1)
            state, _, _ = run_window(self.filter, self._carried.place(window), window)
            self._carried.keep(state, window)

    @cached_property
    def _batches(self) -> Iterator[Window]:
        # Here, because torch-geometric takes seconds to import.
        from colloidlab.dataset.window_data import WindowDataset, window_loader

        dataset = WindowDataset(self._windows, self._visited, self._n + 1)
        return (data.window() for data in window_loader(dataset, self._sampler))

    @cached_property
    def _batch_loss(self) -> BatchLoss:
        return BatchLoss(self.filter, self._machine)

    def _loss(self) -> Batch:
        window = next(self._batches)
        batch, state = self._batch_loss(window, self._carried.place(window), self._skip(window))
        self._carried.keep(state, window)
        self._carried.share([stop - 1 for _, stop in batch.stretches])
        return batch

    def _skip(self, window: Window) -> int | Tensor:
        """Steps that do not count, of each particle: the burn-in at the start of the block, where nobody had a state."""
        end = self._starts[0] + self._options.burn_in_frames
        skips = [max(end - frame, 0) for frame in window.frames]
        return torch.tensor(skips, device=window.member.device)[window.member] if any(skips) else 0

    def _validate(self) -> float:
        first, (begin, stop) = self._validation
        carried = self._carried[first]
        total = count = 0.0
        for a in range(first, stop - 1, self._n):
            b = min(a + self._n, stop - 1)
            window = self._windows(a, b + 1)
            state, t, c = run_window(self.filter, carried.place(window), window, skip=max(begin - a, 0))
            carried = CarriedState.take(state, window)
            total, count = total + float(t), count + float(c)
        return total / count if count else math.nan

    # ---- interruptions ----------------------------------------------------------------------

    def state(self) -> State:
        """As `Stateful`."""
        return {
            "weights": copied_weights(self.filter),
            "best": self._best.state(),
            "sampler": self._sampler.state(),
            "carried": self._carried.state(),
        }

    def restore(self, state: State) -> None:
        """As `Stateful`."""
        self._best.restore(state["best"])
        self._sampler.restore(state["sampler"])
        self._carried.restore(state["carried"])
        set_weights(self.filter, state["weights"])

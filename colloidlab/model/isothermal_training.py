"""Fitting laws of one temperature: short windows from anywhere in the training block, each from a fresh state."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from torch import Tensor

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.sampling import WindowSampler
from colloidlab.dataset.split import Split
from colloidlab.dataset.windows import Window
from colloidlab.model.batch_loss import Batch, BatchLoss
from colloidlab.model.checkpoint import State
from colloidlab.model.distributed import Machine
from colloidlab.model.entropy import ConstantEntropy
from colloidlab.model.filter import Filter
from colloidlab.model.filter_state import MATURE
from colloidlab.model.forms import Guess, isothermal_laws
from colloidlab.model.journal import Evaluation, Journal
from colloidlab.model.localisation import ErrorScale, FittedError, LocalisationError
from colloidlab.model.loop import Loop, Phase, steps_between
from colloidlab.model.scoring import block_likelihood, score_steps
from colloidlab.model.sequence import CarriedState, WindowSource, fresh_state, run_window
from colloidlab.model.train_options import TrainOptions
from colloidlab.model.trained_parts import Best, copied_weights, move, set_weights, trained_parts
from colloidlab.progress import Monitor

WINDOW_STEPS = MATURE + 7
"""Steps of a window; the memory of the velocity filter is shorter."""

_LOOKS = 6
"""Looks at the validation block (more in a long fit); each costs a pass through it."""

_RATE = 0.04

_LEAST_SIGMA = 0.05
"""Where the search for an unknown localisation error begins at the least, in thermal displacements per frame."""
_LEAST_SCALE = 0.3
"""The same of the share of stated errors: the likelihood hardly changes with logarithms of what is next to nothing."""


Correction = Callable[[Filter, WindowSource, Split, Monitor], object]
"""Moves fitted laws, in place, to where the likelihood's own error is made good."""


class IsothermalTrainer:
    """Laws of one temperature, and what their training needs to go on.

    Parameters
    ----------
    windows : WindowSource
        In float64; the steps of the optimiser are taken in the machine's precision.
    split : Split
    guess : Guess
    options : TrainOptions
    machine : Machine
    correct : callable, optional
    """

    def __init__(
        self,
        windows: WindowSource,
        split: Split,
        guess: Guess,
        options: TrainOptions,
        machine: Machine,
        correct: Correction | None = None,
    ) -> None:
        error = _fitted_error(windows.recording, guess)
        self.filter = Filter(isothermal_laws(guess), ConstantEntropy(), guess.temperature, error=error)
        move(self.filter, machine.device, machine.dtype)
        self._windows, self._split, self._options, self._machine = windows, split, options, machine
        self._training_windows = windows.in_precision(machine.dtype)
        self._starts = range(split.train[0], split.train[1] - WINDOW_STEPS)
        self._sampler = WindowSampler(
            len(self._starts),
            options.batch_windows,
            options.seed,
            in_passes=False,
            rank=machine.rank,
            size=machine.size,
        )
        self._best = Best(self.filter)
        self._correct = correct
        self._before_correction: dict[str, Tensor] = {}

    @property
    def likeliest(self) -> Filter:
        """The laws where the likelihood has its optimum, which corrections leave: nothing of one temperature does better."""
        if not self._before_correction:
            return self.filter
        found = copy.deepcopy(self.filter)
        set_weights(found, self._before_correction)
        return found

    def train(self, journal: Journal) -> Filter:
        """Optimise, take the best, end with Newton's steps and correct; every phase that is behind us is passed over."""
        journal.keep("isothermal", self)
        n_steps = self._options.isothermal_steps
        phase = Phase("isothermal", n_steps, _RATE, steps_between(n_steps, _LOOKS), self._options.patience)
        if not journal.finished(phase.name):
            loop = Loop(phase, trained_parts(self.filter), self._best, journal, self._machine)
            loop.run(self._loss, self._validate)
            self._best.use()
            journal.finish(phase.name)
        # Single scores are numerical derivatives, which float32 does not have the digits for.
        move(self.filter, self._machine.device, torch.float64)
        self._score(journal)
        self._make_good(journal)
        # Without entropy it is found; with entropy it would only take part of the noise.
        if self.filter.error is not None:
            self.filter.error.requires_grad_(False)
        return self.filter

    def _score(self, journal: Journal) -> None:
        """Newton's steps; see `scoring`."""
        name = "isothermal, scoring"
        if journal.finished(name):
            return
        started, rounds = time.perf_counter(), self._options.scoring_rounds
        rows = score_steps(self.filter, self._windows, self._split, rounds=rounds, monitor=journal.monitor)
        self._machine.agree_on(trained_parts(self.filter))
        for step, found in enumerate(rows):
            journal.add(Evaluation(name, step, time.perf_counter() - started, found.train, found.validation))
        journal.finish(name)

    def _make_good(self, journal: Journal) -> None:
        name = "isothermal, correction"
        if self._correct is None or journal.finished(name):
            return
        started = time.perf_counter()
        self._before_correction = copied_weights(self.filter)
        self._correct(self.filter, self._windows, self._split, journal.monitor)
        self._machine.agree_on(trained_parts(self.filter))
        found = block_likelihood(self.filter, self._windows, self._split)
        journal.add(Evaluation(name, 0, time.perf_counter() - started, found.train, found.validation))
        journal.finish(name)

    @cached_property
    def _batches(self) -> Iterator[Window]:
        # Here, because torch-geometric takes seconds to import.
        from colloidlab.dataset.window_data import WindowDataset, window_loader

        dataset = WindowDataset(self._training_windows, self._starts, WINDOW_STEPS + 1)
        return (data.window() for data in window_loader(dataset, self._sampler))

    @cached_property
    def _batch_loss(self) -> BatchLoss:
        return BatchLoss(self.filter, self._machine)

    def _loss(self) -> Batch:
        window = next(self._batches)
        return self._batch_loss(window, fresh_state(window))[0]

    @torch.no_grad()
    def _validate(self) -> float:
        begin, last = self._split.validation[0], self._split.validation[1] - 1
        carried: CarriedState | None = None
        total = count = 0.0
        for first in range(begin, last, WINDOW_STEPS):
            # A window of n steps reads n + 1 frames; the last of them must still be of the validation block.
            window = self._training_windows(first, min(first + WINDOW_STEPS, last) + 1)
            state = fresh_state(window) if carried is None else carried.place(window)
            state, t, c = run_window(self.filter, state, window)
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
            "before_correction": self._before_correction,
        }

    def restore(self, state: State) -> None:
        """As `Stateful`."""
        self._best.restore(state["best"])
        self._sampler.restore(state["sampler"])
        set_weights(self.filter, state["weights"])
        device = next(trained_parts(self.filter).parameters()).device
        self._before_correction = {k: w.to(device) for k, w in state.get("before_correction", {}).items()}


def _fitted_error(recording: Recording, guess: Guess) -> FittedError | None:
    """What is to be fitted of the localisation error: all of it, how much of it is new in every frame, or nothing."""
    if not recording.sigma_stated:
        return LocalisationError(max(guess.sigma, _LEAST_SIGMA * math.sqrt(guess.temperature)))
    if recording.sigma_new:
        return None
    return ErrorScale(min(max(guess.error_scale, _LEAST_SCALE), 1.0))

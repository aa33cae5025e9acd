"""Fitting the laws: likelihood of motion over windows, isothermal first, then with entropy."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.split import Split
from colloidlab.dataset.windows import Window
from colloidlab.errors import ColloidlabError
from colloidlab.model.entropy import ConstantEntropy
from colloidlab.model.filter import Filter, LocalisationError
from colloidlab.model.filter_state import MATURE
from colloidlab.model.forms import EntropyForm, Guess, first_inference, isothermal_laws, thermal_laws
from colloidlab.model.scoring import score_steps
from colloidlab.model.sequence import CarriedState, WindowSource, fresh_state, run_window
from colloidlab.progress import SILENT, Monitor

_ISOTHERMAL_FRAMES = 7
"""Scored steps of a window of the isothermal fit; the memory of the velocity filter is shorter."""

_VALIDATIONS = 4
"""Looks at the validation block in the fit with entropy (a trial has one); each costs a pass through the block."""

_TRIAL_STEPS = 8
"""Fewer cannot tell which sign of the exponent of temperature fits."""

_FIRST_SIGMA = 0.2
"""First guess of an unknown localisation error, in thermal displacements per frame."""

_CLIP = 5.0
"""Largest norm of the gradient of the mean log-likelihood."""


@dataclass(frozen=True)
class TrainOptions:
    """How long and how to train; see `config.FitConfig`."""

    isothermal_steps: int = 250
    filter_steps: int = 120
    window_frames: int = 20
    burn_in_frames: int = 20
    scoring_rounds: int = 1
    seed: int = 0
    entropy: EntropyForm = "filter"


@dataclass(frozen=True)
class Evaluation:
    """One row of the training curves."""

    phase: str
    step: int
    seconds: float
    train_loglik: float
    validation_loglik: float


@dataclass
class Fit:
    """Fitted laws: the isothermal baseline and the laws with entropy.

    Attributes
    ----------
    isothermal, thermal : Filter
        One and the same where no entropy was asked for.
    curves : list of Evaluation
    """

    isothermal: Filter
    thermal: Filter
    curves: list[Evaluation]


def fit_laws(
    recording: Recording, split: Split, guess: Guess, options: TrainOptions, monitor: Monitor = SILENT
) -> Fit:
    """Fit both laws on the training block; the validation block chooses, the test block is not touched.

    Parameters
    ----------
    recording : Recording
    split : Split
    guess : Guess
    options : TrainOptions
    """
    curves: list[Evaluation] = []
    windows = WindowSource(recording, guess.cutoff)
    isothermal = fit_isothermal(windows, split, guess, options, curves, monitor)
    if options.entropy == "isothermal":
        return Fit(isothermal=isothermal, thermal=isothermal, curves=curves)
    temperature = float(isothermal.laws.energy.log_temperature.detach().exp())
    candidates = []
    trial = max(_TRIAL_STEPS, options.filter_steps // 6)
    for power in (0.5, -0.5):
        laws = thermal_laws(isothermal.laws, power=power)
        inference = first_inference(options.entropy, laws, temperature, seed=options.seed)
        start = Filter(laws, inference, guess.temperature, isothermal.error)
        trainer = _EntropyTrainer(start, windows, split, options)
        trainer.train(
            trial, f"trial, noise {'grows' if power > 0 else 'falls'} with T", curves, monitor, trial=True
        )
        candidates.append(trainer)
    best = max(candidates, key=lambda c: c.best_validation)
    best.train(max(options.filter_steps - trial, 1), options.entropy, curves, monitor)
    best.restore_best()
    return Fit(isothermal=isothermal, thermal=best.filter, curves=curves)


def _unknown_error(recording: Recording, guess: Guess) -> LocalisationError | None:
    """A localisation error to be fitted, where the recording states none."""
    if recording.sigma_stated:
        return None
    return LocalisationError(_FIRST_SIGMA * math.sqrt(guess.temperature))


def fit_isothermal(
    windows: WindowSource,
    split: Split,
    guess: Guess,
    options: TrainOptions,
    curves: list[Evaluation],
    monitor: Monitor = SILENT,
) -> Filter:
    """Fit laws of one temperature: the baseline, and the start of the fit with entropy.

    Parameters
    ----------
    windows : WindowSource
    split : Split
    guess : Guess
    options : TrainOptions
    curves : list of Evaluation
        Rows are added to it.
    """
    error = _unknown_error(windows.recording, guess)
    filter_ = Filter(isothermal_laws(guess), ConstantEntropy(), guess.temperature, error=error)
    laws = filter_.laws
    length = MATURE + _ISOTHERMAL_FRAMES
    starts = np.arange(split.train[0], split.train[1] - length)
    # A window of n steps reads n + 1 frames; the last of them must still be of the validation block.
    begin, last = split.validation[0], split.validation[1] - 1
    checks = np.linspace(begin, max(last - length, begin), 3).astype(int)
    rng = np.random.default_rng(options.seed)

    def loss() -> _Batch:
        first = int(rng.choice(starts))
        window = _window(windows, first, length)
        _, total, count = run_window(filter_, fresh_state(window), window, training=True)
        return _Batch(-total / count.clamp_min(1), first, first + window.n_frames)

    def validate() -> float:
        with torch.no_grad():
            sums = [
                run_window(filter_, fresh_state(w), w)[1:]
                for w in (_window(windows, int(c), min(length, last - int(c))) for c in checks)
            ]
        return float(sum(s[0] for s in sums) / max(float(sum(s[1] for s in sums)), 1.0))

    parameters = [*laws.parameters(), *([] if filter_.error is None else filter_.error.parameters())]
    loop = _Loop(parameters, rate=0.04, phase="isothermal", curves=curves, monitor=monitor)
    loop.run(options.isothermal_steps, loss, validate, every=max(options.isothermal_steps // 8, 1))
    if filter_.error is not None:
        # Without entropy it is found; with entropy it would only take part of the noise.
        filter_.error.requires_grad_(False)
    _score(filter_, windows, split, options, curves, monitor)
    return filter_


def _score(
    filter_: Filter,
    windows: WindowSource,
    split: Split,
    options: TrainOptions,
    curves: list[Evaluation],
    monitor: Monitor,
) -> None:
    """Newton's steps after the isothermal fit; see `scoring`."""
    started = time.perf_counter()
    for step, found in enumerate(
        score_steps(filter_, windows, split, rounds=options.scoring_rounds, monitor=monitor)
    ):
        curves.append(
            Evaluation(
                "isothermal, scoring", step, time.perf_counter() - started, found.train, found.validation
            )
        )


def _window(windows: WindowSource, first: int, length: int) -> Window:
    return windows(first, first + length + 1)


@dataclass(frozen=True)
class _Batch:
    """Minus the mean log-likelihood of some frames."""

    loss: Tensor
    first: int
    stop: int


class _Loop:
    """Adam with a falling rate and clipped gradients; what is not finite ends in an error that names its frames."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        rate: float,
        phase: str,
        curves: list[Evaluation],
        monitor: Monitor,
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.rate, self.phase, self.curves, self.monitor = rate, phase, curves, monitor
        self.optimizer = torch.optim.Adam(self.parameters, lr=rate)

    def run(
        self, n_steps: int, loss: Callable[[], _Batch], validate: Callable[[], float], *, every: int,
        on_validation: Callable[[float], None] = lambda _: None,
    ) -> None:  # fmt: skip
        started, recent = time.perf_counter(), []
        for step in range(n_steps):
            self.monitor.update(f"fit, {self.phase}", step, n_steps)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / n_steps)))
            batch = loss()
            value = batch.loss
            self._check(bool(torch.isfinite(value)), "likelihood", step, batch)
            self.optimizer.zero_grad()
            value.backward()
            norm = nn.utils.clip_grad_norm_(self.parameters, _CLIP)
            self._check(bool(torch.isfinite(norm)), "gradient", step, batch)
            self.optimizer.step()
            recent.append(-float(value.detach()))
            if (step + 1) % every == 0 or step + 1 == n_steps:
                validation = validate()
                self.curves.append(
                    Evaluation(
                        self.phase,
                        step + 1,
                        time.perf_counter() - started,
                        float(np.mean(recent)),
                        validation,
                    )
                )
                recent.clear()
                on_validation(validation)
        self.monitor.update(f"fit, {self.phase}", n_steps, n_steps)

    def _check(self, finite: bool, what: str, step: int, batch: _Batch) -> None:
        if not finite:
            raise ColloidlabError(
                f"the fit ({self.phase}, step {step}) met a non-finite {what} in frames {batch.first} to "
                f"{batch.stop - 1}; tracks with wild jumps are the usual cause: look at them there, at "
                "search_range_px, or give a larger sigma_px"
            )


class _EntropyTrainer:
    """Truncated back-propagation through consecutive windows, each started from the state left by the one before.

    The states at the starts of the windows are kept from pass to pass, so that windows can be
    visited in any order; they are as old as the last visit to the window before.
    """

    def __init__(self, start: Filter, windows: WindowSource, split: Split, options: TrainOptions) -> None:
        self.filter = start
        self.windows = windows
        self.options = options
        n = options.window_frames
        last = split.train[1] - n - 1
        self.starts = list(range(split.train[0], max(last, split.train[0]) + 1, n))
        self.validation = (split.train[0] + n * len(self.starts), split.validation)
        self.rng = np.random.default_rng(options.seed)
        self.carry: dict[int, CarriedState] = {}
        self.best_validation = -math.inf
        self._best: tuple[dict, dict] | None = None
        self._pass(self.starts)

    def train(
        self, n_steps: int, phase: str, curves: list[Evaluation], monitor: Monitor, *, trial: bool = False
    ) -> None:
        parameters = [*self.filter.laws.parameters(), *self.filter.inference.parameters()]
        order: list[int] = []

        def loss() -> _Batch:
            if not order:
                order.extend(self.rng.permutation(len(self.starts)).tolist())
            return self._visit(order.pop())

        loop = _Loop(parameters, rate=0.02, phase=phase, curves=curves, monitor=monitor)
        loop.run(
            n_steps,
            loss,
            self._validate,
            every=max(n_steps // (1 if trial else _VALIDATIONS), 1),
            on_validation=self._keep_best,
        )

    def restore_best(self) -> None:
        assert self._best is not None
        self.filter.laws.load_state_dict(self._best[0])
        self.filter.inference.load_state_dict(self._best[1])

    def _visit(self, w: int) -> _Batch:
        n, start = self.options.window_frames, self.starts[w]
        window = self.windows(start, start + n + 1)
        state = self.carry[start].place(window) if start in self.carry else fresh_state(window)
        skip = self.options.burn_in_frames if start not in self.carry else 0
        state, total, count = run_window(self.filter, state, window, training=True, skip=min(skip, n // 2))
        self.carry[start + n] = CarriedState.take(state, window)
        return _Batch(-total / count.clamp_min(1), start, start + window.n_frames)

    def _pass(self, starts: list[int]) -> None:
        for start in starts:
            n = self.options.window_frames
            window = self.windows(start, start + n + 1)
            state = self.carry[start].place(window) if start in self.carry else fresh_state(window)
            state, _, _ = run_window(self.filter, state, window)
            self.carry[start + n] = CarriedState.take(state, window)

    def _validate(self) -> float:
        first, (begin, stop) = self.validation
        carried = self.carry[first]
        total = count = 0.0
        for a in range(first, stop - 1, self.options.window_frames):
            b = min(a + self.options.window_frames, stop - 1)
            window = self.windows(a, b + 1)
            state, t, c = run_window(self.filter, carried.place(window), window, skip=max(begin - a, 0))
            carried = CarriedState.take(state, window)
            total, count = total + float(t), count + float(c)
        return total / max(count, 1.0)

    def _keep_best(self, validation: float) -> None:
        if validation > self.best_validation:
            self.best_validation = validation
            self._best = (
                copy.deepcopy(self.filter.laws.state_dict()),
                copy.deepcopy(self.filter.inference.state_dict()),
            )

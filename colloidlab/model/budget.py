"""How many optimisation steps a fit can take in a given time.

A few steps of each kind are taken with laws that are thrown away, and timed. What does not depend on the number of steps
(passes over the recording, looks at the validation block, the uncertainty) is told from the same times; what is
left of the budget is spent in the proportion of the standard fit. Times vary, so the numbers do: they are written
down, and given as options they repeat the fit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from colloidlab.dataset.split import Split
from colloidlab.dataset.windows import Window
from colloidlab.model.distributed import ALONE, Machine
from colloidlab.model.entropy import ConstantEntropy
from colloidlab.model.filter import Filter
from colloidlab.model.forms import Guess, first_inference, isothermal_laws, thermal_laws
from colloidlab.model.isothermal_training import WINDOW_STEPS
from colloidlab.model.scores import free_parameters
from colloidlab.model.sequence import WindowSource, fresh_state, run_window
from colloidlab.model.train_options import LEAST_TRIAL_STEPS, TrainOptions
from colloidlab.model.trained_parts import move

_ROUNDS = 2
"""Timed repetitions, after one that is not timed."""


@dataclass(frozen=True)
class Costs:
    """Seconds of the parts of a fit.

    Attributes
    ----------
    isothermal_step, filter_step : float
        One optimisation step of each kind.
    follow : float
        Filtering one frame with and without entropy, no gradient.
    gradient : float
        The derivative of the likelihood of one frame.
    parameters : int
        Of the laws: single scores run the filter once for each, some so many times.
    """

    isothermal_step: float
    filter_step: float
    follow: float
    gradient: float
    parameters: int


def measure_costs(
    windows: WindowSource, split: Split, guess: Guess, options: TrainOptions, machine: Machine = ALONE
) -> Costs:
    """Time a few steps on the first frames of the training block.

    Parameters
    ----------
    windows : WindowSource
    split : Split
    guess : Guess
    options : TrainOptions
        Their window length and batch.
    machine : Machine
    """
    isothermal = Filter(isothermal_laws(guess), ConstantEntropy(), guess.temperature)
    thermal = isothermal
    if options.entropy != "isothermal":
        laws = thermal_laws(isothermal.laws)
        inference = first_inference(options.entropy, laws, guess.temperature, seed=options.seed)
        thermal = Filter(laws, inference, guess.temperature)
    for filter_ in (isothermal, thermal):
        move(filter_, machine.device, machine.dtype)
    windows = windows.in_precision(machine.dtype)

    def window(length: int) -> Window:
        first = split.train[0]
        return windows(first, min(first + length + 1, split.train[1]))

    short, long = window(WINDOW_STEPS), window(options.window_frames)
    step = _seconds(lambda: _step(thermal, long))
    # Stretches of a batch are filtered at once, in about the time that they would take one after the other.
    share = math.ceil(options.batch_windows / machine.size)
    plain = _seconds(lambda: _plain(thermal, long)) + _seconds(lambda: _plain(isothermal, long))
    frames = long.n_frames - 1
    short_step = _seconds(lambda: _step(isothermal, short))
    parameters = sum(p.numel() for p in free_parameters(thermal.laws))
    return Costs(share * short_step, share * step, plain / frames, step / frames, parameters)


def _seconds(work: Callable[[], None]) -> float:
    work()
    started = time.perf_counter()
    for _ in range(_ROUNDS):
        work()
    return (time.perf_counter() - started) / _ROUNDS


def _step(filter_: Filter, window: Window) -> None:
    _, total, count = run_window(filter_, fresh_state(window), window, training=True)
    (-total / count.clamp_min(1)).backward()


def _plain(filter_: Filter, window: Window) -> None:
    run_window(filter_, fresh_state(window), window)


_TRIALS = 2
"""Signs of the exponent of temperature."""
_LOOKS = 9
"""At the validation block: six with entropy, and six of the isothermal fit at about half the price."""
_FRAMES_OF_A_STEP = 8
"""In which single scores are taken for a step of scoring."""
_TRIED_FRACTIONS = 2
"""Of a step, as a rule; at each the likelihood of both blocks is looked at."""
_FRAMES_OF_THE_COVARIANCE = 26
"""In which single scores are taken for the uncertainty."""
_OVERLAP = 1.3
"""Frames of all stretches over those of the block: they begin before what is scored."""
_PER_ROUND = 2
"""Estimates of the uncertainty in a round of corrections, before and after."""
_SIMULATED = 2.0
"""What it takes to simulate a frame, in units of what it takes to filter it."""


def fixed_seconds(costs: Costs, split: Split, options: TrainOptions) -> float:
    """What a fit takes beside its steps: passes over the recording, validations, scoring, corrections, uncertainty."""
    train, validation = (b - a for a, b in (split.train, split.validation))
    whole = split.test[1] - split.train[0]
    # Every trial starts with a pass over the training block; the whole recording is followed at the end.
    passes = costs.follow * (whole + _TRIALS * train + _LOOKS * validation)
    single_scores = costs.parameters * costs.follow
    scoring = (
        costs.gradient * train
        + _FRAMES_OF_A_STEP * single_scores
        + _TRIED_FRACTIONS * costs.follow * (train + validation)
    )
    uncertainty = (
        _OVERLAP * (costs.follow + costs.gradient) * train + _FRAMES_OF_THE_COVARIANCE * single_scores
    )
    rounds = options.correction_rounds
    simulated = _OVERLAP * (_SIMULATED * costs.follow + costs.gradient) * train
    corrections = _PER_ROUND * (rounds + 1) * (uncertainty + simulated) if rounds else uncertainty
    return passes + options.scoring_rounds * scoring + corrections


def plan_steps(seconds: float, costs: Costs, split: Split, options: TrainOptions) -> TrainOptions:
    """Number of steps of both phases that fill the time, in the proportion that the options have.

    Parameters
    ----------
    seconds : float
        What is left of the budget.
    costs : Costs
    split : Split
    options : TrainOptions

    Returns
    -------
    TrainOptions
        With at least one isothermal step and two trials: less is no fit, whatever the budget.

    Examples
    --------
    >>> costs = Costs(isothermal_step=1.0, filter_step=1.0, follow=0.0, gradient=0.0, parameters=1)
    >>> split = Split((0, 60), (60, 80), (80, 100))
    >>> plan = plan_steps(600.0, costs, split, TrainOptions(isothermal_steps=100, filter_steps=50))
    >>> plan.isothermal_steps, plan.filter_steps
    (379, 189)
    """
    left = max(seconds - fixed_seconds(costs, split, options), 0.0)

    def planned(scale: float) -> TrainOptions:
        plan = replace(options, isothermal_steps=max(1, int(scale * options.isothermal_steps)))
        if options.entropy == "isothermal":
            return plan
        return replace(plan, filter_steps=max(LEAST_TRIAL_STEPS, int(scale * options.filter_steps)))

    low, high = 0.0, 1e4
    for _ in range(60):
        middle = 0.5 * (low + high)
        fits = _step_seconds(planned(middle), costs) <= left
        low, high = (middle, high) if fits else (low, middle)
    return planned(low)


def _step_seconds(options: TrainOptions, costs: Costs) -> float:
    """Time of all steps: the rejected sign of temperature takes a trial more than `filter_steps` counts."""
    if options.entropy == "isothermal":
        return options.isothermal_steps * costs.isothermal_step
    filtered = 2 * options.trial_steps + options.further_steps
    return options.isothermal_steps * costs.isothermal_step + filtered * costs.filter_step

"""Numbers of steps that fill a given time, from made-up costs; and that costs are measured at all."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from small_gas import CUTOFF, isothermal_gas, record, simulate, watch

from colloidlab.config import load_config
from colloidlab.dataset.regime import judge
from colloidlab.dataset.split import Split, split_by_time
from colloidlab.model.budget import Costs, fixed_seconds, measure_costs, plan_steps
from colloidlab.model.checkpoint import FitCheckpoint
from colloidlab.model.distributed import ALONE
from colloidlab.model.guess import first_guess
from colloidlab.model.sequence import WindowSource
from colloidlab.model.train import TrainOptions
from colloidlab.pipeline.training import plan_training
from colloidlab.run import Run

COSTS = Costs(isothermal_step=0.4, filter_step=1.2, follow=0.03, gradient=0.06, parameters=25)
SPLIT = Split((0, 180), (180, 240), (240, 300))
USUAL = TrainOptions(isothermal_steps=100, filter_steps=42)


def seconds(options: TrainOptions) -> float:
    trial = max(8, options.filter_steps // 6)
    return (
        0.4 * options.isothermal_steps
        + 1.2 * (options.filter_steps + trial)
        + fixed_seconds(COSTS, SPLIT, options)
    )


@pytest.mark.parametrize("minutes", [4, 6, 10, 60])
def test_the_steps_fill_the_budget_in_the_usual_proportion(minutes: float) -> None:
    plan = plan_steps(60 * minutes, COSTS, SPLIT, USUAL)
    assert 60 * minutes - 3 < seconds(plan) <= 60 * minutes
    assert plan.isothermal_steps / plan.filter_steps == pytest.approx(100 / 42, rel=0.05)


def test_too_small_a_budget_still_gives_the_least_fit() -> None:
    plan = plan_steps(1.0, COSTS, SPLIT, USUAL)
    assert (plan.isothermal_steps, plan.filter_steps) == (1, 8)


def test_nothing_but_the_steps_is_changed() -> None:
    options = TrainOptions(100, 42, window_frames=13, burn_in_frames=7, seed=5)
    plan = plan_steps(600.0, COSTS, SPLIT, options)
    assert (plan.window_frames, plan.burn_in_frames, plan.seed) == (13, 7, 5)


def test_costs_are_measured() -> None:
    motion = simulate(isothermal_gas(), n=80, n_frames=60, steps=2)
    recording = record(watch(motion, 0.05), motion.box)
    guess = first_guess(recording, judge(recording, 1.5 * CUTOFF), CUTOFF)
    split = split_by_time(0, 60, 0.6, 0.2)
    costs = measure_costs(WindowSource(recording, CUTOFF), split, guess, TrainOptions(window_frames=6))
    assert min(vars(costs).values()) > 0
    # A gradient costs more than the filter alone.
    assert costs.gradient > 0.5 * costs.follow


def test_the_steps_of_an_interrupted_fit_are_not_planned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times vary, and other steps would be another fit."""
    config = load_config(None, {"fit": {"budget_minutes": 3.0}})
    data: Any = None, SPLIT, None
    planned = TrainOptions(17, 12, patience=4)
    FitCheckpoint(tmp_path, "key").write({"options": asdict(planned)})
    found = plan_training(Run(tmp_path), config, "key", data, ALONE, started=0.0)
    assert found.options == planned
    monkeypatch.setattr("colloidlab.pipeline.training._within", lambda *_: USUAL)
    assert plan_training(Run(tmp_path), config, "other", data, ALONE, started=0.0).options == USUAL

"""Part of stage `simulate`: short predictions from many frames of the rollout's block, and how good they are."""

from __future__ import annotations

import pandas as pd

from colloidlab.config import SimulateConfig
from colloidlab.dataset.recording import Recording
from colloidlab.model.filter import Filter
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.belief import Belief, follow_to
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.calibration import NOTHING, Judgement, judge_forecasts
from colloidlab.rollout.forecast import Forecasting, forecast, start_frames
from colloidlab.units import Calibration


def believe(
    filter_: Filter, recording: Recording, plan: Plan, options: SimulateConfig, monitor: Monitor = SILENT
) -> dict[int, Belief]:
    """What the filter believes where the rollouts start, and where the predictions do."""
    frames, _ = start_frames(*_block(plan), _choice(options))
    return follow_to(filter_, recording, sorted({plan.first, *frames}), monitor)


def judge(
    filter_: Filter,
    recording: Recording,
    state: pd.DataFrame,
    plan: Plan,
    options: SimulateConfig,
    beliefs: dict[int, Belief],
    calibration: Calibration,
    monitor: Monitor = SILENT,
) -> Judgement:
    """Predict from frames of the block that the rollouts cover, and judge; empty where there is nothing to judge."""
    found = forecast(
        filter_,
        recording,
        state,
        _block(plan),
        _choice(options),
        beliefs=beliefs,
        steps_per_frame=options.steps_per_frame,
        integrator=options.integrator,
        monitor=monitor,
    )
    return NOTHING if found is None else judge_forecasts(found, calibration, seed=options.simulate_seed)


def _block(plan: Plan) -> tuple[int, int]:
    return plan.first, plan.first + plan.n_frames - 1


def _choice(options: SimulateConfig) -> Forecasting:
    return Forecasting(
        options.forecast_starts, options.forecast_members, options.forecast_frames, options.simulate_seed
    )

"""Part of stage `simulate`: short predictions from many frames of the rollout's block, and how good they are."""

from __future__ import annotations

import pandas as pd

from colloidlab.config import SimulateConfig
from colloidlab.dataset.recording import Recording
from colloidlab.model.filter import Filter
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.calibration import NOTHING, Judgement, judge_forecasts
from colloidlab.rollout.forecast import Forecasting, forecast
from colloidlab.units import Calibration


def judge(
    filter_: Filter,
    recording: Recording,
    state: pd.DataFrame,
    plan: Plan,
    options: SimulateConfig,
    calibration: Calibration,
    monitor: Monitor = SILENT,
) -> Judgement:
    """Predict from frames of the block that the rollouts cover, and judge; empty where there is nothing to judge."""
    choice = Forecasting(
        options.forecast_starts, options.forecast_members, options.forecast_frames, options.simulate_seed
    )
    found = forecast(
        filter_,
        recording,
        state,
        (plan.first, plan.first + plan.n_frames - 1),
        choice,
        steps_per_frame=options.steps_per_frame,
        integrator=options.integrator,
        monitor=monitor,
    )
    return NOTHING if found is None else judge_forecasts(found, calibration, seed=options.simulate_seed)

"""The stages of a run, each from run folder to run folder: track, fit, simulate, report.

The indicators are a part of `track`, and can be measured anew alone.
A stage is skipped when neither its inputs nor its options have changed since it last
succeeded. What a stage could not do is said, never hidden.
"""

from colloidlab.pipeline.fit import run_fit
from colloidlab.pipeline.indicators import run_indicators
from colloidlab.pipeline.simulate import run_simulate
from colloidlab.pipeline.track import run_track
from colloidlab.pipeline.whole import run_all, run_report

__all__ = ["run_all", "run_fit", "run_indicators", "run_report", "run_simulate", "run_track"]

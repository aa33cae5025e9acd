"""All stages one after the other, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from colloidlab.claim import alone
from colloidlab.config import Config
from colloidlab.errors import FitRefused, InputError, RolloutStopped
from colloidlab.pipeline.fit import run_fit
from colloidlab.pipeline.simulate import run_simulate
from colloidlab.pipeline.track import run_track
from colloidlab.progress import SILENT, Monitor
from colloidlab.report import write_report
from colloidlab.run import STAGES, Run, digest


@alone
def run_report(run: Run, config: Config, monitor: Monitor = SILENT) -> dict[str, Any]:
    """Write report.html from what the run folder holds."""
    run.require("track")
    with run.stage("report", report_key(run), config, {}):
        path = write_report(run, monitor=monitor)
    return {"report": str(path)}


def report_key(run: Run) -> str:
    """What the page shows: the products of all stages, their facts, and the scale."""
    stages = [stage for stage in STAGES if stage != "report"]
    return digest([run.record["source"], *((run.output_hash(s), run.facts(s)) for s in stages)])


@alone
def run_all(source: Path, run: Run, config: Config, monitor: Monitor = SILENT) -> dict[str, Any]:
    """Track, fit, simulate, report; a recording that the fit refuses still ends with a report.

    Returns
    -------
    dict
        Everything in `summary.json`, the path of the report, and `refused` where the fit was.
    """
    run_track(source, run, config, monitor)
    refused = stopped = None
    try:
        run_fit(run, config, monitor)
        try:
            run_simulate(run, config, monitor)
        except InputError as error:
            # A model without a simulation (no interior particle, too short a test block) is still worth a report.
            refused = str(error)
    except FitRefused as error:
        refused = str(error)
    except RolloutStopped as error:
        stopped = error
    if run.is_current("report", report_key(run)):
        result = {"report": str(run.path / "report.html")}
    else:
        result = run_report(run, config, monitor)
    if stopped is not None:
        raise stopped
    return run.summary | result | ({"refused": refused} if refused else {})

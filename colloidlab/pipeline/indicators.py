"""Stage `indicators`: rearrangement, structure, motion and flow from the tracks of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from colloidlab.config import QUANTITIES, Config
from colloidlab.indicators import IndicatorResult, compute
from colloidlab.indicators.stage import Parts
from colloidlab.progress import SILENT, Monitor
from colloidlab.run import Run, digest
from colloidlab.units import Calibration

_OF_ROLLOUTS = ("neighbour_cutoff_px", "d2min_lag_frames")
"""Headline numbers with which rollouts are compared to the experiment."""


def run_indicators(run: Run, config: Config, monitor: Monitor = SILENT) -> dict[str, Any]:
    """Measure what the options ask for.

    What else has been measured in the same tracks with the same options is kept.

    Returns
    -------
    dict
        The summary's entries of this stage, and `skipped`.

    Raises
    ------
    InputError
        The run has no tracks.
    """
    run.require("track")
    skipped = has_indicators(run, config)
    if not skipped:
        tracks, region = run.read_table("tracks"), run.facts("track")["region"]
        write_indicators(run, config, measure(tracks, run.calibration, config, region, monitor))
    return run.stage_summary("indicators") | {"skipped": skipped}


def has_indicators(run: Run, config: Config) -> bool:
    """Is everything that the options ask for there?"""
    parts = run.facts("indicators").get("parts", {})
    return run.is_current("indicators", indicators_key(run, config)) and set(
        config.indicators.quantities
    ) <= set(parts)


def indicators_key(run: Run, config: Config) -> str:
    """What the indicators depend on, whichever of them are asked for."""
    options = config.indicators.model_dump(exclude={"only"})
    return digest({"tracks": run.output_hash("track"), "indicators": options})


def measure(
    tracks: pd.DataFrame,
    calibration: Calibration,
    config: Config,
    region: Sequence[float],
    monitor: Monitor = SILENT,
) -> IndicatorResult:
    """The indicators of tracks in a region (x0, y0, x1, y1), px."""
    x0, y0, x1, y1 = region
    view = (math.ceil(x1), math.ceil(y1))
    return compute(
        tracks, calibration, config.indicators, view=view, region=(x0, y0, x1, y1), monitor=monitor
    )


def write_indicators(run: Run, config: Config, result: IndicatorResult) -> None:
    """Write the results of the stage, beside what else is there of the same tracks and options."""
    key = indicators_key(run, config)
    parts = run.facts("indicators").get("parts")
    if parts and run.is_current("indicators", key):
        result = _beside(run, parts, result)
    before = run.stage_summary("indicators")
    # What was asked for this time is no setting: the run's next command measures what it is asked for itself.
    every = config.model_copy(update={"indicators": config.indicators.model_copy(update={"only": None})})
    with run.stage("indicators", key, every, every.indicators.model_dump()) as facts:
        facts["parts"] = result.parts
        run.write_table("indicators", result.table)
        run.write_table("curves", result.curves)
        for name, table in result.tables.items():
            run.write_table(name, table)
        run.summarise("indicators", result.summary)
    if any(before.get(name) != result.summary.get(name, before.get(name)) for name in _OF_ROLLOUTS):
        run.forget("simulate")


def _beside(run: Run, parts: Parts, new: IndicatorResult) -> IndicatorResult:
    """The new results and those of the other quantities of the run."""
    kept = {name: part for name, part in parts.items() if name not in new.parts}

    def names(what: str) -> list[str]:
        return [one for part in kept.values() for one in part[what]]

    table, curves, summary = (
        run.read_table("indicators"),
        run.read_table("curves"),
        run.stage_summary("indicators"),
    )
    rows = ["frame", "particle"]
    joined = new.table.merge(table[[*rows, *names("columns")]], on=rows, validate="one_to_one")
    every = {**kept, **new.parts}
    ordered = {name: every[name] for name in QUANTITIES if name in every}
    columns = [column for part in ordered.values() for column in part["columns"]]
    tables = {name: run.read_table(name) if name in names("tables") else t for name, t in new.tables.items()}
    notes = [note for part in ordered.values() for note in part["notes"]]
    return IndicatorResult(
        table=joined[[*rows, *columns]],
        curves=pd.concat([curves[curves["quantity"].isin(names("curves"))], new.curves], ignore_index=True),
        tables=tables,
        summary={**{k: summary[k] for k in names("summary")}, **new.summary, "notes": notes},
        parts=ordered,
    )

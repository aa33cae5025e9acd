"""Stage `indicators`: rearrangement, structure, motion and flow from the tracks of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from colloidlab.claim import alone
from colloidlab.config import QUANTITIES, Config
from colloidlab.indicators import IndicatorResult, compute
from colloidlab.indicators.stage import Parts, refuse_impossible
from colloidlab.pipeline.association import refresh_association
from colloidlab.progress import SILENT, Monitor
from colloidlab.run import Run, digest
from colloidlab.units import Calibration


@alone
def run_indicators(run: Run, config: Config, monitor: Monitor = SILENT) -> dict[str, Any]:
    """Measure what the options ask for; what else has been measured in the same tracks is kept as it is.

    Returns
    -------
    dict
        The summary's entries of this stage, and `skipped`.

    Raises
    ------
    InputError
        The run has no tracks, or the options ask for what these tracks cannot have; nothing is touched then.
    """
    run.require("track")
    skipped = has_indicators(run, config)
    if not skipped:
        tracks, region = run.read_table("tracks"), run.facts("track")["region"]
        refuse_impossible(tracks, config.indicators)
        write_indicators(run, config, measure(tracks, run.calibration, config, region, monitor))
    return run.stage_summary("indicators") | {"skipped": skipped}


def has_indicators(run: Run, config: Config) -> bool:
    """Is everything that the options ask for there, measured with these options?"""
    parts, options = run.facts("indicators").get("parts", {}), _options(config)
    return run.is_current("indicators", indicators_key(run)) and all(
        parts.get(name, {}).get("options") == options for name in config.indicators.quantities
    )


def indicators_key(run: Run) -> str:
    """What every indicator depends on; the options that each was measured with stand beside it."""
    return digest({"tracks": run.output_hash("track")})


def _options(config: Config) -> dict[str, Any]:
    """Options of one measurement, those left to estimation absent."""
    return config.indicators.model_dump(exclude={"only"}, exclude_none=True)


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
    """Write the results of the stage, beside what else is there of the same tracks."""
    key = indicators_key(run)
    for part in result.parts.values():
        part["options"] = _options(config)
    parts = run.facts("indicators").get("parts")
    if parts and run.is_current("indicators", key):
        result = _beside(run, parts, result)
    # What was asked for of some quantities is no setting of the run.
    kept = run.record["config"].get("indicators")
    with run.stage("indicators", key, config, config.indicators.model_dump()) as facts:
        facts["parts"] = result.parts
        run.write_table("indicators", result.table)
        run.write_table("curves", result.curves)
        for name, table in result.tables.items():
            run.write_table(name, table)
        run.summarise("indicators", result.summary)
    if config.indicators.only is not None:
        run.keep_options("indicators", kept)
    refresh_association(run)


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

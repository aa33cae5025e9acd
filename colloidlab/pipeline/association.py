"""Do particles that rearrange have another entropy? The fit's state beside the indicators, whichever of both is new."""

from __future__ import annotations

from typing import Any

import pandas as pd

from colloidlab.indicators.association import held_out_pairs, summarise_association
from colloidlab.run import Run

_PREFIXES = ("d2min_entropy_correlation", "d2min_temperature_correlation")


def association(run: Run, state: pd.DataFrame, block: tuple[int, int]) -> dict[str, float]:
    """Entries of `summary.json`; none where D2min was not measured."""
    if "d2min" not in run.facts("indicators").get("parts", {}):
        return {}
    return summarise_association(held_out_pairs(state, run.read_table("indicators"), block))


def refresh_association(run: Run) -> None:
    """Say it anew of a run that has been fitted, when its indicators have changed."""
    test = run.facts("fit").get("test")
    if not test or not run.has("state.parquet"):
        return
    old: dict[str, Any] = run.stage_summary("fit")
    kept = {key: value for key, value in old.items() if not key.startswith(_PREFIXES)}
    run.summarise("fit", kept | association(run, run.read_table("state"), (int(test[0]), int(test[1]))))
    run.save()

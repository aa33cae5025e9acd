"""Tracking beside trackpy and beside the truth: every number that the README states of it."""

from __future__ import annotations

from pathlib import Path

from colloidlab.benchmarks.rows import Row
from colloidlab.benchmarks.tracking_accuracy import accuracy_rows
from colloidlab.benchmarks.tracking_folders import folder_rows
from colloidlab.benchmarks.tracking_links import link_rows
from colloidlab.benchmarks.tracking_speed import speed_rows
from colloidlab.progress import SILENT, Monitor


def benchmark_tracking(*, seed: int = 100, data: Path | None = None, monitor: Monitor = SILENT) -> list[Row]:
    """Locate and link the scenes of `synthetic.crowded` with trackpy and with this program.

    Parameters
    ----------
    seed : int
        Of the scenes.
    data : Path, optional
        Folder of real recordings with one sub-folder each, named as in `tracking_folders`; where given, their
        features and their counts are compared as well.
    """
    rows = speed_rows(seed, monitor)
    rows += accuracy_rows(seed, monitor)
    rows += link_rows(seed, monitor)
    if data is not None:
        rows += folder_rows(data, monitor)
    return rows

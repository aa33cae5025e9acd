"""One self-contained page about a run, drawn from the run folder alone."""

from __future__ import annotations

from colloidlab.report.build import write_report
from colloidlab.report.overview import overview_figure, write_overview

__all__ = ["overview_figure", "write_overview", "write_report"]

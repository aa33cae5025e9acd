"""The usable view of a run, from what the track stage wrote down."""

from __future__ import annotations

from pathlib import Path

from colloidlab.dataset.recording import EdgeDistance, rectangle_edge_distance
from colloidlab.errors import UsageError
from colloidlab.option_text import parse_roi
from colloidlab.run import Run
from colloidlab.video.region import Region


def edge_distance(run: Run) -> EdgeDistance:
    """Distance to the edge of the view, the region of interest and the mask of the tracked recording.

    A table of positions has no image: its view is the smallest rectangle around all of them.
    """
    facts = run.facts("track")
    view = facts["view"]
    if facts.get("from_table"):
        return rectangle_edge_distance(*view)
    roi, mask = facts.get("roi"), facts.get("mask")
    if mask is not None and not Path(mask).exists():
        raise UsageError(f"the mask {mask} with which this run was tracked is gone; track again")
    shape = (int(view[3]), int(view[2]))
    region = Region.from_options(parse_roi(roi) if roi else None, Path(mask) if mask else None, shape)
    return region.edge_distance_px

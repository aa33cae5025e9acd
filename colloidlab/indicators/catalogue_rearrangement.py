"""Rearrangement in a recording, as `colloidlab indicators` measures it."""

from __future__ import annotations

from colloidlab.indicators.nonaffine import d2min_table
from colloidlab.indicators.scene import Part, Scene


def nonaffine(scene: Scene) -> Part:
    """D2min and local strain."""
    table = d2min_table(scene.tracks, lag_frames=scene.lag, cutoff_px=scene.cutoff, monitor=scene.monitor)
    part = Part(table, summary={"d2min_lag_frames": scene.lag, "neighbour_cutoff_px": scene.cutoff})
    if scene.lag_choice.reason:
        part.notes.append(f"D2min: {scene.lag_choice.reason}")
    if not table["d2min_px2"].notna().any():
        part.notes.append(
            f"D2min is nowhere known: nobody keeps {4 - scene.planar} neighbours within {scene.cutoff:.1f} px "
            f"for {scene.lag} frames"
        )
    return part

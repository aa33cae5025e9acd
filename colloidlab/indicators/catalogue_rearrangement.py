"""Rearrangement in a recording, as `colloidlab indicators` measures it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.cage import cage_table
from colloidlab.indicators.event_rate import mean_rate, rate_curve
from colloidlab.indicators.hop import hop_table
from colloidlab.indicators.neighbour_changes import neighbour_changes_table
from colloidlab.indicators.nonaffine import d2min_table
from colloidlab.indicators.scene import Part, Scene
from colloidlab.indicators.t1_events import t1_events, t1_rate

_LEAST_NOISE_SHARE = 0.5
"""Of the mean D2min that errors make: with three neighbours in the plane its median is 0.69 of that, else nearer."""

_LEAST_HOP_FRAMES = 5
_CAGE_SPACINGS = 0.3
"""A hop goes farther than this, in distances of neighbours, as for the overlap: less is rattling."""


def nonaffine(scene: Scene) -> Part:
    """D2min and local strain."""
    config, since = scene.config, scene.config.reference_frame
    table = d2min_table(
        scene.tracks,
        cutoff_px=scene.cutoff,
        lag_frames=scene.lag if since is None else None,
        reference_frame=since,
        neighbours=config.neighbours,
        false_positive_rate=config.false_positive_rate,
        monitor=scene.monitor,
    )
    part = Part(table, summary={"neighbour_cutoff_px": scene.cutoff})
    if since is None:
        part.summary["d2min_lag_frames"] = scene.lag
    else:
        part.summary["d2min_reference_frame"] = since
        part.notes.append(
            f"D2min and local strain are since frame {since}; all else about lags is over {scene.lag}"
        )
    if since is None and scene.lag_choice.reason:
        part.notes.append(f"D2min: {scene.lag_choice.reason}")
    if not table["d2min_px2"].notna().any():
        part.notes.append(
            f"D2min is nowhere known: nobody keeps {4 - scene.planar} neighbours within {scene.cutoff:.1f} px "
            + (f"over a lag of {scene.lag} in frames" if since is None else f"since frame {since}")
        )
    elif table["d2min_error_px2"].notna().any():
        part.summary["rearranged_fraction"] = float(table["rearranged"].mean())
        part.notes += _doubtful_errors(table)
    else:
        part.notes.append(
            "D2min has no errors, because the tracks state no localisation errors (sigma_x_px, sigma_y_px): column "
            "rearranged is empty"
        )
    return part


def _doubtful_errors(table: pd.DataFrame) -> list[str]:
    """What to say where D2min is smaller than the stated localisation errors alone would make it."""
    known = table["d2min_error_px2"].notna()
    seen, noise = (float(table.loc[known, c].median()) for c in ("d2min_px2", "d2min_noise_px2"))
    if seen > _LEAST_NOISE_SHARE * noise:
        return []
    return [
        f"the tracks state localisation errors that would make a D2min of {noise:.3g} px^2 (median) alone, and {seen:.3g} "
        "px^2 are seen: they are too large, or the same from frame to frame, so that columns rearranged and hopped flag too "
        "little and the errors of D2min, strain and p_hop are upper limits"
    ]


def cage_relative(scene: Scene) -> Part:
    """Displacement relative to the neighbours."""
    table = cage_table(
        scene.tracks,
        cutoff_px=scene.cutoff,
        lag_frames=scene.lag,
        neighbours=scene.config.neighbours,
        monitor=scene.monitor,
    )
    return Part(table)


def hopping(scene: Scene) -> Part:
    """p_hop over the lag on either side, and where particles have left the space of their cage."""
    config = scene.config
    half = config.hop_frames or max(scene.cage_lag, _LEAST_HOP_FRAMES)
    least = (_CAGE_SPACINGS * scene.spacing) ** 2
    table = hop_table(
        scene.tracks,
        half_width_frames=half,
        cutoff_px=scene.cutoff,
        neighbours=config.neighbours,
        least_hop_px2=least,
        false_positive_rate=config.false_positive_rate,
        monitor=scene.monitor,
    )
    part = Part(table, summary={"hop_frames": half, "least_hop_px2": least})
    judged = table["hop_error_px2"].notna()
    if judged.any():
        part.summary["hops_per_particle_frame"] = float(table["hopped"].mean())
    elif table["hop_px2"].notna().any():
        part.notes.append(
            "no hop is flagged, because the tracks state no localisation errors (sigma_x_px, sigma_y_px): column hopped "
            "is empty"
        )
    else:
        part.notes.append(
            f"p_hop is nowhere known: nobody is seen with neighbours in enough of {half} frames on either side"
        )
    return part


def neighbour_changes(scene: Scene) -> Part:
    """Delaunay neighbours lost and gained over the lag."""
    return Part(
        neighbour_changes_table(
            scene.tracks, lag_frames=scene.lag, triangulations=scene.triangulations, monitor=scene.monitor
        )
    )


def neighbour_exchanges(scene: Scene) -> Part:
    """T1 events."""
    kept = scene.config.persistence_frames
    events = t1_events(
        scene.tracks, persistence_frames=kept, triangulations=scene.triangulations, monitor=scene.monitor
    )
    rate = t1_rate(events, scene.tracks, scene.triangulations, persistence_frames=kept)
    if rate.empty:
        raise InputError(f"no event can be seen to last {kept} of so few frames; set persistence_frames")
    curve = rate_curve(rate, persistence_frames=kept)
    part = Part(tables={"events": events})
    whole, low, high = mean_rate(rate, persistence_frames=kept)
    part.summary = {"n_t1_events": len(events), "t1_persistence_frames": kept, "t1_rate_per_frame": whole}
    if np.isfinite(low):
        part.summary |= {"t1_rate_per_frame_low": low, "t1_rate_per_frame_high": high}
    part.curves.append(("t1_rate", curve.calibrated(scene.calibration, x=(0, 1), y=(0, -1))))
    return part

"""Flow in a recording, as `colloidlab indicators` measures it."""

from __future__ import annotations

from colloidlab.indicators.deformation import strain_series
from colloidlab.indicators.flow_residual import flow_residual_table
from colloidlab.indicators.mean_flow import RADIUS_SPACINGS, mean_flow
from colloidlab.indicators.scene import Part, Scene

_LEAST_FRAMES = 16
"""A period has four frames at least, and in fewer than four of them chance looks like one."""

_FIELDS_A_PERIOD = 8
"""Of a drive: enough to see it turn, few enough to average over noise."""


def oscillation(scene: Scene) -> Part:
    """Common translation and strain against time, and the period, amplitude and phase of a drive."""
    part = Part(tables={"drive": strain_series(scene.tracks)})
    found = scene.oscillation
    if found is None:
        span = int(scene.tracks["frame"].max() - scene.tracks["frame"].min()) + 1
        part.notes.append(
            "the common motion of all particles is not periodic: no drive was detected"
            if span >= _LEAST_FRAMES
            else f"{span} frames are too few to see whether a drive is periodic"
        )
        return part
    k = found.components.index(found.reference)
    part.notes.append(str(found))
    part.summary = {
        "oscillation_period_frames": found.period.frames,
        "oscillation_period_error_frames": found.period_error,
        "oscillation_component": found.reference,
        "oscillation_amplitude": float(found.amplitude[k]),
        "oscillation_amplitude_error": float(found.amplitude_error[k]),
        "oscillation_phase_rad": float(found.phase[k]),
        "oscillation_phase_error_rad": float(found.phase_error[k]),
        "oscillation_affine_px": found.affine_px,
        "oscillation_nonaffine_px": found.nonaffine_px,
        "oscillation_nonaffine_error_px": found.nonaffine_error_px,
        "oscillation_in_phase_px": found.in_phase_px,
        "oscillation_out_of_phase_px": found.out_of_phase_px,
    }
    return part


def flow_field(scene: Scene) -> Part:
    """Mean velocity and its gradient on a grid: over the whole recording, or eight fields a period of a drive."""
    found = scene.oscillation
    window = None if found is None else max(1, round(found.period.frames / _FIELDS_A_PERIOD))
    flow = mean_flow(
        scene.tracks,
        radius_px=RADIUS_SPACINGS * scene.spacing,
        window_frames=window,
        monitor=scene.monitor,
    )
    table = flow.to_table()
    if "frame" not in table:
        table.insert(0, "frame", int(flow.frames[0]))
    return Part(tables={"flow": table}, summary={"flow_radius_px": RADIUS_SPACINGS * scene.spacing})


def residual(scene: Scene) -> Part:
    """What the mean flow around a particle leaves of its displacement over the lag."""
    return Part(
        flow_residual_table(
            scene.tracks,
            lag_frames=scene.lag,
            radius_px=RADIUS_SPACINGS * scene.spacing,
            monitor=scene.monitor,
        )
    )

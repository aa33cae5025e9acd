"""Sentences of the window "Explore": what a run lacks, and the values at the current frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from colloidlab.errors import ColloidlabError
from colloidlab.report.words import pretty_unit
from colloidlab.run import Run
from napari_plugin.marks import COLOURS
from napari_plugin.recolouring import ROLLOUT, Choice, table_of
from napari_plugin.series import Curve, band
from napari_plugin.shown_runs import ShownRun, without_particles

NO_RUN = (
    "No run is open. Open a run folder with File > Open Folder..., or make one from a recording in "
    "Plugins > colloidlab > Analyse."
)


def no_run(viewer: Any) -> str:
    """Why there is nothing to explore."""
    if path := without_particles(viewer):
        return (
            f"The layer particles of {Path(path).name} was removed, and with it all that was known of them here. Open "
            "the run folder again with File > Open Folder... to explore it."
        )
    return NO_RUN


def missing_stages(shown: ShownRun) -> str:
    """What a run does not have yet, and why; empty where it has everything."""
    sentences = []
    if "d2min_px2" not in shown.scene.table and "psi6" not in shown.scene.table:
        sentences.append("Not in this run: indicators.")
    if "temperature_px2" not in shown.scene.table:
        refused = _refusal(shown)
        sentences.append(
            f"No temperature and entropy: {refused}" if refused else "Not fitted: no temperature and entropy."
        )
    elif shown.rollout is None:
        sentences.append("Not simulated: no rollout.")
    return " ".join(sentences)


def missing_events(shown: ShownRun) -> str:
    """Why there is no list of events; empty where there is one."""
    if shown.events() is not None:
        return ""
    try:
        run = Run(shown.path)
        found = len(run.read_table("events")) if run.has("events.parquet") else None
    except (ColloidlabError, OSError) as error:
        return f"T1 events cannot be listed: {error}"
    if found is None:
        return "T1 events were not measured in this run; they are the quantity t1 of the indicators."
    if found:
        return "The layer T1 events of this run was removed; open the run again to list them."
    return "No T1 event was found in this run."


def readout(curves: Sequence[Curve], frame: int, shown: ShownRun, choice: Choice) -> str:
    """Values at a frame as rich text, each with the colour of its curve; the legend of the plot at the same time."""
    table, quantity = table_of(shown, choice), choice.quantity
    calibration = shown.scene.calibration
    when = f"frame {frame}"
    if calibration.fps is not None:
        when += f", {frame * calibration.time_per_frame:.4g} s"
    lines = [_entry(curve, k, frame, band(table, quantity)) for k, curve in enumerate(curves)]
    unit = pretty_unit(quantity.unit)
    text = f"<b>{when}</b>" + (f" ({unit})" if unit else "") + "<br>" + "&nbsp; ".join(lines)
    if choice.source == ROLLOUT and not table["frame"].eq(frame).any():
        first, last = table["frame"].min(), table["frame"].max()
        text += f"<br>The rollout is in frames {first} to {last}."
    if all(curve.particle is None for curve in curves):
        text += "<br>Click on a particle (Shift: on more), or select some in the layer particles."
    return text


def _entry(curve: Curve, k: int, frame: int, what: str) -> str:
    value, low, high = curve.at(frame)
    mark = f'<span style="color:{COLOURS[k % len(COLOURS)]}">■</span>'
    name = curve.name if curve.particle is None else str(curve.particle)
    text = f"{value:.3g}" if np.isfinite(value) else "not known"
    limits = ""
    if np.isfinite(low) and np.isfinite(high):
        if curve.particle is None:
            limits = f"(10 % to 90 %: {low:.3g} to {high:.3g})"
        elif what == "± σ":
            text += f" ± {(high - low) / 2:.2g}"
        else:
            limits = f"({what}: {low:.3g} to {high:.3g})"
    # Lines break between the two, where they are too long for one.
    return " ".join(
        f"<span style='white-space:nowrap'>{x}</span>" for x in (f"{mark} {name}: {text}", limits) if x
    )


def _refusal(shown: ShownRun) -> str:
    try:
        return str(Run(shown.path).facts("fit").get("refused", ""))
    except (ColloidlabError, OSError):
        return ""

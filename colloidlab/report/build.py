"""Assembling the page: which pieces, in which order, and what stands in for one that is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

import colloidlab
from colloidlab.errors import InputError
from colloidlab.progress import SILENT, Monitor
from colloidlab.report import (
    figures_calibration,
    figures_dynamics,
    figures_events,
    figures_flow,
    figures_model,
    figures_rollout,
    figures_structure,
    figures_tracking,
    sheets,
)
from colloidlab.report.results import Results
from colloidlab.report.sheets import Sheet
from colloidlab.report.style import Plate, house_style, to_svg
from colloidlab.report.words import calibration_sentence, diffusion, sentence, verdict
from colloidlab.run import Run


@dataclass(frozen=True)
class Item:
    """One piece of the page and the function that makes it."""

    name: str
    heading: str
    make: Callable[[Results], Plate | Sheet]


@dataclass(frozen=True)
class Part:
    """A section of the page."""

    name: str
    heading: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Piece:
    """A finished piece: a figure, a table, sentences, or the reason why it is absent."""

    name: str
    heading: str
    figure: Markup | None = None
    sheet: Sheet | None = None
    caption: str = ""
    absent: str = ""


@dataclass(frozen=True)
class Section:
    """A finished section; `absent` is set when no piece of it is there, for one common reason."""

    name: str
    heading: str
    pieces: tuple[Piece, ...]
    absent: str = ""


PARTS = (
    Part(
        "tracking",
        "Particles and tracks",
        (
            Item("health", "Frame health", figures_tracking.frame_health),
            Item("detections", "Detections", figures_tracking.detections),
            Item("parameters", "Tracking parameters", sheets.parameters),
            Item("tracks", "Tracks", figures_tracking.tracks),
        ),
    ),
    Part(
        "structure",
        "Rearrangement, structure and motion",
        (
            Item("rearrangement", "Where particles rearrange", figures_structure.rearrangement),
            Item("events", "Where neighbours are exchanged", figures_events.events),
            Item("timeline", "When particles rearrange", figures_events.timeline),
            Item("hexatic", "Hexatic order", figures_structure.hexatic_order),
            Item("flow", "Mean flow", figures_flow.flow),
            Item("curves", "Correlations and displacements", figures_structure.curves),
            Item("relaxation", "How places are left", figures_dynamics.relaxation),
            Item("spread", "How displacements are spread", figures_dynamics.displacements),
            Item("motion", "Diffusion and regime", sheets.motion),
        ),
    ),
    Part(
        "model",
        "Learned dynamics",
        (
            Item("split", "Data split", figures_model.data_split),
            Item("training", "Training", figures_model.training),
            Item("likelihood", "Likelihood against simpler models", sheets.likelihood),
            Item("functions", "Learned functions", figures_model.functions),
            Item("temperature", "Temperature", figures_model.temperature_maps),
            Item("entropy", "Entropy", figures_model.entropy_maps),
            Item("heat", "Temperature and rearrangement", figures_model.temperature_and_rearrangement),
        ),
    ),
    Part(
        "rollout",
        "Experiment against rollout",
        (
            Item("comparison", "Statistics", figures_rollout.comparison),
            Item("displacements", "How displacements are distributed", figures_rollout.displacements),
            Item("errors", "Errors in numbers", sheets.rollout_errors),
            Item("calibration", "Predictions of single particles", figures_calibration.calibration),
            Item("snapshots", "Snapshots", figures_rollout.snapshots),
            Item("energy", "Energy budget", figures_rollout.energy_budget),
            Item("momentum", "Momentum budget", figures_rollout.momentum_budget),
        ),
    ),
)
"""The page from top to bottom."""


def write_report(run: Run, *, monitor: Monitor = SILENT) -> Path:
    """Write `report.html`, one self-contained page about everything that the run folder holds.

    The page needs neither network nor JavaScript. Whatever is missing is replaced by a sentence
    that says why, and which command makes it.

    Parameters
    ----------
    run : Run
        Read through its tables only, never the recording.
    monitor : Monitor, optional

    Returns
    -------
    Path
        Of `report.html` in the run folder.

    Raises
    ------
    InputError
        There is no run in the folder, or `summary.json` is damaged.
    """
    if not run.record["stages"]:
        raise InputError(f"{run.path} holds no run yet; run 'colloidlab track VIDEO -o {run.path}' first")
    results = Results(run)
    n_items = sum(len(part.items) for part in PARTS)
    finished: dict[str, Piece] = {}
    with house_style():
        for item in monitor.track((i for part in PARTS for i in part.items), "report", n_items):
            finished[item.name] = make_piece(item, results)
    sections = tuple(_section(part, tuple(finished[item.name] for item in part.items)) for part in PARTS)
    run.write_text("report.html", render(results, sections))
    return run.path / "report.html"


def make_piece(item: Item, results: Results) -> Piece:
    """Draw one piece; what cannot be drawn becomes the sentence that says why."""
    try:
        made = item.make(results)
    except InputError as error:
        return Piece(item.name, item.heading, absent=str(error))
    if isinstance(made, Sheet):
        return Piece(item.name, item.heading, sheet=made)
    figure = to_svg(made.figure, item.name, f"{item.heading}. {made.caption}")
    return Piece(item.name, item.heading, figure=figure, caption=made.caption)


def _section(part: Part, pieces: tuple[Piece, ...]) -> Section:
    reasons = {piece.absent for piece in pieces}
    common = reasons.pop() if len(reasons) == 1 else ""
    return Section(part.name, part.heading, pieces, absent=common)


def render(results: Results, sections: tuple[Section, ...]) -> str:
    """The page as HTML: header from `results`, then the sections, then the record of the run."""
    package = resources.files("colloidlab.report")
    # Autoescape is on for everything: names of files and sentences in run.toml are other people's text.
    page = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_keep_together,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = page.from_string(package.joinpath("template.html").read_text(encoding="utf-8"))
    return template.render(
        # The style sheet is part of this package, so it may stand in the page as it is.
        css=Markup(package.joinpath("style.css").read_text(encoding="utf-8")),
        name=results.name,
        verdict=verdict(results),
        refused=sentence(results.refused) if results.refused else "",
        diffusion=diffusion(results),
        calibration=calibration_sentence(results.calibration),
        sections=sections,
        headline=sheets.headline_numbers(results),
        configuration=sheets.configuration(results),
        provenance=sheets.provenance(results),
        version=colloidlab.__version__,
    )


def _keep_together(value: object) -> object:
    """No line break between a number and its per cent sign."""
    return (
        value.replace(" %", "\u00a0%") if isinstance(value, str) and not isinstance(value, Markup) else value
    )

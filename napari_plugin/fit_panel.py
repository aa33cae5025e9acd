"""What a fit does and has found, beside its options: training curves while it runs, then the learned functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from colloidlab.errors import InputError
from colloidlab.news import Evaluation, News, TrainingStep
from colloidlab.report.figures_model import draw_function, group_functions
from colloidlab.report.results import Results
from colloidlab.report.words import entropy_gain, number, pretty_unit, sentence
from colloidlab.run import UNFINISHED, Run
from napari_plugin.labels import BAD, GOOD, say, text_label
from napari_plugin.plots import Plot
from napari_plugin.training_curves import TrainingCurves, draw_training, name_phases

_PAUSE_MS = 300
_CURVES_PX, _FUNCTION_PX = 230, 175

_BANDS = (
    'Bands are 95 % intervals, in units where k_B = 1 and the mass of a particle is 1; "not identified" is a function '
    "that is mostly smaller than half of its band. Kernel, pressure and a pair potential, where there is one, can "
    "stand in for each other: what they make together, the pair force, is known better."
)


class FitPanel(QWidget):
    """Training curves, learned functions, and whether the recording determines a temperature.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    curves : TrainingCurves
        That are drawn.
    state, verdict : QLabel
        How far the fit is; whether temperature is identified.
    training, functions : Plot
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.curves = TrainingCurves()
        self.state, self.verdict, self.key, self.note = (text_label() for _ in range(4))
        self.training, self.functions = Plot(viewer), Plot(viewer)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.state, self.training, self.key, self.verdict, self.functions, self.note):
            column.addWidget(widget)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw_training)
        self._live = False
        self._told_of: Path | None = None

    def begin(self, run: Run) -> None:
        """A fit is about to run: nothing of the one before is left to be mistaken for it."""
        self.curves, self._live, self._told_of = TrainingCurves(), True, run.path
        self._timer.stop()
        for widget in (self.training, self.key, self.verdict, self.functions, self.note):
            widget.hide()
        say(self.state, "No step of the fit has been taken yet.")

    def take(self, news: News) -> None:
        """Draw what a fit tells, soon."""
        if not isinstance(news, (Evaluation, TrainingStep)):
            return
        self.curves.take(news)
        if not self._timer.isActive():
            self._timer.start(_PAUSE_MS)

    def show_run(self, run: Run | None) -> None:
        """Show what a run folder holds of a fit, or that it holds none."""
        self._timer.stop()
        told, self._live = self._told_of is not None and bool(self.curves.phases), False
        for widget in (self.training, self.key, self.verdict, self.functions, self.note):
            widget.hide()
        if run is None:
            say(self.state, "")
            return
        told = told and run.path == self._told_of
        self._told_of = None
        interrupted = run.has(UNFINISHED["fit"])
        try:
            say(self.state, _state(run))
            if told and interrupted:
                self._draw_training()
            elif run.has("model"):
                # The curves of this session also have the single steps.
                self._show_result(Results(run), keep_curves=told)
        except InputError as error:
            say(self.state, sentence(str(error)), BAD)

    def _show_result(self, results: Results, *, keep_curves: bool) -> None:
        table = results.table("functions", ["quantity", "x", "y", "y_low", "y_high", "x_unit", "y_unit"])
        rows = results.table("training", ["phase", "step", "seconds", "train_loglik", "validation_loglik"])
        if not keep_curves:
            self.curves = TrainingCurves.of_table(rows)
        self._draw_training()
        if results.temperature_identified:
            say(self.verdict, f"<b>Temperature identified.</b> {entropy_gain(results)}", GOOD)
        elif results.entropy == "isothermal":
            say(self.verdict, entropy_gain(results))
        else:
            say(self.verdict, f"<b>Temperature not identified.</b> {entropy_gain(results)}", BAD)
        panels = group_functions(table)

        def draw(figure: Figure) -> None:
            axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
            for ax, (name, parts) in zip(axes, panels.items(), strict=True):
                draw_function(ax, table, name, parts)

        self.functions.show_figure(draw, _FUNCTION_PX * len(panels))
        say(self.note, _BANDS)

    def _draw_training(self) -> None:
        if not self.curves.phases:
            return
        self.training.show_figure(
            lambda figure: draw_training(figure.subplots(), self.curves), height_px=_CURVES_PX
        )
        say(self.key, f"Phases: {name_phases(self.curves)}.")
        if self._live:
            phase, steps = list(self.curves.phases.items())[-1]
            say(self.state, f"The fit runs: {phase}, step {steps}.")


def _state(run: Run) -> str:
    """How far the fit of a run is, in sentences."""
    parts = []
    if run.has(UNFINISHED["fit"]):
        parts.append("A fit was interrupted: with the same options, Fit goes on where it stopped.")
    facts = run.facts("fit")
    if facts.get("refused"):
        parts.append(sentence(f"the fit was refused: {facts['refused']}"))
    elif run.has("model"):
        parts.append(sentence(("before it: " if parts else "") + _about(run, facts)))
    elif not parts and run.has("tracks.parquet"):
        parts.append("Nothing has been fitted yet.")
    return " ".join(parts)


def _about(run: Run, facts: dict[str, Any]) -> str:
    """What laws there are, without a capital and a full stop."""
    text = "fitted"
    if "test" in facts:
        text += (
            f", and tested on frames {facts['test'][0]} to {facts['test'][1] - 1}, which the fit has not seen"
        )
    if "cutoff_px" in facts:
        calibration = run.calibration
        reach = number(float(facts["cutoff_px"]) * calibration.length_per_px)
        text += f"; particles interact up to {reach} {pretty_unit(calibration.length_unit)}"
    return text

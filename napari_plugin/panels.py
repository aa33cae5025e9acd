"""The panels in the tabs of the form: whoever runs stages tells them what happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject

from colloidlab.errors import ColloidlabError
from colloidlab.news import News, RolloutPart
from colloidlab.run import Run
from napari_plugin.fit_panel import FitPanel
from napari_plugin.form import Form
from napari_plugin.jobs import Outcome
from napari_plugin.places import is_there
from napari_plugin.simulate_panel import SimulatePanel
from napari_plugin.stages import EVERYTHING, FIT, SIMULATE, Stage, Task


class Panels(QObject):
    """Those of Fit and Simulate.

    Parameters
    ----------
    viewer : napari.Viewer
    form : Form
        They are put into its tabs, below the options that matter most.
    """

    def __init__(self, viewer: Any, form: Form) -> None:
        super().__init__(form)
        self._form = form
        fit, simulate = form.sections["fit"], form.sections["simulate"]
        self.fit = FitPanel(viewer)
        self.simulate = SimulatePanel(viewer, simulate.fields["from_frame"].set_value)
        fit.lead_with("budget_minutes", "device")
        fit.add_panel(self.fit, after=2)
        simulate.lead_with("ensemble", "rollout_frames", "from_frame")
        simulate.add_panel(self.simulate, after=3)
        self._tab, self._running = "", False
        self._asked_for: Path | None = None

    def begin(self, task: Task) -> None:
        """A stage is about to run."""
        self._tab, self._running, self._asked_for = "", True, task.folder
        if task.stage in (FIT, EVERYTHING):
            self.fit.begin(Run(task.folder))
        if task.stage in (SIMULATE, EVERYTHING):
            self.simulate.begin(Run(task.folder))
        if task.stage in (FIT, SIMULATE):
            self._open(task.stage.command)

    def take(self, news: News) -> None:
        """A stage tells something."""
        self._open("simulate" if isinstance(news, RolloutPart) else "fit")
        self.fit.take(news)
        self.simulate.take(news)

    def end(self, task: Task, outcome: Outcome) -> None:
        """A stage has ended."""
        if task.stage in (SIMULATE, EVERYTHING):
            self.simulate.end(complete=outcome.error is None)
        self._running = False
        self.show(self._asked_for)

    def layers_shown(self, stage: Stage | None) -> None:
        """The layers of a run have been put into the viewer after a stage."""
        if stage in (SIMULATE, EVERYTHING):
            self.simulate.layers_shown()

    def show(self, folder: Path | None) -> None:
        """Show what a run folder holds, nothing where it is none; after the stage that runs, if one does."""
        self._asked_for = folder
        if self._running:
            return
        run = None
        try:
            if folder is not None and is_there(folder / "run.toml"):
                run = Run(folder)
        except ColloidlabError:
            # Said where the options are read.
            run = None
        self.fit.show_run(run)
        self.simulate.show_run(run)

    def _open(self, tab: str) -> None:
        """Open a tab, once in a job: the person may have looked elsewhere since."""
        if tab != self._tab:
            self._tab = tab
            self._form.setCurrentWidget(self._form.sections[tab])

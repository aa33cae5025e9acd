"""The window "Repair": tracks are cut, joined and removed by clicks, and saved into their run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import notification_manager, show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from colloidlab.errors import ColloidlabError
from colloidlab.progress import Monitor
from colloidlab.report.words import sentence
from colloidlab.run import Run
from napari_plugin.appearance import follow
from napari_plugin.corrections import Corrections, show_in_tracks
from napari_plugin.docks import dock_column
from napari_plugin.job_bar import JobBar, explain
from napari_plugin.jobs import Outcome
from napari_plugin.labels import BAD, GOOD, say, text_label
from napari_plugin.layers import run_layers
from napari_plugin.listening import Listening, on_click
from napari_plugin.marks import show_rings
from napari_plugin.run_words import no_run
from napari_plugin.scene import LayerData
from napari_plugin.series import MOST_CURVES
from napari_plugin.showing import show_run
from napari_plugin.shown_runs import ShownRun, followed_run
from napari_plugin.slider import current_frame
from napari_plugin.writers import save_points

_SPLIT, _JOIN, _DELETE = "Split here", "Join", "Delete selected"
_WHOLE, _UNDO, _SAVE = "Select whole tracks", "Undo", "Save repairs"

_TIPS = {
    _SPLIT: "From the frame of the slider on, the selected track becomes one of its own",
    _JOIN: "Make one track of the two of which positions are selected",
    _DELETE: "Remove the selected positions; 'Select whole tracks' before it removes tracks",
    _WHOLE: "Select all positions of the particles that are selected, in all frames",
    _UNDO: "Take back what was done last with these buttons and is not saved",
    _SAVE: "Write the repaired tracks into the run folder, where run.toml records the repair",
}

_HOW = (
    "Click on a particle (Shift: on more, also in another frame), or select positions in the layer particles. Positions "
    "are moved and added with the tools of that layer."
)

_RINGS = "to be repaired"
"""Name of the layer that rings what is selected."""

_COLOURS = ("#4fb3ff", "#ff5ad2", "#3ddc97", "#ff5c39", "#c792ea", "#ffffff")
"""Of the rings, none like the outlines of `particles`."""

_LATER_STAGES = {"indicators": "indicators", "fit": "fit", "simulate": "simulation", "report": "report"}


class RepairTracks(QWidget):
    """Repair the tracks of the selected layer's run.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    shown : ShownRun or None
        The run that is repaired.
    corrections : Corrections or None
        Of its layer `particles`.
    buttons : dict of str to QPushButton
        By title.
    about, selection, message, cost : QLabel
        Which run it is; what is selected; how the last thing ended; what saving removes.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.shown: ShownRun | None = None
        self.corrections: Corrections | None = None
        self._known: dict[str, Corrections] = {}
        self.about, self.how, self.selection, self.message, self.cost = (text_label() for _ in range(5))
        self.buttons = {title: QPushButton(title) for title in _TIPS}
        self.job = JobBar(napari_viewer)
        self._listening = Listening(napari_viewer)
        # Of many layers that come at once only the last one counts.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.refresh)
        self._arrange()
        self._connect()

    # ---- the window -------------------------------------------------------------------------

    def _arrange(self) -> None:
        column = dock_column(self)
        for label in (self.about, self.how, self.selection):
            column.addWidget(label)
        grid = QGridLayout()
        for k, title in enumerate((_SPLIT, _JOIN, _DELETE, _WHOLE, _UNDO, _SAVE)):
            self.buttons[title].setToolTip(_TIPS[title])
            grid.addWidget(self.buttons[title], k // 3, k % 3)
        column.addLayout(grid)
        for widget in (self.job, self.message, self.cost):
            column.addWidget(widget)
        column.addStretch(1)
        # What writes a run is not to be stopped in the middle; it takes seconds.
        self.job.cancel.hide()
        self.job.hide()
        self.setMinimumWidth(400)

    def _connect(self) -> None:
        actions: dict[str, Callable[[Corrections], str]] = {
            _SPLIT: lambda mine: mine.split(current_frame(self._viewer, self._run.scene.n_space)),
            _JOIN: Corrections.join,
            _DELETE: Corrections.remove_selected,
            _WHOLE: Corrections.select_tracks,
            _UNDO: Corrections.undo,
        }
        for title, action in actions.items():
            self.buttons[title].clicked.connect(partial(self._do, action, title != _WHOLE))
        self.buttons[_SAVE].clicked.connect(self._save)
        self.job.changed.connect(self._tell)

    def showEvent(self, event: Any) -> None:
        """Listen to the viewer as long as this is seen."""
        viewer, listen = self._viewer, self._listening
        follow(viewer)
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed):
            listen.to(emitter, self._refresh_soon)
        listen.to(viewer.layers.selection.events.active, self._refresh_soon)
        listen.to(viewer.dims.events.point, self._follow_slider)
        listen.to_clicks(on_click(self._click))
        self.refresh()
        super().showEvent(event)

    def hideEvent(self, event: Any) -> None:
        """What is not seen costs nothing, and may be taken away."""
        self._listening.stop()
        super().hideEvent(event)

    def _refresh_soon(self, event: Any = None) -> None:
        self._later.start(0)

    @property
    def _run(self) -> ShownRun:
        assert self.shown is not None
        return self.shown

    # ---- which run, and what is selected ----------------------------------------------------

    def refresh(self) -> None:
        """Follow the selected layer's run."""
        shown = self.shown = followed_run(self._viewer, self.shown.path if self.shown else "")
        self.corrections = None if shown is None else self._corrections_of(shown)
        self._listening.to_selections([x.layer for x in (self.corrections,) if x is not None], self._mark)
        self._tell()

    def _corrections_of(self, shown: ShownRun) -> Corrections:
        """Those of a run that were begun, or new ones where its layer is new."""
        [layer] = shown.of("particles")[:1]
        known = self._known.get(shown.path)
        if known is None or known.layer is not layer:
            if known is not None and known.changes:
                lost = _count(len(known.changes))
                self._say(f"{lost} lost: the layer particles was read again or removed", BAD)
            known = self._known[shown.path] = Corrections(layer)
            layer.visible = True
        return known

    def _tell(self, event: Any = None) -> None:
        """Say which run it is, what is selected, and what can be done."""
        mine, shown = self.corrections, self.shown
        self.job.setVisible(self.job.busy)
        for title, button in self.buttons.items():
            idle = mine is not None and not self.job.busy
            button.setEnabled(idle and (title != _UNDO or bool(mine and mine.changes)))
        if mine is None or shown is None:
            say(self.about, no_run(self._viewer))
            for label in (self.how, self.selection, self.cost):
                say(label, "")
            return
        say(self.about, f"<b>{Path(shown.path).name}</b>")
        say(self.how, _HOW)
        self._follow_slider()
        say(self.cost, _cost(shown.path, len(mine.changes)))

    def _follow_slider(self, event: Any = None) -> None:
        """Say where a track would be cut; at every step of the slider, so that nothing is read from the run here."""
        if self.corrections is not None and self.shown is not None:
            frame = current_frame(self._viewer, self.shown.scene.n_space)
            say(self.selection, _selection(self.corrections, frame))

    def _mark(self, layer: Any = None) -> None:
        """Ring the selected particles, in all frames, so that they are seen among the others; and say who they are."""
        if self.corrections is not None and self.shown is not None:
            chosen = self.corrections.selected()
            few = chosen if len(chosen) <= MOST_CURVES else []
            show_rings(self._viewer, self.shown, self.corrections.table_of(few), few, _RINGS, _COLOURS)
            # The rings may be a new layer of the run.
            self.shown = followed_run(self._viewer, self.shown.path)
        self._tell()

    def _click(self, position: Any, add: bool) -> None:
        """Select the position that was clicked on; with Shift one more, or one less."""
        active = self._viewer.layers.selection.active
        if self.corrections is None or str(getattr(active, "mode", "pan_zoom")) != "pan_zoom":
            return
        layer = self.corrections.layer
        row = self.corrections.row_at(np.asarray(layer.world_to_data(position))[-layer.ndim :])
        if row is not None:
            layer.selected_data = set(layer.selected_data) ^ {row} if add else {row}

    # ---- corrections ------------------------------------------------------------------------

    def _do(self, action: Callable[[Corrections], str], changes: bool, checked: bool = False) -> None:
        assert self.corrections is not None, "buttons are disabled without a run"
        try:
            done = action(self.corrections)
            if changes:
                for tracks in self._run.of("tracks"):
                    show_in_tracks(tracks, self.corrections.layer)
            self._say(done)
        except ColloidlabError as error:
            self._say(str(error), BAD)
        self._mark()

    def _save(self, checked: bool = False) -> None:
        assert self.corrections is not None, "buttons are disabled without a run"
        mine = self.corrections
        data, meta, _ = mine.layer.as_layer_data_tuple()
        self._say("")
        work = partial(_save, Path(self._run.path), data, meta)
        self.job.begin("saving", work, partial(self._saved, mine))

    def _saved(self, mine: Corrections, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._say(explain(outcome.error), BAD)
            show_error(self.message.text())
            if not isinstance(outcome.error, ColloidlabError | OSError):
                error = outcome.error
                notification_manager.receive_error(type(error), error, error.__traceback__)
            return
        repair, layers = outcome.result
        mine.changes.clear()
        if repair.is_empty:
            self._say("nothing has been changed, and nothing was written")
            return
        show_run(self._viewer, layers)
        self.refresh()
        self._say(
            f"saved: {repair}. Everything, in Analyse, computes the rest from the repaired tracks", GOOD
        )

    def _say(self, words: str, style: str = "") -> None:
        say(self.message, sentence(words) if words else "", style)


def _save(folder: Path, data: Any, meta: dict[str, Any], monitor: Monitor) -> tuple[Any, list[LayerData]]:
    monitor.update("saving", 0, 0)
    repair = save_points(folder, data, meta)
    return repair, [] if repair.is_empty else run_layers(Run(folder))


def _selection(mine: Corrections, frame: int) -> str:
    particles = mine.selected()
    if not particles:
        n = len(mine.layer.selected_data)
        return (
            f"Selected: {n} without a number (it gets one when it is saved)." if n else "Nothing is selected."
        )
    text = f"Selected: {mine.tell(particles)}."
    return text + (f" Split here would cut before frame {frame}." if mine.can_split(particles, frame) else "")


def _cost(path: str, n_changes: int) -> str:
    """How much is not saved, and what saving removes."""
    try:
        stages = Run(path).record["stages"]
    except (ColloidlabError, OSError):
        stages = {}
    gone = [name for stage, name in _LATER_STAGES.items() if stage in stages]
    words = f"{_count(n_changes)} not saved. " if n_changes else ""
    if gone:
        listed = " and ".join(part for part in (", ".join(gone[:-1]), gone[-1]) if part)
        words += f"Saving removes what was computed from the old tracks: {listed}."
    return words


def _count(n: int) -> str:
    return f"{n} change{' is' if n == 1 else 's are'}"

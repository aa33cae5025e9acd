"""The window "Explore": colour by any quantity, see it against time, and go from event to event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSplitter, QVBoxLayout, QWidget

from napari_plugin import marks
from napari_plugin.appearance import follow
from napari_plugin.colour_form import ColourForm
from napari_plugin.docks import dock_column
from napari_plugin.event_list import IN_FRAME, EventList, takes_part
from napari_plugin.labels import text_label
from napari_plugin.listening import Listening, on_click
from napari_plugin.recolouring import (
    PARTICLES,
    ROLLOUT,
    Choice,
    Look,
    choice_of,
    choices,
    doubt,
    group,
    has_map,
    seen_choice,
    show_choice,
    table_of,
    title,
    usual_look,
)
from napari_plugin.run_words import missing_events, missing_stages, no_run, readout
from napari_plugin.scene import Scene
from napari_plugin.series import curves
from napari_plugin.shown_runs import ShownRun, followed_run
from napari_plugin.slider import current_frame, go_to_frame
from napari_plugin.time_plot import TimePlot

_AMBER = "color: #ffb454"
_SELECTABLE = ("particles", "coloured", "rollout", "future")


@dataclass
class Memory:
    """What is chosen in one run.

    Parameters
    ----------
    choice : Choice
    explicit : bool
        It was chosen here, not found in the viewer.
    smooth : bool
        With its smooth map.
    particles : tuple of int
        Those that are selected.
    looks : dict of Choice to Look
        Colours and ranges that are not the usual ones.
    scene : Scene
        Of the layers that were seen last.
    coloured : napari.layers.Points
        The layer that was coloured last.
    """

    choice: Choice
    explicit: bool = False
    smooth: bool = False
    particles: tuple[int, ...] = ()
    looks: dict[Choice, Look] = field(default_factory=dict)
    scene: Scene | None = None
    coloured: Any = None


class Explore(QWidget):
    """Explore the run of the selected layer.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Attributes
    ----------
    shown : ShownRun or None
        The run that is followed.
    colours : ColourForm
    plot : TimePlot
    events : EventList
    about, doubt, values, note : QLabel
        Which run it is and what it lacks; why colours are no measurement; values at the current frame; what to
        open where there is no run.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._memory: dict[str, Memory] = {}
        self._busy = False
        self._layers: tuple[Any, ...] = ()
        self._plotted = ""
        self.shown: ShownRun | None = None
        self.about, self.doubt, self.values, self.note = (text_label() for _ in range(4))
        self.doubt.setStyleSheet(_AMBER)
        self.colours, self.events = ColourForm(), EventList()
        self.plot = TimePlot(napari_viewer.theme)
        self.clear = QPushButton("Select none")
        self._arrange()
        self._connect()

    # ---- the window -------------------------------------------------------------------------

    def _arrange(self) -> None:
        upper, self.body = QWidget(), QSplitter(Qt.Orientation.Vertical)
        above = QVBoxLayout(upper)
        above.setContentsMargins(0, 0, 0, 6)
        for widget in (self.about, self.colours, self.doubt):
            above.addWidget(widget)
        above.addWidget(self.plot, 1)
        line = QHBoxLayout()
        line.addWidget(self.values, 1)
        line.addWidget(self.clear, 0, Qt.AlignmentFlag.AlignTop)
        above.addLayout(line)
        self.body.addWidget(upper)
        self.body.addWidget(self.events)
        self.body.setStretchFactor(0, 3)
        self.body.setStretchFactor(1, 2)
        self.body.setChildrenCollapsible(False)
        column = dock_column(self)
        column.addWidget(self.note, 0, Qt.AlignmentFlag.AlignTop)
        column.addWidget(self.body, 1)
        self.clear.setToolTip("Plot the median of all particles again")
        self.setMinimumWidth(430)

    def _connect(self) -> None:
        self.colours.chosen.connect(self._choose)
        self.colours.changed.connect(self._restyle)
        self.colours.reset_asked.connect(self._reset)
        self.clear.clicked.connect(lambda _: self.select(()))
        self.plot.frame_chosen.connect(self._go)
        self.plot.span_changed.connect(self._narrow)
        self.events.filter_changed.connect(self._narrow)
        self.events.event_chosen.connect(self._go_to_event)
        self._listening = Listening(self._viewer)
        # Of many layers that come at once only the last one counts.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.refresh)

    def showEvent(self, event: Any) -> None:
        """Listen to the viewer as long as this is seen."""
        viewer, listen = self._viewer, self._listening
        follow(viewer)
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed):
            listen.to(emitter, self._refresh_soon)
        listen.to(viewer.layers.selection.events.active, self._refresh_soon)
        listen.to(viewer.dims.events.point, self._follow_slider)
        listen.to(viewer.events.theme, self._take_theme)
        listen.to_clicks(on_click(self._click))
        self.refresh()
        super().showEvent(event)

    def hideEvent(self, event: Any) -> None:
        """What is not seen costs nothing, and may be taken away."""
        self._listening.stop()
        self._layers = ()
        super().hideEvent(event)

    def _refresh_soon(self, event: Any = None) -> None:
        if not self._busy:
            self._later.start(0)

    def _take_theme(self, event: Any = None) -> None:
        self.plot.set_theme(self._viewer.theme)

    # ---- which run, and what of it -----------------------------------------------------------

    def refresh(self) -> None:
        """Follow the selected layer's run, and its quantity where it shows one."""
        last = self.shown.path if self.shown else ""
        shown = self.shown = followed_run(self._viewer, last)
        self.note.setText("" if shown else no_run(self._viewer))
        self.note.setVisible(shown is None)
        self.body.setVisible(shown is not None)
        if shown is None:
            self._layers = ()
            return
        if shown.layers != self._layers:
            self._take_run(shown)
        else:
            active = self._viewer.layers.selection.active
            chosen = choice_of(active) if active in shown.layers else None
            if chosen in self._choices and chosen != self._mine.choice:
                self._mine.choice = chosen
                self._show_choice()

    @property
    def _mine(self) -> Memory:
        assert self.shown is not None
        return self._memory[self.shown.path]

    def _take_run(self, shown: ShownRun) -> None:
        """Show another run, or a run that has other layers than before."""
        self._layers = shown.layers
        self._choices = choices(shown)
        seen = seen_choice(shown)
        usual = seen if seen in self._choices else self._choices[0]
        memory = self._memory.setdefault(shown.path, Memory(usual, smooth=has_map(shown)))
        was_replaced = memory.scene is not None and memory.scene is not shown.scene
        # Another member of the ensemble may have taken the place of the one that was coloured.
        was_replaced |= memory.choice.source == ROLLOUT and memory.coloured not in shown.layers
        memory.scene = shown.scene
        if memory.choice not in self._choices or not memory.explicit:
            memory.choice, memory.explicit = usual, False
        elif was_replaced:
            self._colour()
        self._listening.to_selections(shown.of(*_SELECTABLE), self._take_selection)
        missing = missing_stages(shown)
        self.about.setText(f"<b>{Path(shown.path).name}</b>" + (f"<br>{missing}" if missing else ""))
        self.about.setToolTip(shown.path)
        self.about.show()
        self.events.show_events(shown.events(), shown.scene.calibration, missing_events(shown))
        self._show_choice()

    def _show_choice(self) -> None:
        shown, mine = self._run, self._mine
        titles = [title(shown, choice) for choice in self._choices]
        groups = [group(choice)[0] for choice in self._choices]
        self.colours.show_choices(titles, groups, self._choices.index(mine.choice))
        self.colours.show_look(self._look())
        self.colours.smooth.setEnabled(mine.choice.source == PARTICLES and shown.scene.n_space == 2)
        self.colours.smooth.setChecked(mine.smooth)
        self._say_doubt()
        self._plot()

    @property
    def _run(self) -> ShownRun:
        assert self.shown is not None
        return self.shown

    def _look(self) -> Look:
        choice = self._mine.choice
        return self._mine.looks.get(choice) or usual_look(table_of(self._run, choice), choice.quantity)

    # ---- colours ----------------------------------------------------------------------------

    def _choose(self, index: int) -> None:
        self._mine.choice, self._mine.explicit = self._choices[index], True
        self._colour()
        self._show_choice()

    def _restyle(self) -> None:
        """Other colours or another range were entered, or the map was asked for."""
        if self.shown is None:
            return  # A field that loses the focus because its run was removed.
        if self.colours.problem:
            self._say_doubt()
            return
        mine, look = self._mine, self.colours.look()
        mine.explicit, mine.smooth = True, self.colours.smooth.isChecked()
        if look != self._look():
            mine.looks[mine.choice] = look
        self._say_doubt()
        self._colour()

    def _reset(self) -> None:
        self._mine.looks.pop(self._mine.choice, None)
        self.colours.show_look(self._look())
        self._restyle()

    def _colour(self) -> None:
        with self._by_myself():
            mine = self._mine
            mine.coloured = show_choice(
                self._viewer, self._run, mine.choice, self._look(), smooth=mine.smooth
            )

    def _say_doubt(self) -> None:
        sentence = self.colours.problem or doubt(self._run, self._mine.choice)
        self.doubt.setText(sentence)
        self.doubt.setVisible(bool(sentence))

    @contextmanager
    def _by_myself(self) -> Iterator[None]:
        """What the viewer tells meanwhile was made here."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            self.shown = followed_run(self._viewer, self._run.path)
            self._layers = self._run.layers

    # ---- particles and time -------------------------------------------------------------------

    def select(self, particles: Sequence[int]) -> None:
        """Plot other particles, and ring them in the picture."""
        self._mine.particles = tuple(dict.fromkeys(particles))
        self._plot()
        self._narrow()

    def _plot(self) -> None:
        shown, mine = self._run, self._mine
        table = table_of(shown, mine.choice)
        found = curves(table, mine.particles, mine.choice.quantity)
        events = shown.events()
        frames: Sequence[int] = ()
        if events is not None and mine.particles:
            frames = np.unique(events["frame"][takes_part(events, mine.particles)]).tolist()
        self.plot.show_curves(
            found,
            mine.choice.quantity.label,
            shown.scene.calibration,
            note="" if found else "an angle has no median:\nselect particles",
            events=frames,
            keep_span=self._plotted == shown.path,
        )
        self._plotted = shown.path
        with self._by_myself():
            ringed = mine.particles if len(found) == len(mine.particles) else ()
            marks.show_rings(self._viewer, shown, table, ringed)
        self._follow_slider()

    def _take_selection(self, layer: Any) -> None:
        rows = sorted(layer.selected_data)
        chosen = layer.features["particle"].iloc[rows]
        # What was just added by hand has no number yet.
        self.select(chosen[chosen >= 0].astype(int).tolist())

    def _click(self, position: Any, add: bool) -> None:
        """Select the particle that was clicked on; with Shift one more, or one less."""
        if (
            self.shown is None
            or str(getattr(self._viewer.layers.selection.active, "mode", "pan_zoom")) != "pan_zoom"
        ):
            return
        layer = self._run.of("particles")[0]
        data = np.asarray(layer.world_to_data(position))[-layer.ndim :]
        found = marks.particle_at(table_of(self._run, self._mine.choice), data)
        if found is None:
            return
        before = self._mine.particles
        if not add:
            self.select((found,))
        else:
            self.select([p for p in before if p != found] if found in before else [*before, found])

    def _go(self, frame: int) -> None:
        go_to_frame(self._viewer, frame, self._run.scene.n_space)

    def _follow_slider(self, event: Any = None) -> None:
        if self.shown is None:
            return
        frame = current_frame(self._viewer, self.shown.scene.n_space)
        self.plot.set_frame(frame)
        self.values.setText(readout(self.plot.curves, frame, self.shown, self._mine.choice))
        self.values.show()
        if event is None or self.events.filter.currentText() == IN_FRAME:
            self._narrow()

    # ---- events -----------------------------------------------------------------------------

    def _narrow(self) -> None:
        if self.shown is not None:
            self.events.narrow(self.plot.span, self.plot.frame, self._mine.particles)

    def _go_to_event(self, row: int) -> None:
        event = self.events.event_at(row)
        with self._by_myself():
            marks.show_event(self._viewer, self._run, event)
        if self.events.plot_four.isChecked():
            self.select(marks.event_particles(event))

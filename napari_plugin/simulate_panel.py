"""What a simulation does and has found, beside its options: where it starts, which member is shown, statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zarr
from matplotlib.figure import Figure
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget

from colloidlab.errors import ColloidlabError, InputError, UsageError
from colloidlab.news import News, RolloutPart
from colloidlab.report.figures_rollout import distance_of, draw_comparison
from colloidlab.report.results import Results
from colloidlab.report.words import calibration_of_predictions, number, rearrangement_verdict, sentence
from colloidlab.rollout.boundary import check_start
from colloidlab.run import UNFINISHED, Run
from napari_plugin.jobs import Job, Outcome, stop_with
from napari_plugin.labels import BAD, say, text_label
from napari_plugin.layers import member_layers
from napari_plugin.live_rollout import LiveRollout
from napari_plugin.plots import Plot
from napari_plugin.showing import show_rollout, show_to_compare
from napari_plugin.shown_runs import about
from napari_plugin.slider import current_frame, frame_axis, go_to_frame

STATISTICS = {"g_r": "g(r)", "msd": "MSD", "d2min": "D²min"}
"""Of `comparison.parquet`, with their names."""

_HEIGHT_PX = 185

_BANDS = "Experiment and rollouts over the same frames and particles; bands are 95 % intervals."
_FLOORS = (
    " In brackets: by how much two halves of the experiment differ. What is below that cannot be told from the "
    "experiment's own scatter."
)


class SimulatePanel(QWidget):
    """Start frame from the slider, a rollout that grows over the recording, its members, and its statistics.

    Parameters
    ----------
    viewer : napari.Viewer
    set_start : callable(int)
        Fills the option from_frame.

    Attributes
    ----------
    from_current : QPushButton
    member : QSpinBox
        Which member of the ensemble is shown, from 1 on.
    to_first : QPushButton
        Moves the slider to where the rollout starts.
    state, verdict : QLabel
    statistics : Plot
    live : LiveRollout
    failed : Signal(object)
        An exception, to be said.
    """

    failed = Signal(object)

    def __init__(self, viewer: Any, set_start: Callable[[int], None]) -> None:
        super().__init__()
        self._viewer, self._set_start = viewer, set_start
        self._run: Run | None = None
        self._busy = False
        self.live = LiveRollout(viewer, self)
        self.from_current = QPushButton("Start from the current frame")
        self.from_current.setToolTip("Put the frame of the slider into 'from frame'")
        self.to_first = QPushButton("To its first frame")
        self.member = QSpinBox()
        self.member.setPrefix("member ")
        self.start, self.state, self.verdict, self.note = (text_label() for _ in range(4))
        self.statistics = Plot(viewer)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.from_current)
        column.addWidget(self.start)
        column.addWidget(self.state)
        row = QHBoxLayout()
        row.addWidget(QLabel("shown"))
        row.addWidget(self.member, 1)
        row.addWidget(self.to_first)
        column.addLayout(row)
        for widget in (self.verdict, self.statistics, self.note):
            column.addWidget(widget)
        self.from_current.clicked.connect(self._take_frame)
        self.to_first.clicked.connect(self._go_to_first)
        self.member.valueChanged.connect(self._change_member)
        self._offer_members(0)

    # ---- the start --------------------------------------------------------------------------

    def _take_frame(self) -> None:
        try:
            if frame_axis(self._viewer) < 0:
                raise UsageError("there is no slider yet; open the run or its recording first")
            frame = current_frame(self._viewer)
            if self._run is None or not self._run.has("state.parquet"):
                raise InputError("there is nothing to start from yet; press Fit first")
            check_start(self._run.read_table("state"), frame)
        except (ColloidlabError, OSError) as error:
            say(self.start, sentence(str(error)), BAD)
            return
        self._set_start(frame)
        say(self.start, self._about_start(self._run, frame))

    def _about_start(self, run: Run, frame: int) -> str:
        test = run.facts("fit").get("test")
        if test and frame < test[0]:
            return f"Starts at frame {frame}, which the fit has seen: a fair comparison starts at frame {test[0]} or later."
        return f"Starts at frame {frame}."

    # ---- while it runs ----------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        """A simulation is about to run: nothing of the one before is left to be mistaken for it."""
        self._run, self._busy = run, True
        for widget in (self.verdict, self.statistics, self.note):
            widget.hide()
        self._offer_members(0)
        self.live.begin(run, 0)
        say(self.state, "No frame has been simulated yet.")

    def take(self, news: News) -> None:
        """Draw what a simulation tells."""
        if not isinstance(news, RolloutPart):
            return
        if news.done == 0 and self._run is not None:
            show_to_compare(self._viewer, str(self._run.path.resolve()), rollout=False)
        self.live.take(news)
        if self.member.maximum() != self.live.n_members:
            self._offer_members(self.live.n_members)
        done = news.done + news.positions.shape[1]
        say(
            self.state, f"{done} of {news.n_frames} frames from frame {news.first} on are computed and shown."
        )

    def end(self, *, complete: bool) -> None:
        """The simulation has ended; its layers take the place of what grew, where they are complete."""
        self._busy = False
        if not complete:
            self.live.finish()

    # ---- afterwards -------------------------------------------------------------------------

    def show_run(self, run: Run | None) -> None:
        """Show what a run folder holds of a simulation, or that it holds none."""
        self._run = run
        if run is None or self.live.run is None or run.path != self.live.run.path:
            self.live.remove()
        for widget in (self.start, self.verdict, self.statistics, self.note):
            widget.hide()
        say(self.state, "" if run is None else _state(run))
        stopped = self.live.n_members > 0 and run is not None and run.has(UNFINISHED["simulate"])
        if run is None or stopped or not run.has("rollout.zarr"):
            # What was computed until then is in the viewer; results of an earlier simulation are not beside it.
            self._offer_members(self.live.n_members)
            return
        try:
            self._offer_members(int(run.summary.get("rollout_members", 0)) or _count_members(run))
            self._show_statistics(Results(run))
        except InputError as error:
            say(self.state, sentence(str(error)), BAD)

    def layers_shown(self) -> None:
        """The layers of the run have just been put into the viewer: show the rollout over the recording."""
        if self._run is not None and self._run.has("rollout.zarr"):
            self.live.remove()
            show_to_compare(self._viewer, str(self._run.path.resolve()), rollout=True)

    def _show_statistics(self, results: Results) -> None:
        columns = ["quantity", "series", "x", "y", "y_low", "y_high", "x_unit", "y_unit"]
        table = results.table("comparison", columns)
        present = [name for name in STATISTICS if (table["quantity"] == name).any()]

        def draw(figure: Figure) -> None:
            axes = figure.subplots(len(present), 1, squeeze=False)[:, 0]
            for ax, name in zip(axes, present, strict=True):
                draw_comparison(ax, table, name)
                ax.set_title(_title(results, name))
            # There curves rise to the right.
            axes[present.index("msd") if "msd" in present else 0].legend(loc="lower right")

        if present:
            self.statistics.show_figure(draw, _HEIGHT_PX * len(present))
        words = (rearrangement_verdict(results), calibration_of_predictions(results))
        say(self.verdict, " ".join(w for w in words if w))
        floors = any("(" in _title(results, name).removeprefix("g(r)") for name in present)
        say(self.note, _BANDS + (_FLOORS if floors else ""))

    def _offer_members(self, n: int) -> None:
        self.member.blockSignals(True)
        self.member.setRange(min(n, 1), n)
        self.member.setValue(self._shown_member() + 1)
        self.member.setSuffix(f" of {n}" if n else "")
        self.member.setSpecialValueText("" if n else "no rollout yet")
        self.member.blockSignals(False)
        for widget in (self.member, self.to_first):
            widget.setEnabled(n > 0)

    def _shown_member(self) -> int:
        """The member of this run that the viewer shows, counted from 0; the first one where it shows none."""
        run = "" if self._run is None else str(self._run.path.resolve())
        for layer in reversed(self._viewer.layers):
            if about(layer).get("kind") == "rollout" and about(layer)["run"] == run:
                return int(about(layer)["member"])
        return 0

    def _change_member(self, value: int) -> None:
        if self.live.layer is not None and self.live.layer in self._viewer.layers:
            self.live.show_member(value - 1)
        elif self._run is not None and not self._busy:
            run = self._run
            job = Job(lambda monitor: (value, member_layers(run, value - 1)))
            job.ended.connect(self._show_member)
            stop_with(self, job)
            job.begin()

    def _show_member(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.failed.emit(outcome.error)
            # The one that is seen, without asking for it again.
            self._offer_members(self.member.maximum())
        elif outcome.result[0] == self.member.value():
            # Whoever clicks fast sees the last one only.
            show_rollout(self._viewer, outcome.result[1])

    def _go_to_first(self) -> None:
        first = self.live.first_frame
        if first is None and self._run is not None:
            first = self._run.facts("simulate").get("first_frame")
        if first is not None and frame_axis(self._viewer) >= 0:
            go_to_frame(self._viewer, first)


def _title(results: Results, name: str) -> str:
    """Name of a statistic, the distance, and what the experiment's own scatter gives."""
    key = "d2min_ks_floor_halves" if name == "d2min" else f"rollout_{name}_floor"
    floor, text = results.summary.get(key), distance_of(results, name)
    if text and floor is not None:
        scale, unit = (1.0, "") if name == "d2min" else (100.0, " %")
        text += f" ({number(scale * float(floor))}{unit})"
    return f"{STATISTICS[name]}: {text}" if text else STATISTICS[name]


def _state(run: Run) -> str:
    """How far the simulation of a run is, in sentences."""
    parts = []
    if run.has(UNFINISHED["simulate"]):
        parts.append(
            "A simulation was interrupted: with the same options, Simulate goes on where it stopped."
        )
    facts = run.facts("simulate")
    if run.has("rollout.zarr"):
        text = "Simulated before it" if parts else "Simulated"
        if "n_frames" in facts:
            text += f": {facts['n_frames']} frames from frame {facts['first_frame']} on"
        if "boundary" in facts:
            text += f"; the boundary {facts['boundary']}"
        parts.append(f"{text}.")
    elif not parts:
        parts.append("Nothing has been simulated yet." if run.has("model") else "")
    return " ".join(parts)


def _count_members(run: Run) -> int:
    try:
        group: Any = zarr.open_group(run.path / "rollout.zarr", mode="r")
        return int(group["positions"].shape[0])
    except (KeyError, ValueError, OSError, AttributeError):
        raise InputError(f"{run.path / 'rollout.zarr'} is damaged; simulate again") from None

"""Trying the options of Track on the frame that is looked at, and having them estimated."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from colloidlab.config import Config
from colloidlab.errors import ColloidlabError
from colloidlab.report.words import capital
from napari_plugin.appearance import follow
from napari_plugin.form import Form
from napari_plugin.histograms import Histograms
from napari_plugin.jobs import Job, Outcome, when_gone
from napari_plugin.latest import Latest
from napari_plugin.layers import video_layers
from napari_plugin.places import Places
from napari_plugin.slider import go_to_frame
from napari_plugin.trial import (
    Place,
    Session,
    estimate,
    hide_trial,
    look_for_candidates,
    place_in,
    show_trial,
    try_frame,
)

if TYPE_CHECKING:
    from colloidlab.features import LocateParameters  # its compiler is slow to import

_IDLE_MS = 80
_RED, _AMBER = "color: #ff7b6b", "color: #ffb454"

_DOING = {
    "open": "opening the recording",
    "read": "reading six frames",
    "blobs": "looking for blobs",
    "features": "looking at six frames",
    "template": "learning what a particle looks like",
    "estimate": "estimating",
}
"""What the person reads for the labels of a monitor."""


class TrackPanel(QWidget):
    """Above the options of Track: live preview, what it found, and "Estimate for me".

    Parameters
    ----------
    viewer : napari.Viewer
    form : Form
        Its options of the sections video and track count.
    places : Places
        The recording.

    Attributes
    ----------
    live : QCheckBox
    estimate : QPushButton
    found, sentence, hint : QLabel
        What the estimation found; what the frame holds, or why it is not shown; and what to be wary of.
    histograms : Histograms
    """

    def __init__(self, viewer: Any, form: Form, places: Places) -> None:
        super().__init__()
        self._viewer, self._form, self._places = viewer, form, places
        self._session, self._latest = Session(), Latest(self)
        self._seen: tuple[Path, Config, Any] | None = None
        self._idle = QTimer(self)
        self._idle.setSingleShot(True)
        self._idle.setInterval(_IDLE_MS)
        self._idle.timeout.connect(self._look_closer)
        self.live = QCheckBox("Live preview")
        self.live.setToolTip(
            "Show what Track would find on this frame, with every option of the tabs Video and Track"
        )
        self.estimate = QPushButton("Estimate for me")
        self.estimate.setToolTip("Fill in what Track would estimate on this recording, and look at it")
        self.found, self.sentence, self.hint, self.busy = (_label() for _ in range(4))
        self.hint.setStyleSheet(_AMBER)
        self.histograms = Histograms()
        self.histograms.setToolTip("Click in the upper histogram to set minmass")
        self.histograms.hide()
        self._arrange()
        self.live.toggled.connect(self._switch)
        self.estimate.clicked.connect(self._estimate)
        self.histograms.threshold_chosen.connect(self._choose_minmass)
        form.changed.connect(self.refresh)
        places.changed.connect(self.refresh)
        viewer.dims.events.current_step.connect(self.refresh)
        self._latest.progressed.connect(self._tell_progress)
        when_gone(self, partial(_end, self._latest.running, self._session))

    def _arrange(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 4)
        row = QHBoxLayout()
        row.addWidget(self.live)
        row.addWidget(self.estimate)
        column.addLayout(row)
        for widget in (self.found, self.sentence, self.hint, self.histograms, self.busy):
            column.addWidget(widget)

    def rest(self) -> None:
        """End the preview and an estimation: something else is done and shown now."""
        self.live.setChecked(False)
        self._switch(False)

    # ---- the preview ------------------------------------------------------------------------

    def refresh(self, event: Any = None) -> None:
        """Look at the frame with the options as they are now, when the preview is on."""
        if not self.live.isChecked() or not self.estimate.isEnabled():
            return
        source, _ = self._places.paths()
        if self._form.problem or source is None:
            self._refuse(self._form.problem or "choose a recording")
            return
        if (where := place_in(self._viewer, source)) is None:
            if event is None:
                self._latest.ask(partial(_open, source), self._show_recording)
            else:
                # The slider has changed because somebody has removed the recording.
                self.rest()
            return
        options = self._form.config
        work = partial(try_frame, self._session, source, options, where.file_frame)
        self._latest.ask(work, partial(self._show, source, where, options))

    def _switch(self, on: bool) -> None:
        if on:
            self.refresh()
            return
        self._latest.forget()
        self._idle.stop()
        self.estimate.setEnabled(True)
        hide_trial(self._viewer)
        self.histograms.hide()
        for label in (self.sentence, self.hint):
            _say(label, "")

    def _show_recording(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._fail(outcome.error)
            return
        follow(self._viewer)
        for data in outcome.result:
            self._viewer.add_layer(Layer.create(*data))
        go_to_frame(self._viewer, 0)
        self.refresh()

    def _show(self, source: Path, where: Place, options: Config, outcome: Outcome) -> None:
        if not self.live.isChecked():
            return
        if outcome.error is not None:
            self._fail(outcome.error)
        elif outcome.result is None:
            self._refuse(f"Frame {where.frame} is left out by the options of the tab Video", plain=True)
        elif outcome.result.status in ("damaged", "missing"):
            found = outcome.result
            self._refuse(f"Frame {where.frame} is {found.status}: {found.reason}")
        else:
            found = outcome.result
            show_trial(self._viewer, where, found.features)
            self._describe(where, found)
            self._seen = (source, options, found)
            self._idle.start()

    def _describe(self, where: Place, found: Any) -> None:
        n = len(found.features)
        self.sentence.setStyleSheet("")
        particles = f"{n} particle{'' if n == 1 else 's'}"
        _say(self.sentence, f"<b>{particles}</b> in frame {where.frame}: {_resolved(found.parameters)}")
        self.sentence.setToolTip(_reasons(found.parameters))
        _say(
            self.hint,
            _bias(found) if n else "Nothing was found: a smaller minmass or another polarity may help.",
        )

    def _look_closer(self) -> None:
        """Nothing has moved for a moment: time for the histograms, whose drawing the window waits for."""
        if self.live.isChecked() and not self._latest.is_busy and self._seen is not None:
            source, options, found = self._seen
            work = partial(look_for_candidates, self._session, source, options, found)
            self._latest.ask(work, partial(self._show_histograms, found))

    def _show_histograms(self, found: Any, outcome: Outcome) -> None:
        if self.live.isChecked() and outcome.error is None:
            self.histograms.show()
            self.histograms.show_features(found.features, outcome.result, found.parameters.minmass)

    def _refuse(self, sentence: str, *, plain: bool = False) -> None:
        """Say why there is no preview, and show none."""
        hide_trial(self._viewer)
        self.histograms.hide()
        self.sentence.setStyleSheet("" if plain else _RED)
        self.sentence.setToolTip("")
        _say(self.sentence, capital(sentence))
        _say(self.hint, "")

    def _fail(self, error: Exception) -> None:
        known = isinstance(error, ColloidlabError | OSError)
        self._refuse(
            str(error) if known else f"this is a bug, please report it: {type(error).__name__}: {error}"
        )

    def _choose_minmass(self, value: float) -> None:
        self._form.sections["track"].fields["minmass"].set_value(f"{value:.4g}")

    def _tell_progress(self, label: str, done: int, total: int) -> None:
        words = _DOING.get(label, "")
        _say(self.busy, f"{words} …" if words else "")

    # ---- estimation -------------------------------------------------------------------------

    def _estimate(self) -> None:
        source, _ = self._places.paths()
        if self._form.problem or source is None:
            self._refuse(self._form.problem or "choose a recording")
            return
        self.estimate.setEnabled(False)
        _say(self.found, "")
        options = self._form.config
        self._latest.ask(
            partial(estimate, self._session, source, options), partial(self._fill, source, options)
        )

    def _fill(self, source: Path, options: Config, outcome: Outcome) -> None:
        if self._places.paths()[0] != source:
            self.estimate.setEnabled(True)
            return
        if outcome.error is not None:
            self.estimate.setEnabled(True)
            self._fail(outcome.error)
            return
        found: LocateParameters = outcome.result
        fields = self._form.sections["track"].fields
        for name, value in _values(found, options.track.method).items():
            fields[name].set_value(value)
        self.found.setToolTip(_reasons(found))
        _say(self.found, f"Estimated: {_resolved(found)}. {_first_reason(found)}")
        self.estimate.setEnabled(True)
        self.live.setChecked(True)
        self.refresh()


def _open(source: Path, monitor: Any) -> Any:
    monitor.update("open", 0, 0)
    return video_layers(source)


def _end(running: list[Job], session: Session) -> None:
    """The window is gone: nothing goes on."""
    for job in running:
        job.stop()
    session.close()


def _values(found: LocateParameters, method: str) -> dict[str, Any]:
    """Parameters as options, to four digits.

    The joint fit stays the choice of the program that it was: with its template it also chose whether the cores
    of particles decide, which no option says.
    """
    return {
        "method": method if found.method == "joint" else found.method,
        "polarity": "dark" if found.invert else "bright",
        "diameter_px": found.diameter_px,
        "minmass": f"{found.minmass:.4g}",
        "minsignal": f"{found.minsignal:.4g}",
        "separation_px": f"{found.separation_px:.4g}",
    }


def _resolved(parameters: LocateParameters) -> str:
    """What the options resolve to, in one line."""
    method = {"joint": "joint fit", "centroid": "centroids", "circles": "circles"}[parameters.method]
    words = [
        "dark" if parameters.invert else "bright",
        f"diameter {parameters.diameter_px} px",
        f"minmass {parameters.minmass:.4g}",
        *([f"minsignal {parameters.minsignal:.4g}"] if parameters.minsignal > 0 else []),
        f"separation {parameters.separation_px:.3g} px",
        method,
    ]
    return ", ".join(words)


def _first_reason(parameters: LocateParameters) -> str:
    reason = parameters.reasons.get("method", "")
    return f"{capital(reason)}."


def _reasons(parameters: LocateParameters) -> str:
    rows = (f"<b>{name.removesuffix('_px')}</b>: {why}" for name, why in parameters.reasons.items())
    return "<qt>" + "<br>".join(rows) + "</qt>"


def _bias(found: Any) -> str:
    """A warning where pixels draw positions; empty otherwise."""
    from colloidlab.features.pixel_bias import pixel_bias

    bias = pixel_bias(found.features[["x", "y"]].to_numpy())
    if not bias.matters:
        return ""
    where = "towards the centres" if bias.amplitude_px > 0 else "away from the centres"
    return (
        f"Positions are drawn {where} of pixels, by up to {abs(bias.amplitude_px):.2g} ± {bias.error_px:.1g} px: "
        f"try a larger diameter than {found.parameters.diameter_px} px. (Particles on a lattice that fits "
        "the pixels look the same.)"
    )


def _label() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.hide()
    return label


def _say(label: QLabel, text: str) -> None:
    label.setText(text)
    label.setVisible(bool(text))

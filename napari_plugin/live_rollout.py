"""A rollout over the recording while it is being computed."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba
from napari.layers import Points
from qtpy.QtCore import QObject, QTimer

from colloidlab.news import RolloutPart
from colloidlab.run import Run
from napari_plugin.appearance import expect
from napari_plugin.coordinates import place, to_napari
from napari_plugin.particle_layers import diameters
from napari_plugin.rollout_layers import FUTURE, RIM_ROLLOUT
from napari_plugin.scene import NAMESPACE
from napari_plugin.slider import current_frame, go_to_frame

KIND = "growing rollout"

_LEAST_PAUSE_MS, _MOST_PAUSE_MS = 150, 1000
_SHARE = 4
"""Pauses between two drawings are at least so many times as long as a drawing."""


class LiveRollout(QObject):
    """A Points layer that grows with every frame that is told.

    Simulated particles are discs, prescribed ones empty circles (symbols of their own would take napari as long as all
    the rest). The slider goes on with the newest frame as
    long as nobody else moves it.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject

    Attributes
    ----------
    layer : Points or None
    n_members : int
        Of the ensemble; 0 before the first frame.
    """

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw)
        self._pause_ms = _LEAST_PAUSE_MS
        self.layer: Any = None
        self._run: Run | None = None
        self._parts: list[RolloutPart] = []
        self._member, self._frame_shown = 0, -1

    @property
    def run(self) -> Run | None:
        """The run that the frames are of."""
        return self._run

    @property
    def n_members(self) -> int:
        return len(self._parts[0].positions) if self._parts else 0

    @property
    def first_frame(self) -> int | None:
        return self._parts[0].first if self._parts else None

    def begin(self, run: Run, member: int) -> None:
        """Forget the one before; those that are told from now on are of this run."""
        self.remove()
        self._run, self._member = run, member
        self._radii: pd.Series | None = None

    def take(self, part: RolloutPart) -> None:
        """Add frames."""
        if part.done == 0:
            assert self._run is not None, "frames are told after the beginning"
            # Earlier stages of the same job may have given it a scale.
            self._run, self._parts = Run(self._run.path), []
        self._parts.append(part)
        if not self._timer.isActive():
            self._timer.start(self._pause_ms)

    def show_member(self, member: int) -> None:
        """Show another member of the ensemble."""
        self._member = member
        if self._parts:
            self._draw()

    def finish(self) -> None:
        """No more frames come; what there is stays."""
        if self._timer.isActive():
            self._timer.stop()
            self._draw()

    def remove(self) -> None:
        """Take the layer away."""
        self._timer.stop()
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer, self._parts = None, []

    # ---- drawing ----------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """The member shown: frame, particle, x, y, simulated, radius_px."""
        member = min(self._member, self.n_members - 1)
        positions = np.concatenate([part.positions[member] for part in self._parts]).astype(np.float64)
        head = self._parts[0]
        k, p = np.nonzero(np.isfinite(positions[..., 0]))
        particles = head.particles[p]
        return pd.DataFrame(
            {
                "frame": head.first + k,
                "particle": particles,
                "x": positions[k, p, 0],
                "y": positions[k, p, 1],
                "simulated": head.simulated[p],
                "radius_px": self._radius_of().reindex(particles).to_numpy(dtype=float),
            }
        )

    def _draw(self) -> None:
        started = time.perf_counter()
        table = self.table()
        arguments = self._looks(table)
        if self.layer is None or self.layer not in self._viewer.layers:
            fixed = self._fixed()
            expect(self._viewer, [fixed])
            self.layer = self._viewer.add_layer(Points(to_napari(table), **arguments, **fixed))
            self._frame_shown = current_frame(self._viewer)
        else:
            self.layer.data = to_napari(table)
            for name, value in arguments.items():
                setattr(self.layer, name, value)
        self._follow_newest(int(table["frame"].max()))
        took = 1000 * (time.perf_counter() - started)
        self._pause_ms = round(min(max(_LEAST_PAUSE_MS, _SHARE * took), _MOST_PAUSE_MS))

    def _looks(self, table: pd.DataFrame) -> dict[str, Any]:
        """What there is of every point."""
        head, newest = self._parts[0], int(table["frame"].max())
        simulated = table["simulated"].to_numpy(dtype=bool)
        colours = np.zeros((len(table), 4))
        colours[simulated] = to_rgba(FUTURE)
        done = newest - head.first + 1
        member = min(self._member, self.n_members - 1) + 1
        return {
            "features": table[["particle", "simulated"]].astype({"simulated": float}),
            "face_color": colours,
            "size": 0.7 * diameters(table),
            "name": f"rollout {member} of {self.n_members}, {done} of {head.n_frames} frames computed",
        }

    def _fixed(self) -> dict[str, Any]:
        """What is the same for all points."""
        assert self._run is not None, "frames are told after the beginning"
        calibration = self._run.calibration
        metadata = {
            "kind": KIND,
            "rollout_of": str(self._run.path.resolve()),
            "calibration": vars(calibration),
        }
        return {
            "border_color": RIM_ROLLOUT,
            "border_width": 0.06,
            "opacity": 0.9,
            "metadata": {NAMESPACE: metadata},
            **place(calibration).arguments(),
        }

    def _radius_of(self) -> pd.Series:
        if self._radii is None:
            assert self._run is not None, "frames are told after the beginning"
            tracks = self._run.read_table("tracks")
            radius = tracks["radius_px"] if "radius_px" in tracks else pd.Series(np.nan, tracks.index)
            self._radii = radius.groupby(tracks["particle"]).median()
        return self._radii

    # ---- the slider -------------------------------------------------------------------------

    def _follow_newest(self, newest: int) -> None:
        if current_frame(self._viewer) == self._frame_shown:
            go_to_frame(self._viewer, newest)
            self._frame_shown = newest

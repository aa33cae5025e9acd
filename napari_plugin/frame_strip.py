"""A strip under the slider: which frames of the recording are damaged, missing, repeated, or not seen yet."""

from __future__ import annotations

import weakref
from html import escape
from typing import Any

import numpy as np
from qtpy.QtCore import QRect, QSize, Qt, QTimer
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QSizePolicy, QStyle, QStyleOptionSlider, QToolTip, QWidget

from colloidlab.report.style import STATUS_COLOURS
from napari_plugin.frame_health import STATES, UNSEEN, FrameHealth, health_of
from napari_plugin.slider import current_frame, frame_axis, go_to_frame, slider_ends

COLOURS = {UNSEEN: "#4a4f58", **STATUS_COLOURS}
"""Of each state; those of the report's strip."""

_HEIGHT = 10
_MARGIN = 3
_REACH_PX = 4
"""A click finds a spoilt frame so near."""
_LOOK_MS = 400
"""Between two looks at what has been decoded meanwhile."""
_HERE, _AROUND = "#ffffff", "#000000"

_PALETTE = np.array([*(QColor(COLOURS[name]).rgba() for name in STATES), 0], np.uint32)
"""By the codes of `FrameHealth`; the last one, -1, is clear."""

_STRIPS: weakref.WeakKeyDictionary[Any, FrameStrip] = weakref.WeakKeyDictionary()


def attach_strip(viewer: Any) -> FrameStrip | None:
    """The strip beneath the slider of a viewer, made when there is none yet; None where there is no window."""
    if viewer not in _STRIPS:
        inside = getattr(getattr(viewer, "window", None), "_qt_viewer", None)
        if inside is None:
            return None
        _STRIPS[viewer] = strip = FrameStrip(viewer, inside.dims)
        strip.look()
    return _STRIPS[viewer]


class FrameStrip(QWidget):
    """The state of every frame, aligned with the slider; hidden where no recording of ours is shown.

    Parameters
    ----------
    viewer : napari.Viewer
    dims : QtDims
        The sliders.

    Attributes
    ----------
    health : FrameHealth or None
        What is shown.
    """

    def __init__(self, viewer: Any, dims: Any) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._dims = dims
        self.health: FrameHealth | None = None
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.look)
        viewer.dims.events.current_step.connect(self._repaint)
        viewer.dims.events.range.connect(self.look)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self.look)
        viewer.layers.selection.events.active.connect(self.look)

    def sizeHint(self) -> QSize:
        return QSize(200, _HEIGHT + 2 * _MARGIN)

    def look(self, event: Any = None) -> None:
        """Read what is known of the frames of the recording that is looked at; again, as long as not all is."""
        viewer = self._viewer()
        self.health = None if viewer is None else health_of(viewer)
        self._stand()
        self.setVisible(self.health is not None)
        self.update()
        if self.health is not None and not self.health.tracked and UNSEEN in self.health.counts():
            self._timer.start(_LOOK_MS)

    def _stand(self) -> None:
        """Directly beneath the slider that counts the frames: the lowest one, but beside a run of three dimensions."""
        viewer, sliders = self._viewer(), self._dims.layout()
        if viewer is None or (axis := frame_axis(viewer, self._n_space)) < 0:
            return
        slider = self._dims.slider_widgets[axis]
        if sliders.indexOf(self) != sliders.indexOf(slider) + 1:
            sliders.removeWidget(self)
            sliders.insertWidget(sliders.indexOf(slider) + 1, self)

    def place_of(self, frame: int) -> int:
        """Where a frame is drawn, px from the left."""
        (left, width), (first, last) = self._extent(), self._ends
        return round(left + (frame - first) / (last - first) * width)

    def frame_at(self, x: int) -> int:
        """The frame under a place, or a spoilt one very near."""
        assert self.health is not None
        (left, width), (first, last) = self._extent(), self._ends
        frame = first + round(float(np.clip((x - left) / width, 0, 1)) * (last - first))
        return self.health.worst_near(frame, _REACH_PX / width * (last - first))

    def tip(self, x: int) -> str:
        """What is said of a place: the frame, its state and why, and how many there are of each state."""
        assert self.health is not None
        about = " &nbsp; ".join(
            f"<span style='color:{COLOURS[name]}'>■</span> {n} {name}"
            for name, n in self.health.counts().items()
        )
        return f"<qt>{escape(self.health.tell(self.frame_at(x)))}<br>{about}</qt>"

    # ---- Qt -----------------------------------------------------------------------------------

    def paintEvent(self, event: Any) -> None:
        viewer = self._viewer()
        if self.health is None or viewer is None:
            return
        left, width = self._extent()
        n = round(width) + 1
        row = np.ascontiguousarray(_PALETTE[self.health.in_columns(n, *self._ends)])
        painter = QPainter(self)
        image = QImage(row.tobytes(), n, 1, 4 * n, QImage.Format.Format_ARGB32)
        painter.drawImage(QRect(round(left), _MARGIN, n, _HEIGHT), image)
        here = self.place_of(current_frame(viewer, self._n_space))
        painter.fillRect(here - 1, 0, 3, self.height(), QColor(_AROUND))
        painter.fillRect(here, 0, 1, self.height(), QColor(_HERE))
        if self.health.n_spoilt:
            painter.setPen(QColor(COLOURS["damaged"]).lighter(130))
            box = QRect(0, 0, round(left) - 4, self.height())
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, self._words())
        painter.end()

    def mouseMoveEvent(self, event: Any) -> None:
        if self.health is not None:
            QToolTip.showText(
                event.globalPosition().toPoint(), self.tip(event.position().toPoint().x()), self
            )

    def mousePressEvent(self, event: Any) -> None:
        viewer = self._viewer()
        if self.health is not None and viewer is not None and event.button() == Qt.MouseButton.LeftButton:
            go_to_frame(viewer, self.frame_at(event.position().toPoint().x()), self._n_space)

    def _repaint(self, event: Any = None) -> None:
        self.update()

    def _words(self) -> str:
        assert self.health is not None
        return f"{self.health.n_spoilt} lost"

    @property
    def _n_space(self) -> int:
        return 2 if self.health is None else self.health.n_space

    @property
    def _ends(self) -> tuple[int, int]:
        """First and last frame of the slider, not the same."""
        viewer = self._viewer()
        first, last = (0, 1) if viewer is None else slider_ends(viewer, self._n_space)
        return first, max(first + 1, last)

    def _extent(self) -> tuple[float, float]:
        """Where the first frame lies, and how far from it the last one: as the middle of the slider's handle."""
        viewer = self._viewer()
        assert viewer is not None
        slider = self._dims.slider_widgets[frame_axis(viewer, self._n_space)].slider
        option, kind = QStyleOptionSlider(), QStyle.ComplexControl.CC_ScrollBar
        slider.initStyleOption(option)
        groove, handle = (
            slider.style().subControlRect(kind, option, part, slider)
            for part in (QStyle.SubControl.SC_ScrollBarGroove, QStyle.SubControl.SC_ScrollBarSlider)
        )
        first = slider.mapToGlobal(groove.topLeft())
        left = self.mapFromGlobal(first).x() + handle.width() / 2
        return left, float(max(1, groove.width() - handle.width()))

"""Our windows as docks of napari: they scroll where they have little room, and share one place as tabs."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea, QVBoxLayout, QWidget

_LEAST_HEIGHT = 120


def dock_column(panel: QWidget) -> QVBoxLayout:
    """The column for what is in a window of ours: it scrolls, and when first shown it joins others as a tab.

    Without this the least heights of the docks that are open would add up, and napari's window grow beyond the screen.
    """
    area, inside = _Scroller(), QWidget()
    area.setWidget(inside)
    around = QVBoxLayout(panel)
    around.setContentsMargins(0, 0, 0, 0)
    around.addWidget(area)
    _Tab(panel)
    return QVBoxLayout(inside)


class _Scroller(QScrollArea):
    """Scrolls up and down only."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def minimumSizeHint(self) -> QSize:
        return QSize(0, _LEAST_HEIGHT)

    def resizeEvent(self, event: Any) -> None:
        """Nothing is hidden at the side: what is inside is given the width that there is."""
        super().resizeEvent(event)
        inside, viewport = self.widget(), self.viewport()
        if inside is not None and viewport is not None:
            inside.setFixedWidth(viewport.width())


class _Tab(QObject):
    """Makes a dock a tab of another one of ours in the same area; once, for later it is where somebody puts it."""

    def __init__(self, panel: QWidget) -> None:
        super().__init__(panel)
        self._panel = panel
        self._has_place = False
        # When napari has found a place for the dock.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._join)
        panel.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        if event.type() == QEvent.Type.Show:
            self._panel.removeEventFilter(self)
            self._later.start(0)
        return False

    def _join(self) -> None:
        dock = _dock_of(self._panel)
        window = None if dock is None else dock.parent()
        if dock is None or not isinstance(window, QMainWindow) or dock.isFloating():
            return
        self._has_place = True
        for other in window.findChildren(QDockWidget):
            tab = other.findChild(_Tab)
            # Of several that were opened at once, each joins those before it.
            ours = tab is not None and tab is not self and tab._has_place
            if (
                ours
                and not other.isFloating()
                and window.dockWidgetArea(other) == window.dockWidgetArea(dock)
            ):
                window.tabifyDockWidget(other, dock)
                dock.raise_()
                return


def _dock_of(panel: QWidget) -> QDockWidget | None:
    above = panel.parentWidget()
    while above is not None and not isinstance(above, QDockWidget):
        above = above.parentWidget()
    return above

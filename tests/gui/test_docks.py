"""The windows beside the picture: all of them find room on a small screen, and nothing in them is cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npe2._pytest_plugin import TestPluginManager
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QScrollArea

from colloidlab.run import Run
from napari_plugin.layers import run_layers
from napari_plugin.scene import NAMESPACE
from napari_plugin.showing import show_run

SIZE = (1280, 800)
NAMES = ("Analyse", "Explore", "Export", "Repair tracks")


def test_all_docks_are_tabs_of_one_place_and_the_window_does_not_grow(
    make_napari_viewer: Callable[..., Any], plugin: TestPluginManager, qtbot: QtBot, run: Run
) -> None:
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    window.resize(*SIZE)
    kinds = ("preview", "particles", "events")
    show_run(viewer, [x for x in run_layers(run) if x[1]["metadata"][NAMESPACE]["kind"] in kinds])
    docks, panels = zip(*[viewer.window.add_plugin_dock_widget("colloidlab", n) for n in NAMES], strict=True)
    qtbot.waitUntil(lambda: len(window.tabifiedDockWidgets(docks[0])) == len(NAMES) - 1, timeout=5000)
    qtbot.wait(50)
    assert (window.width(), window.height()) == SIZE
    # The newest one is in front, and as wide as what is in it.
    repair = panels[-1]
    assert repair.isVisible() and not repair.visibleRegion().isEmpty()
    assert all(panel.visibleRegion().isEmpty() for panel in panels[:-1])
    for button in repair.buttons.values():
        place = button.mapTo(repair, QPoint(0, 0))
        assert place.x() >= 0 and place.x() + button.width() <= repair.width()
        assert button.height() >= button.minimumSizeHint().height()

    # Whoever puts one of them below keeps it there, and can scroll to everything.
    window.addDockWidget(docks[1].qt_area, docks[1], Qt.Orientation.Vertical)
    docks[0].raise_()
    qtbot.waitUntil(lambda: not panels[1].visibleRegion().isEmpty(), timeout=5000)
    panels[1].hide()
    panels[1].show()
    qtbot.wait(50)
    assert docks[1] not in window.tabifiedDockWidgets(docks[0])
    assert (window.width(), window.height()) == SIZE
    plot, values = panels[1].plot, panels[1].values
    assert values.height() >= values.heightForWidth(values.width()) and plot.geometry().bottom() < values.y()
    for panel, last in ((panels[0], panels[0].job), (panels[1], panels[1].events.view)):
        area = panel.findChild(QScrollArea)
        area.ensureWidgetVisible(last)
        qtbot.wait(50)
        assert last.visibleRegion().boundingRect().width() == last.width()
        assert last.height() >= last.minimumSizeHint().height()
        assert not last.visibleRegion().isEmpty()

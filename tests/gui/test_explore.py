"""The window "Explore", driven by clicks and keys on a run: colours, curves, slider and events answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from napari import Viewer
from napari.components import ViewerModel
from napari.layers import Layer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QLineEdit

from colloidlab.run import Run
from napari_plugin import shown_runs
from napari_plugin.colour_form import COLOUR_MAPS
from napari_plugin.event_list import FILTERS, IN_FRAME, IN_PLOT, OF_SELECTED
from napari_plugin.explore import Explore
from napari_plugin.layers import run_layers
from napari_plugin.run_words import NO_RUN
from napari_plugin.scene import LayerData
from napari_plugin.showing import show_run

LEFT = Qt.MouseButton.LeftButton
RETURN = Qt.Key.Key_Return


@pytest.fixture
def viewer() -> ViewerModel:
    """A viewer without a picture, which is all that most of the window needs."""
    return ViewerModel()


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any]) -> Any:
    opened = make_napari_viewer(show=True)
    opened.window._qt_window.resize(1300, 900)
    return opened


def explore(viewer: Any, qtbot: QtBot, *runs: Run) -> Explore:
    widget = Explore(viewer)
    if isinstance(viewer, Viewer):
        viewer.window.add_dock_widget(widget, name="Explore")
    else:
        qtbot.addWidget(widget)
        widget.resize(400, 900)
        widget.show()
    for run in runs:
        show_run(viewer, layers_of(run))
    qtbot.waitUntil(lambda: widget.note.isVisible() or widget.body.isVisible(), timeout=5000)
    qtbot.waitUntil(lambda: bool(runs) == (widget.shown is not None), timeout=5000)
    return widget


def layers_of(run: Run) -> list[LayerData]:
    """The layers of a run that matter here; each costs a window a part of a second."""
    wanted = {"coloured", "particles", "events", "rollout"}
    layers = [(layer[1]["metadata"]["colloidlab"], layer) for layer in run_layers(run)]
    return [x for about, x in layers if about["kind"] in wanted and about.get("quantity") != "d2min_px2"]


def enter(qtbot: QtBot, line: QLineEdit, text: str) -> None:
    line.selectAll()
    qtbot.keyClicks(line, text)
    qtbot.keyClick(line, RETURN)


def click_picture(
    viewer: Any, qtbot: QtBot, layer: Any, row: int, modifier: Any = Qt.KeyboardModifier.NoModifier
) -> None:
    """Click where a point of a layer is drawn."""
    canvas = viewer.window._qt_viewer.canvas.native
    world = np.array(layer.data_to_world(layer.data[row]))[-2:]
    camera = viewer.scene.camera
    y, x = (world - np.array(camera.center)[-2:]) * camera.zoom + np.array(
        [canvas.height(), canvas.width()]
    ) / 2
    qtbot.mouseMove(canvas, QPoint(round(x), round(y)))
    qtbot.mouseClick(canvas, LEFT, modifier, QPoint(round(x), round(y)))


def at_frame(widget: Explore, frame: float) -> QPoint:
    """Where a frame is in the plot, points from its upper left corner."""
    plot = widget.plot
    x = plot._axes.transData.transform((frame, 0))[0] / plot.device_pixel_ratio
    return QPoint(round(x), plot.height() // 2)


def line_of(widget: Explore) -> float:
    """Frame at which the drawn line stands: the column of the picture that is bright from end to end."""
    image = widget.plot.grab().toImage()
    box = widget.plot._axes.bbox
    rows = np.linspace(image.height() - box.y1 + 4, image.height() - box.y0 - 12, 9).round().astype(int)
    columns = range(int(box.x0) + 3, int(box.x1) - 2)
    light = [min(image.pixelColor(x, int(y)).lightness() for y in rows) for x in columns]
    x = columns[int(np.argmax(light))]
    assert max(light) > 150
    return float(widget.plot._axes.transData.inverted().transform((x + 0.5, 0))[0])


def listed(widget: Explore) -> list[int]:
    """Frames of the events that the table shows, from its top."""
    model = widget.events.view.model()
    assert model is not None
    return [int(model.index(k, 0).data()) for k in range(model.rowCount())]


def test_choosing_a_quantity_its_colours_and_its_range(viewer: Any, qtbot: QtBot, run: Run) -> None:
    widget = explore(viewer, qtbot, run)
    form = widget.colours
    assert form.quantity.currentText() == "temperature (px²/frame²)" and widget.about.text() == "<b>run</b>"
    names = viewer.canvas.overlays.text
    # A part of the name is enough; the name in the picture follows.
    enter(qtbot, form.quantity.line, "p_hop")
    assert form.quantity.currentText() == "p_hop (px²)" == names.text
    layer = viewer.layers["p_hop (px²)"]
    value = layer.features["hop_px2"].to_numpy()
    low, high = np.nanpercentile(value, (1, 99))
    assert float(form.low.text()) == pytest.approx(low, rel=1e-3)
    assert tuple(layer.face_contrast_limits) == pytest.approx((low, high))
    # What is no quantity changes nothing.
    enter(qtbot, form.quantity.line, "nonsense")
    assert form.quantity.currentText() == "p_hop (px²)" == names.text

    enter(qtbot, form.high, "2.5")
    assert layer.face_contrast_limits[1] == 2.5 and layer.face_contrast_limits[0] == pytest.approx(low)
    qtbot.keyClick(form.colours, Qt.Key.Key_Home)
    for _ in range(COLOUR_MAPS.index("plasma")):
        qtbot.keyClick(form.colours, Qt.Key.Key_Down)
    np.testing.assert_allclose(layer.face_color[value > 2.5][0], colormaps["plasma"](1.0), atol=1e-6)
    enter(qtbot, form.low, "3")
    assert "must begin below" in widget.doubt.text() and widget.doubt.isVisible()
    assert layer.face_contrast_limits[1] == 2.5
    enter(qtbot, form.low, "many")
    assert "must be numbers" in widget.doubt.text()
    qtbot.mouseClick(form.reset, LEFT)
    assert not widget.doubt.isVisible() and float(form.high.text()) == pytest.approx(high, rel=1e-3)
    assert tuple(layer.face_contrast_limits) == pytest.approx((low, high))

    qtbot.mouseClick(form.smooth, LEFT, pos=QPoint(8, form.smooth.height() // 2))
    assert names.text.splitlines() == ["p_hop (px²)", "p_hop map (px²)"]
    enter(qtbot, form.quantity.line, "spread of the ensemble")
    assert names.text == "rollout 1 of 2, spread of the ensemble per axis (px)"
    assert not form.smooth.isEnabled() and "The rollout is in frames 24 to 29." in widget.values.text()
    # Another member in place of the first one is coloured in the same way.
    viewer.layers.remove(viewer.layers[names.text])
    for layer in run_layers(run, member=1):
        if layer[1]["metadata"]["colloidlab"]["kind"] == "rollout":
            viewer.add_layer(Layer.create(*layer))
    other = "rollout 2 of 2, spread of the ensemble per axis (px)"
    qtbot.waitUntil(lambda: names.text == other, timeout=2000)
    spread = viewer.layers[other].features["spread_px"]
    assert tuple(viewer.layers[other].face_contrast_limits) == pytest.approx(np.percentile(spread, (1, 99)))
    # A layer that is selected in the list brings its quantity.
    viewer.layers.selection.active = viewer.layers["ψ6"]
    qtbot.waitUntil(lambda: form.quantity.currentText() == "ψ6", timeout=2000)
    assert [c.name for c in widget.plot.curves] == ["median of all particles"]


def test_particles_that_are_clicked_on_are_plotted_and_plot_and_slider_go_together(
    window: Any, qtbot: QtBot, run: Run
) -> None:
    viewer = window
    widget = explore(viewer, qtbot, run)
    viewer.dims.set_current_step(0, 20)
    viewer.reset_view()
    qtbot.wait(50)
    layer = viewer.layers["temperature (px²/frame²)"]
    rows = np.flatnonzero(layer.data[:, 0] == 20)[[30, 77]]
    particles = layer.features["particle"].iloc[rows].tolist()
    click_picture(viewer, qtbot, layer, rows[0])
    assert [curve.particle for curve in widget.plot.curves] == particles[:1]
    click_picture(viewer, qtbot, layer, rows[1], Qt.KeyboardModifier.ShiftModifier)
    assert [curve.particle for curve in widget.plot.curves] == particles
    table = run.read_table("state").set_index(["frame", "particle"])["temperature_px2"]
    for curve in widget.plot.curves:
        np.testing.assert_array_equal(curve.value, table.xs(curve.particle, level="particle"))
    assert f"{particles[0]}: {table.loc[20, particles[0]]:.3g}" in widget.values.text()
    assert set(viewer.layers["selected particles"].features["particle"]) == set(particles)
    click_picture(viewer, qtbot, layer, rows[0], Qt.KeyboardModifier.ShiftModifier)
    assert [curve.particle for curve in widget.plot.curves] == particles[1:]

    # The plot and the slider, both ways; the line is where the slider is.
    assert line_of(widget) == pytest.approx(20, abs=0.3)
    qtbot.mouseClick(widget.plot, LEFT, pos=at_frame(widget, 7))
    assert viewer.dims.current_step[0] == 7 and line_of(widget) == pytest.approx(7, abs=0.3)
    viewer.dims.set_current_step(0, 13)
    assert line_of(widget) == pytest.approx(13, abs=0.3) and "frame 13, 0.26 s" in widget.values.text()
    qtbot.mousePress(widget.plot, LEFT, pos=at_frame(widget, 13))
    qtbot.mouseMove(widget.plot, at_frame(widget, 17))
    qtbot.mouseRelease(widget.plot, LEFT, pos=at_frame(widget, 17))
    assert viewer.dims.current_step[0] == 17

    # What is selected in the layer of the particles counts too; other quantities keep the particles.
    outlines = viewer.layers["particles"]
    viewer.layers.selection.active = outlines
    outlines.selected_data = {int(k) for k in np.flatnonzero(outlines.features["particle"].isin([4, 9]))[:4]}
    assert sorted(c.particle for c in widget.plot.curves if c.particle is not None) == [4, 9]
    enter(qtbot, widget.colours.quantity.line, "p_hop")
    assert sorted(c.particle for c in widget.plot.curves if c.particle is not None) == [4, 9]
    outlines.mode = "select"
    click_picture(viewer, qtbot, layer, rows[0])  # is napari's own selecting now
    outlines.mode = "pan_zoom"
    qtbot.mouseClick(widget.clear, LEFT)
    assert [c.name for c in widget.plot.curves] == ["median of all particles"]
    assert not viewer.layers["selected particles"].visible

    # Hidden, it leaves the viewer alone.
    widget.hide()
    click_picture(viewer, qtbot, layer, rows[0])
    viewer.dims.set_current_step(0, 3)
    assert widget.plot.frame == 17 and len(viewer.mouse_drag_callbacks) == 1
    widget.show()
    assert widget.plot.frame == 3


def test_the_list_of_events_leads_to_frame_and_place(viewer: Any, qtbot: QtBot, run: Run) -> None:
    events = run.read_table("events")
    four = events[[f"particle_{p}" for p in "abcd"]].iloc[0].tolist()
    others = events.assign(frame=[25, 21, 9, 4], x=[30.0, 40.0, 50.0, 60.0], particle_a=[90, 91, four[0], 93])
    run.write_table("events", others)
    widget = explore(viewer, qtbot, run)
    view = widget.events.view
    assert listed(widget) == [4, 9, 21, 25] and widget.events.count.text() == "4 of 4"
    header = view.horizontalHeader()
    assert header is not None
    x_column = 1
    at = QPoint(header.sectionViewportPosition(x_column) + 10, header.height() // 2)
    qtbot.mouseClick(header.viewport(), LEFT, pos=at)
    assert listed(widget) in ([25, 21, 9, 4], [4, 9, 21, 25])
    qtbot.mouseClick(header.viewport(), LEFT, pos=at)
    model = view.model()
    assert model is not None
    x = [float(model.index(k, x_column).data()) for k in range(4)]
    assert x == sorted(x, reverse=x[0] > x[1]) and len(set(x)) == 4

    row = listed(widget).index(21)
    qtbot.mouseClick(view.viewport(), LEFT, pos=view.visualRect(model.index(row, 0)).center())
    assert viewer.dims.current_step[0] == 21 and line_of(widget) == pytest.approx(21, abs=0.3)
    place = others.loc[1, ["y", "x"]].to_numpy(dtype=float) * run.calibration.length_per_px
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], place)
    assert {c.particle for c in widget.plot.curves} == {91, *four[1:]}
    assert viewer.layers["T1 event in frame 21"].visible

    def narrow(which: str) -> list[int]:
        qtbot.keyClick(widget.events.filter, Qt.Key.Key_Home)
        for _ in range(FILTERS.index(which)):
            qtbot.keyClick(widget.events.filter, Qt.Key.Key_Down)
        assert widget.events.filter.currentText() == which
        return sorted(listed(widget))

    assert narrow(IN_FRAME) == [21] and widget.events.count.text() == "1 of 4"
    viewer.dims.set_current_step(0, 9)
    assert listed(widget) == [9]
    widget.select((four[0],))
    assert narrow(OF_SELECTED) == [9]
    widget.select(())
    assert narrow(IN_PLOT) == [4, 9, 21, 25]
    middle = QPointF(at_frame(widget, 22))
    for _ in range(4):
        wheel = QWheelEvent(
            middle,
            QPointF(widget.plot.mapToGlobal(middle.toPoint())),
            QPoint(),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(widget.plot, wheel)
    low, high = widget.plot.span
    assert 9 < low < 21 and high > 25 and sorted(listed(widget)) == [21, 25]
    qtbot.mouseDClick(widget.plot, LEFT, pos=at_frame(widget, 22))
    assert sorted(listed(widget)) == [4, 9, 21, 25]


def test_nothing_is_cut_off_at_the_width_of_a_dock(window: Any, qtbot: QtBot, run: Run) -> None:
    events = run.read_table("events")
    numbers = {f"particle_{p}": 990 + 111 * (k % 2) for k, p in enumerate("abcd")}
    wide = events.assign(**numbers, x=123.4, y=123.4, frame=299, persistence_frames=999)
    # The widest row is not among those in view.
    narrow = [events.assign(**dict.fromkeys(numbers, k), frame=k) for k in range(20)]
    run.write_table("events", pd.concat([*narrow, wide], ignore_index=True))
    widget = explore(window, qtbot, run)
    widget.setFixedWidth(410)  # napari makes it 430 px wide
    qtbot.wait(50)
    # The last column of the events.
    view = widget.events.view
    header, model = view.horizontalHeader(), view.model()
    assert header is not None and model is not None
    headings = [model.headerData(k, Qt.Orientation.Horizontal) for k in range(header.count())]
    assert headings[-1] == "kept" and header.length() <= view.viewport().width()
    view.scrollToBottom()
    for k in range(header.count()):
        assert view.sizeHintForColumn(k) <= header.sectionSize(k), headings[k]
    # The median and its limits: neither is broken, and there is a place to break between them.
    words = widget.values.text()
    assert "</span> <span style='white-space:nowrap'>(10 % to 90 %" in words
    # The label of the vertical axis, of a low plot too.
    enter(qtbot, widget.colours.quantity.line, "mean to the experiment")
    plot = widget.plot
    plot.setFixedHeight(plot.minimumHeight())
    qtbot.wait(50)
    plot.draw()
    box = plot._axes.yaxis.label.get_window_extent()
    inside = plot._figure.bbox
    assert (
        plot._axes.get_ylabel().replace("\n", " ") == "distance of the ensemble's mean to the experiment (px)"
    )
    assert inside.x0 <= box.x0 and inside.y0 <= box.y0 and box.y1 <= inside.y1


def test_it_says_what_to_open_and_follows_the_selected_layers_run(
    viewer: Any, qtbot: QtBot, run: Run, unidentified_run: Run
) -> None:
    widget = explore(viewer, qtbot)
    assert widget.note.text() == NO_RUN and widget.note.isVisible() and not widget.body.isVisible()
    for each in (run, unidentified_run):
        show_run(viewer, layers_of(each))
    first, second = (str(r.path.resolve()) for r in (run, unidentified_run))
    of = {
        path: [x for x in viewer.layers if x.metadata["colloidlab"]["run"] == path]
        for path in (first, second)
    }

    def follow(path: str) -> None:
        viewer.layers.selection.active = of[path][-1]
        qtbot.waitUntil(lambda: widget.shown is not None and widget.shown.path == path, timeout=2000)

    follow(second)
    assert not widget.note.isVisible() and widget.body.isVisible()
    assert widget.about.text().endswith("Not simulated: no rollout.") and widget.about.toolTip() == second
    enter(qtbot, widget.colours.quantity.line, "entropy")
    assert "not identified" in widget.colours.quantity.currentText()
    assert "Entropy is not identified" in widget.doubt.text() and widget.doubt.isVisible()
    # The other run is as it was.
    [name] = [x.name for x in of[first] if x.visible and x.metadata["colloidlab"]["kind"] == "coloured"]
    assert name.endswith("run: temperature (px²/frame²)")
    widget.select((5,))
    follow(first)
    assert (
        widget.colours.quantity.currentText() == "temperature (px²/frame²)" and not widget.doubt.isVisible()
    )
    assert [c.particle for c in widget.plot.curves] == [None]
    follow(second)
    assert [c.particle for c in widget.plot.curves] == [5]
    # After it was computed anew, the run is coloured as it was.
    show_run(viewer, layers_of(unidentified_run))
    qtbot.wait(50)
    shown = [x.name for x in viewer.layers if x.visible and x.metadata["colloidlab"].get("run") == second]
    ends = [name.split(": ")[-1] for name in shown]
    assert "entropy, not identified (k_B)" in ends and "ψ6" not in ends
    viewer.layers.clear()
    qtbot.waitUntil(lambda: widget.note.isVisible(), timeout=2000)


def test_a_step_of_the_slider_does_not_put_the_rollout_together_anew(
    viewer: Any, qtbot: QtBot, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = explore(viewer, qtbot, run)
    box = widget.colours.quantity
    box.setCurrentIndex([box.itemText(k).startswith("rollout: ") for k in range(box.count())].index(True))
    box.activated.emit(box.currentIndex())
    shown = widget.shown
    assert shown is not None and shown.rollout is not None
    made: list[object] = []
    monkeypatch.setattr(shown_runs.pd, "concat", lambda *args, **more: made.append(args))
    frame = int(shown.rollout["frame"].iloc[-1])
    viewer.dims.set_point(0, frame)
    assert not made and widget.values.text().startswith(f"<b>frame {frame}")
    assert "The rollout is in frames" not in widget.values.text()
    viewer.dims.set_point(0, 0)
    assert "The rollout is in frames" in widget.values.text() and not made

"""Damaged recordings in the window: the strip marks what is lost, says why, leads there; Track records the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import tifffile
import zarr
from diffusing_film import DIAMETER_PX, N_PARTICLES, write_film
from napari.components import ViewerModel
from napari.layers import Layer
from npe2._pytest_plugin import TestPluginManager
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor
from video_files import cut, packet_at, zero

from colloidlab.config import Config
from colloidlab.files import sha256
from colloidlab.news import RolloutPart
from colloidlab.run import Run
from napari_plugin.analyse import Analyse
from napari_plugin.frame_health import OUTSIDE, STATES, FrameHealth, health_of
from napari_plugin.frame_strip import COLOURS, FrameStrip, attach_strip
from napari_plugin.layers import run_layers
from napari_plugin.scene import NAMESPACE
from napari_plugin.showing import show_run
from napari_plugin.simulate_panel import SimulatePanel
from napari_plugin.slider import current_frame, frame_axis, slider_ends

N_FRAMES, LOST_PACKETS = 30, (5, 12, 13)
DAMAGED, MISSING = STATES.index("damaged"), STATES.index("missing")
WAIT_MS = 120_000


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A motion JPEG film with lost packets, whose end is cut off."""
    folder = tmp_path_factory.mktemp("film")
    write_film(folder / "film.tif", N_FRAMES)
    path = folder / "film.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25, options={"qmin": "1", "qmax": "1"})
        stack = tifffile.imread(folder / "film.tif")
        stream.height, stream.width, stream.pix_fmt = *stack.shape[1:], "yuvj420p"
        for i, image in enumerate(stack):
            picture = av.VideoFrame.from_ndarray(image, format="gray")
            picture.pts = i
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    for k in LOST_PACKETS:
        zero(path, *packet_at(path, k))
    cut(path, 0.8)
    return path


def drawn(strip: FrameStrip, frame: int) -> str:
    """The state whose colour stands in the place of a frame."""
    pixel = strip.grab().toImage()
    ratio = pixel.width() / strip.width()
    seen = pixel.pixelColor(round(strip.place_of(frame) * ratio), pixel.height() // 2)
    return next((name for name, colour in COLOURS.items() if QColor(colour) == seen), "none")


def test_a_damaged_video_goes_through_the_window(
    plugin: TestPluginManager,
    make_napari_viewer: Callable[..., Any],
    qtbot: QtBot,
    broken: Path,
    tmp_path: Path,
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open(str(broken), plugin="colloidlab")
    strip = attach_strip(viewer)
    assert strip is not None and strip is attach_strip(viewer)
    # The frames are decoded one after the other in the background, and the strip hears of it.
    qtbot.waitUntil(
        lambda: strip.health is not None and "unseen" not in strip.health.counts(), timeout=WAIT_MS
    )
    assert strip.isVisible() and strip.health is not None and not strip.health.tracked
    lost = [k for k in range(N_FRAMES) if strip.health.codes[k] in (DAMAGED, MISSING)]
    assert set(LOST_PACKETS) < set(lost) and N_FRAMES - 1 in lost and 5 < len(lost) < 12
    viewer.dims.set_current_step(0, 2)
    for k in (0, 4, 5, 8, 12, 13, N_FRAMES - 1):
        assert drawn(strip, k) == strip.health.state(k), k
    assert "frame 5: damaged, " in strip.tip(strip.place_of(5)) and "20" in strip.tip(0)

    # A click beside a lost frame jumps there, one in between to where it is.
    place = QPoint(strip.place_of(5) + 2, strip.height() // 2)
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=place)
    assert viewer.dims.current_step[0] == 5 and not viewer.layers[0].data[5].any()
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(strip.place_of(9), 4))
    assert viewer.dims.current_step[0] == 9

    # Track, by clicks.
    window = Analyse(viewer)
    viewer.window.add_dock_widget(window, name="Analyse")
    options = {"diameter_px": DIAMETER_PX, "polarity": "bright", "method": "centroid"}
    window.form.show_options(Config.model_validate({"track": options, "indicators": {"only": "msd"}}))
    qtbot.mouseClick(window.places.from_layer, Qt.MouseButton.LeftButton)
    window.places.set_folder(str(tmp_path / "run"))
    qtbot.mouseClick(window.buttons["Track"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not window.buttons["Cancel"].isEnabled(), timeout=WAIT_MS)
    assert window.message.text().endswith(f"over {N_FRAMES} frames; {len(lost)} of them damaged or missing.")
    frames = Run(tmp_path / "run").read_table("frames")
    assert list(frames.loc[frames["status"].isin(["damaged", "missing"]), "frame"]) == lost
    # What is drawn of the run has no particle in a lost frame, and the strip is that of the run.
    particles = next(l for l in viewer.layers if l.metadata[NAMESPACE]["kind"] == "particles")
    where, counts = np.unique(particles.data[:, 0], return_counts=True)
    assert set(where.astype(int)) == set(range(N_FRAMES)) - set(lost) and counts.max() <= N_PARTICLES
    assert strip.health.tracked and strip.health == health_of(viewer)
    assert strip.health.reasons[5] == frames.set_index("frame")["reason"][5]
    viewer.layers.clear()
    assert not strip.isVisible() and strip.health is None


def test_the_strip_follows_the_active_recording(run: Run, clip: Path, plugin: TestPluginManager) -> None:
    """Without a window: of a run what it recorded, also from any of its layers; of a recording what was seen."""
    frames = run.read_table("frames")
    frames.loc[3, ["status", "reason"]] = "damaged", "a reason"
    run.write_table("frames", frames.iloc[:20])
    run.record["stages"]["track"]["outputs"]["frames.parquet"] = sha256(run.path / "frames.parquet")
    run._write_record()
    viewer = ViewerModel()
    assert health_of(viewer) is None and attach_strip(viewer) is None
    [video] = viewer.open(str(clip), plugin="colloidlab")
    for layer in run_layers(run):
        viewer.add_layer(Layer.create(*layer))
    viewer.layers.selection.active = viewer.layers["particles"]
    found = health_of(viewer)
    assert found is not None and found.tracked
    assert found.tell(3) == "frame 3: damaged, a reason" and found.tell(4) == "frame 4: ok"
    assert found.tell(25) == "frame 25: not part of the run" and "beyond" in found.tell(10_000)
    viewer.layers.selection.active = video
    video.data[30]
    found = health_of(viewer)
    assert found is not None and not found.tracked and len(found) == 120
    assert found.state(30) == "damaged" and "blank" in found.tell(30)


def begin_at(run: Run, first: int) -> Run:
    """The run as if it had been tracked from that frame on."""
    for name in ("frames", "tracks", "features", "indicators", "events", "state", "flow"):
        table = run.read_table(name)
        run.write_table(name, table.assign(frame=table["frame"] + first) if "frame" in table else table)
    frames = zarr.open_group(run.path / "rollout.zarr", mode="a")["frame"]
    frames[:] = np.asarray(frames) + first
    stages = run.record["stages"]
    stages["track"].setdefault("facts", {})["preview_frame"] = first
    stages["simulate"].setdefault("facts", {})["first_frame"] = int(frames[0])
    run._write_record()
    return Run(run.path)


def test_frames_of_a_run_that_begins_later_and_whose_recording_is_lost(
    make_napari_viewer: Callable[..., Any], qtbot: QtBot, run: Run
) -> None:
    """Strip and Simulate count frames, not positions of the slider; beside a run of 3D on the axis of their own."""
    viewer = make_napari_viewer(show=True)
    run = begin_at(run, 100)
    layers = [
        x
        for x in run_layers(run)
        if x[1]["metadata"][NAMESPACE]["kind"] in ("preview", "particles", "rollout")
    ]
    show_run(viewer, layers)
    assert slider_ends(viewer) == (100, 129) and viewer.dims.point[0] == 100
    strip = attach_strip(viewer)
    assert strip is not None and strip.health is not None
    # Of the invented run, frame 10 is damaged and frame 15 missing.
    assert strip.health.counts() == {"ok": 28, "damaged": 1, "missing": 1}
    qtbot.waitUntil(lambda: strip.isVisible() and strip.width() > 100, timeout=WAIT_MS)
    seen = [drawn(strip, 100 + k) for k in (9, 10, 12, 15, 29)]
    assert seen == ["ok", "damaged", "ok", "missing", "ok"]
    assert "frame 110: damaged" in strip.tip(strip.place_of(110))

    starts: list[int] = []
    panel = SimulatePanel(viewer, starts.append)
    viewer.window.add_dock_widget(panel, name="Simulate")
    for axis in (0, 1):
        if axis == 1:
            viewer.add_points(np.array([[0.0, 100, 0, 0], [50.0, 129, 9, 9]]), name="run of 3D")
            viewer.dims.set_point(0, 40)
        assert frame_axis(viewer) == axis
        panel.show_run(run)
        for frame in (110, 127):
            place = QPoint(strip.place_of(frame), strip.height() // 2)
            qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=place)
            assert viewer.dims.point[axis] == frame
        qtbot.mouseClick(panel.from_current, Qt.MouseButton.LeftButton)
        assert starts == [127] * (axis + 1), panel.start.text()
        qtbot.mouseClick(panel.to_first, Qt.MouseButton.LeftButton)
        assert viewer.dims.point[axis] == 124
        panel.begin(run)
        where = np.full((1, 2, 1, 2), 50.0)
        panel.take(RolloutPart(124, 2, 0, np.array([3]), np.array([True]), where))
        qtbot.waitUntil(lambda: panel.live.layer is not None, timeout=WAIT_MS)
        panel.take(RolloutPart(124, 4, 2, np.array([3]), np.array([True]), where))
        qtbot.waitUntil(lambda: len(panel.live.layer.data) == 4, timeout=WAIT_MS)
        assert current_frame(viewer) == viewer.dims.point[axis] == 127, "it goes on with the newest frame"
    assert viewer.dims.point[0] == 40, "no other slider has moved"
    # What is read again stays on the frame.
    show_run(viewer, layers)
    assert viewer.dims.point[1] == 127 and viewer.dims.point[0] == 40


def test_a_run_without_images_has_a_strip_of_its_own(
    make_napari_viewer: Callable[..., Any], qtbot: QtBot, run: Run, tmp_path: Path
) -> None:
    """A run of a table in 3D beside one in the plane: its own frames, along the slider that counts them."""
    solid = Run(shutil.copytree(run.path, tmp_path / "solid"))
    solid.remove("preview.png", "indicators.parquet", "events.parquet", "state.parquet", "rollout.zarr")
    frames = solid.read_table("frames").assign(status="ok", reason="")
    frames.loc[4, ["status", "reason"]] = "damaged", "a reason"
    solid.write_table("frames", frames)
    solid.write_table("tracks", solid.read_table("tracks").assign(z=lambda t: 5.0 * t["particle"]))
    viewer = make_napari_viewer(show=True)
    for layers in (run_layers(run), run_layers(solid)):
        kinds = ("preview", "particles")
        show_run(viewer, [x for x in layers if x[1]["metadata"][NAMESPACE]["kind"] in kinds])
    strip = attach_strip(viewer)
    assert strip is not None
    plane, _, deep = viewer.layers[-3:]
    qtbot.waitUntil(lambda: strip.isVisible() and strip.width() > 100, timeout=WAIT_MS)
    viewer.layers.selection.active = deep
    assert deep.ndim == 4 and "frame 4: damaged, a reason" in strip.tip(strip.place_of(4))
    assert [drawn(strip, k) for k in (3, 4, 10)] == ["ok", "damaged", "ok"]
    viewer.dims.set_point(1, 3)
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(strip.place_of(20), 4))
    assert viewer.dims.point[0] == 20 and viewer.dims.point[1] == 3, "the other slider has not moved"
    sliders = viewer.window._qt_viewer.dims.slider_widgets
    for layer, axis in ((deep, 0), (plane, 1), (deep, 0), (plane, 1)):
        viewer.layers.selection.active = layer
        qtbot.wait(50)
        above = [
            x for x in sliders if x.isVisible() and x.y() < strip.mapTo(x.parentWidget(), QPoint(0, 0)).y()
        ]
        assert max(above, key=lambda x: x.y()) is sliders[axis], "it lies under the slider that it follows"
        assert strip.height() >= 10 and min(x.height() for x in sliders[:2]) >= 16
    assert "frame 10: damaged" in strip.health.tell(10) and "frame 4: ok" in strip.health.tell(4)
    # Without what is known of its frames there is no strip, rather than another run's.
    del deep.metadata[NAMESPACE]["health"]
    viewer.layers.selection.active = deep
    assert strip.health is None and not strip.isVisible()


def test_one_lost_frame_of_many_is_seen() -> None:
    """Narrower than a pixel it takes two; what is worse covers what is not; beyond the recording there is nothing."""
    codes = np.full(100_000, STATES.index("ok"), np.int8)
    codes[70_001], codes[70_002] = DAMAGED, MISSING
    health = FrameHealth("film", False, codes, {70_001: "why"})
    columns = health.in_columns(500, 0, 124_999)
    place = round(70_001 / 124_999 * 499)
    assert list(np.flatnonzero(columns == MISSING)) == [place, place + 1] and DAMAGED not in columns
    last = round(99_999 / 124_999 * 499)
    assert (columns[last + 1 :] == OUTSIDE).all() and OUTSIDE not in columns[: last + 1]
    assert health.worst_near(70_100, 250) == 70_002 and health.worst_near(69_000, 250) == 69_000
    assert health.counts() == {"ok": 99_998, "damaged": 1, "missing": 1} and health.n_spoilt == 2
    few = FrameHealth("film", False, np.array([1, 3, 1], np.int8), {})
    assert list(few.in_columns(9, 0, 2)) == [1, 1, 1, 3, 3, 3, 1, 1, 1]

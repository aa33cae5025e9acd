"""The window "Repair", driven by clicks: tracks are cut, joined and removed, taken back, and saved into the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import contents
from gui.test_explore import click_picture
from napari.components import ViewerModel
from napari.layers import Layer, Points
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from colloidlab.errors import InputError, UsageError
from colloidlab.run import STAGES, Run
from napari_plugin import repair_window
from napari_plugin.corrections import Corrections, show_in_tracks
from napari_plugin.layers import run_layers
from napari_plugin.repair_window import RepairTracks
from napari_plugin.run_words import NO_RUN
from napari_plugin.scene import NAMESPACE, LayerData
from napari_plugin.showing import show_run

SHIFT = Qt.KeyboardModifier.ShiftModifier
WAIT_MS = 180_000
"""Saving imports what tracks, which takes seconds on a quiet core."""
ONE, OTHER = 65, 66
"""Neighbours in the middle of the invented run of 144 particles and 30 frames."""


def layers_of(run: Run) -> list[LayerData]:
    """The layers of a run that matter here; each costs a window a part of a second."""
    return [x for x in run_layers(run) if x[1]["metadata"][NAMESPACE]["kind"] in ("particles", "tracks")]


@pytest.fixture
def particles(run: Run) -> Points:
    data, arguments, _ = next(x for x in layers_of(run) if x[1]["metadata"][NAMESPACE]["kind"] == "particles")
    return Points(data, **arguments)


def tracks_of(layer: Any) -> pd.DataFrame:
    """frame, particle, y, x of a Points or a Tracks layer, sorted."""
    if layer._type_string == "tracks":
        table = pd.DataFrame(layer.data, columns=["particle", "frame", "y", "x"])
    else:
        table = pd.DataFrame(layer.data, columns=["frame", "y", "x"])
        table["particle"] = layer.features["particle"].to_numpy(float)
    return table[["frame", "particle", "y", "x"]].sort_values(["frame", "particle"], ignore_index=True)


def row(layer: Any, particle: int, frame: int) -> int:
    here = (layer.features["particle"] == particle).to_numpy() & (layer.data[:, 0] == frame)
    return int(np.flatnonzero(here)[0])


def frames_of(layer: Any, particle: int) -> list[int]:
    return sorted(layer.data[(layer.features["particle"] == particle).to_numpy(), 0].astype(int))


def test_crossed_tracks_are_repaired_by_clicks_and_saved(
    make_napari_viewer: Callable[..., Any], qtbot: QtBot, run: Run
) -> None:
    """Two particles have changed their names in frame 10: cut both, join them crosswise, remove one position, save."""
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1300, 900)
    widget = RepairTracks(viewer)
    viewer.window.add_dock_widget(widget, name="Repair tracks")
    qtbot.waitUntil(lambda: widget.about.text() == NO_RUN, timeout=WAIT_MS)
    assert not any(b.isEnabled() for b in widget.buttons.values())
    show_run(viewer, layers_of(run))
    qtbot.waitUntil(lambda: widget.corrections is not None, timeout=WAIT_MS)
    layer, lines = viewer.layers["particles"], viewer.layers["tracks"]
    before, files = tracks_of(layer), contents(run.path)
    assert layer.visible and widget.selection.text() == "Nothing is selected."
    assert "indicators, fit and simulation" in widget.cost.text() and "not saved" not in widget.cost.text()

    def press(title: str) -> None:
        assert widget.buttons[title].isEnabled(), title
        qtbot.mouseClick(widget.buttons[title], Qt.MouseButton.LeftButton)

    def pick(particle: int, frame: int, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        viewer.dims.set_point(0, frame)
        viewer.reset_view()
        qtbot.wait(100)
        click_picture(viewer, qtbot, layer, row(layer, particle, frame), modifier)

    press("Split here")
    assert widget.message.text().startswith("Select a particle first")
    pick(ONE, 10)
    assert widget.selection.text() == (
        f"Selected: particle {ONE} (frames 0 to 29). Split here would cut before frame 10."
    )
    rings = viewer.layers["to be repaired"]
    assert set(rings.features["particle"]) == {ONE} and len(rings.data) == 30 and rings.visible
    press("Split here")
    assert widget.message.text() == f"Particle {ONE} is particle 144 from frame 10 on."
    assert set(rings.features["particle"]) == {144} and len(rings.data) == 20
    assert frames_of(layer, ONE) == [*range(10)] and frames_of(layer, 144) == [*range(10, 30)]
    pd.testing.assert_frame_equal(tracks_of(lines), tracks_of(layer))
    press("Undo")
    pd.testing.assert_frame_equal(tracks_of(layer), before)
    assert not widget.buttons["Undo"].isEnabled()

    pick(OTHER, 10, SHIFT)
    press("Join")
    assert f"Particles {ONE} and {OTHER} overlap in frames 0 to 29; split" in widget.message.text()
    press("Split here")
    assert widget.message.text().endswith(f"Particle {OTHER} is particle 145 from frame 10 on.")
    assert "1 change is not saved" in widget.cost.text()
    for first, second in ((ONE, 145), (OTHER, 144)):
        pick(first, 9)
        press("Join")
        assert "Now 1 is selected" in widget.message.text()
        pick(second, 12, SHIFT)
        press("Join")
        assert widget.message.text() == f"Particle {second} is particle {first} now (frames 0 to 29)."
    pick(OTHER, 20)
    press("Delete selected")
    assert widget.message.text() == "Removed 1 position." and "4 changes are not" in widget.cost.text()
    assert len(layer.data) == len(before) - 1 and contents(run.path) == files, "nothing is written yet"

    press("Save repairs")
    qtbot.waitUntil(lambda: not widget.job.busy, timeout=WAIT_MS)
    assert widget.message.text().startswith("Saved: 1 removed, 39 relabelled."), widget.message.text()
    after = Run(run.path)
    [entry] = after.facts("track")["repairs"]
    assert (entry["who"], entry["removed"], entry["relabelled"]) == ("manual repair", 1, 39)
    truth = before.copy()
    late, number = truth["frame"] >= 10, truth["particle"]
    truth["particle"] = number.mask(late & (number == ONE), OTHER).mask(late & (number == OTHER), ONE)
    truth = truth[~((truth["frame"] == 20) & (truth["particle"] == OTHER))]
    written = after.read_table("tracks").astype({"frame": float, "particle": float})
    merged = truth.merge(written, on=["frame", "particle"], suffixes=("", "_written"))
    assert len(merged) == len(written) == len(truth)
    np.testing.assert_allclose(merged[["x", "y"]], merged[["x_written", "y_written"]], atol=1e-4)
    assert not any((run.path / name).exists() for name in (*STAGES["indicators"], "state.parquet"))

    # The viewer shows what the run holds now, and repairing goes on from there.
    kinds = {x.metadata[NAMESPACE]["kind"] for x in viewer.layers}
    assert kinds == {"preview", "particles", "tracks", "displacement"}
    assert viewer.layers["particles"] is not layer and viewer.dims.point[0] == 20
    assert not widget.buttons["Undo"].isEnabled() and widget.cost.text() == ""
    press("Save repairs")
    qtbot.waitUntil(lambda: not widget.job.busy, timeout=WAIT_MS)
    assert "nothing was written" in widget.message.text()
    assert len(Run(run.path).facts("track")["repairs"]) == 1


def test_every_change_is_taken_back_exactly(particles: Points) -> None:
    """In the reverse order; also after positions were deleted and added with the tools of the layer."""
    before, columns = tracks_of(particles), list(particles.features.columns)
    known = particles.features.set_index(["frame", "particle"]).sort_index()
    mine = Corrections(particles)
    particles.selected_data = {row(particles, 7, 3), row(particles, 8, 3)}
    mine.split(12)
    particles.selected_data = {row(particles, 7, 3), row(particles, 145, 20)}
    mine.join()
    assert frames_of(particles, 7) == [*range(30)] and frames_of(particles, 8) == [*range(12)]
    particles.selected_data = {row(particles, 20, 5)}
    assert mine.select_tracks() == "Selected in all frames: particle 20 (frames 0 to 29)."
    assert mine.remove_selected() == "Removed 30 positions." and frames_of(particles, 20) == []
    for _ in range(3):
        mine.undo()
    pd.testing.assert_frame_equal(tracks_of(particles), before)
    assert list(particles.features.columns) == columns
    pd.testing.assert_frame_equal(particles.features.set_index(["frame", "particle"]).sort_index(), known)
    with pytest.raises(UsageError, match="nothing to take back"):
        mine.undo()

    particles.selected_data = {row(particles, 7, 3)}
    mine.split(12)
    particles.selected_data = {row(particles, 144, 15), row(particles, 3, 0)}
    particles.remove_selected()
    particles.add([[15.0, 3.0, 4.0]])
    mine.undo()
    assert frames_of(particles, 7) == [k for k in range(30) if k != 15] and 0 not in frames_of(particles, 3)


def test_what_cannot_be_done_changes_nothing_and_says_why(particles: Points) -> None:
    before = tracks_of(particles)
    mine = Corrections(particles)
    for action in (lambda: mine.split(3), mine.remove_selected, mine.select_tracks):
        with pytest.raises(UsageError, match="select"):
            action()
    particles.selected_data = {row(particles, 7, 3), row(particles, 8, 3)}
    for frame in (0, 30):
        with pytest.raises(InputError, match=f"not on both sides of frame {frame}"):
            mine.split(frame)
    late = set(np.flatnonzero((particles.features["particle"] == 8) & (particles.data[:, 0] < 25)).tolist())
    particles.selected_data = late
    particles.remove_selected()
    before = tracks_of(particles)
    particles.selected_data = {row(particles, 7, 3), row(particles, 8, 28)}
    with pytest.raises(InputError, match=r"particles 7 and 8 overlap in frames 25 to 29; split"):
        mine.join()
    assert not mine.changes
    pd.testing.assert_frame_equal(tracks_of(particles), before)


def test_positions_of_three_dimensions_are_found_and_tracks_follow(run: Run) -> None:
    run.write_table("tracks", run.read_table("tracks").assign(z=lambda t: 5.0 * t["particle"]))
    viewer = ViewerModel()
    for layer in layers_of(run):
        viewer.add_layer(Layer.create(*layer))
    layer, lines = viewer.layers["particles"], viewer.layers["tracks"]
    mine = Corrections(layer)
    k = row(layer, 9, 4)
    assert mine.row_at(layer.data[k] + [0, 1, 1, 1]) == k
    assert (
        mine.row_at(layer.data[k] + [0, 40, 0, 0]) is None
        and mine.row_at(layer.data[k] + [99, 0, 0, 0]) is None
    )
    layer.selected_data = {k}
    mine.split(4)
    assert not (lines.data[:, 0] == 144).any()
    show_in_tracks(lines, layer)
    assert sorted(lines.data[lines.data[:, 0] == 144, 1]) == [*range(4, 30)] and lines.data.shape[1] == 5


def test_a_step_of_the_slider_reads_nothing_from_the_run(
    qtbot: QtBot, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = ViewerModel()
    widget = RepairTracks(viewer)
    qtbot.addWidget(widget)
    widget.show()
    show_run(viewer, layers_of(run))
    qtbot.waitUntil(lambda: widget.corrections is not None, timeout=WAIT_MS)
    layer = viewer.layers["particles"]
    layer.selected_data = {row(layer, ONE, 10)}
    read: list[object] = []
    monkeypatch.setattr(repair_window, "Run", lambda path: read.append(path) or run)
    for frame in (12, 13, 14):
        viewer.dims.set_point(0, frame)
        assert widget.selection.text().endswith(f"Split here would cut before frame {frame}.")
    assert not read
    qtbot.mouseClick(widget.buttons["Split here"], Qt.MouseButton.LeftButton)
    assert read and widget.cost.text().startswith("1 change is not saved. Saving removes")

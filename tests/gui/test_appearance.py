"""A viewer says what its colours mean, for the layers that are visible, and leaves alone what somebody has chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from report_fixture import make_run

from colloidlab.run import Run
from napari_plugin.appearance import follow
from napari_plugin.layers import run_layers
from napari_plugin.showing import show_run

TEMPERATURE = "temperature (px²/frame²)"


def bars(layer: Any) -> list[Any]:
    """The colour bars that a layer shows."""
    return [x for x in layer._overlays.values() if type(x).__name__ == "ColorBarOverlay" and x.visible]


def test_names_and_bars_follow_what_is_visible(run: Run) -> None:
    viewer = ViewerModel()
    follow(viewer)
    for layer in run_layers(run):
        viewer.add_layer(Layer.create(*layer))
    overlays = viewer.canvas.overlays
    assert overlays.text.visible and overlays.text.text == TEMPERATURE
    assert overlays.scale_bar.visible
    viewer.layers["entropy map (k_B)"].visible = True
    assert overlays.text.text.splitlines() == [TEMPERATURE, "entropy map (k_B)"]
    assert viewer.layers["entropy map (k_B)"].colorbar.visible
    assert viewer.layers[TEMPERATURE].face_colorbar.visible
    viewer.layers[TEMPERATURE].visible = False
    assert overlays.text.text == "entropy map (k_B)"
    viewer.layers.clear()
    assert not overlays.text.visible and not overlays.scale_bar.visible


def test_what_is_not_identified_is_called_so_in_the_picture(unidentified_run: Run) -> None:
    viewer = ViewerModel()
    for layer in run_layers(unidentified_run):
        viewer.add_layer(Layer.create(*layer))
    follow(viewer)
    viewer.layers["temperature, not identified (px²/frame²)"].visible = True
    assert "temperature, not identified" in viewer.canvas.overlays.text.text
    viewer.layers["tracks"].color_by = "entropy"
    viewer.layers["tracks"].visible = True
    assert "tracks, entropy, not identified (k_B)" in viewer.canvas.overlays.text.text.splitlines()


def test_all_that_is_coloured_has_a_name_with_its_unit_and_a_bar(run: Run) -> None:
    viewer = ViewerModel()
    show_run(viewer, run_layers(run))
    text = viewer.canvas.overlays.text
    expected = {
        "tracks": f"tracks, {TEMPERATURE}",
        "rollout 1 of 2, tracks": "rollout 1 of 2, tracks, distance to the experiment (px)",
        "displacement": "displacement, 5 frames, drawn 5 times as long (px)",
    }
    for begin, words in expected.items():
        [layer] = [x for x in viewer.layers if x.name == begin or x.name.startswith(f"{begin},")][:1]
        layer.visible = True
        assert words in text.text.splitlines()
        [bar] = bars(layer)
        # Names stand at the top, and may be as long as the canvas is wide.
        assert text.position == "top_left" and bar.position == "bottom_left"
    tracks = viewer.layers["tracks"]
    tracks.color_by = "psi6"
    assert "tracks, ψ6" in text.text.splitlines()
    assert tracks.line_colours.contrast_limits == pytest.approx(tracks.colormaps_dict["psi6"].span)
    np.testing.assert_allclose(
        tracks.line_colours.continuous_colormap.colors, tracks.colormaps_dict["psi6"].colors
    )
    # Colours that only tell one track from another have no legend.
    tracks.color_by = "particle"
    assert not bars(tracks) and not any(line.startswith("tracks") for line in text.text.splitlines())


def test_the_name_of_the_arrows_says_how_long_they_are_drawn(run: Run) -> None:
    viewer = ViewerModel()
    show_run(viewer, run_layers(run))
    [arrows] = [x for x in viewer.layers if x.name.startswith("displacement")]
    usual = np.percentile(arrows.features["displacement_px"], 90)
    assert arrows.length > 1
    assert 0.4 * 13.5 < arrows.length * usual <= 15  # about one particle
    arrows.length = 1
    assert arrows.name == "displacement, 5 frames (px)"
    arrows.length = 20
    assert arrows.name == "displacement, 5 frames, drawn 20 times as long (px)"


def test_following_again_changes_nothing(run: Run) -> None:
    viewer = ViewerModel()
    show_run(viewer, run_layers(run))
    layer = viewer.layers[TEMPERATURE]
    counts = [len(layer.events[name].callbacks) for name in ("visible", "name")]
    counts += [len(viewer.layers.events[name].callbacks) for name in ("inserted", "removed")]
    layer.face_colorbar.visible = False
    for _ in range(3):
        follow(viewer)
    assert not layer.face_colorbar.visible
    again = [len(layer.events[name].callbacks) for name in ("visible", "name")]
    again += [len(viewer.layers.events[name].callbacks) for name in ("inserted", "removed")]
    assert again == counts


def test_layers_of_others_are_left_alone() -> None:
    viewer = ViewerModel()
    viewer.add_points([[0.0, 1.0]])
    overlays = viewer.canvas.overlays
    overlays.scale_bar.visible = True
    overlays.text.text, overlays.text.visible = "mine", True
    follow(viewer)
    viewer.add_image(np.eye(3))
    viewer.layers.clear()
    assert overlays.scale_bar.visible
    assert overlays.text.visible and overlays.text.text == "mine"


def test_what_somebody_chose_stays(run: Run) -> None:
    viewer = ViewerModel()
    overlays = viewer.canvas.overlays
    overlays.scale_bar.visible = True
    show_run(viewer, run_layers(run))
    viewer.layers.clear()
    assert overlays.scale_bar.visible  # it was there before
    show_run(viewer, run_layers(run))
    overlays.scale_bar.visible = False
    overlays.text.position, overlays.text.font_size = "top_right", 20
    viewer.layers["ψ6"].visible = True
    assert not overlays.scale_bar.visible
    assert (overlays.text.position, overlays.text.font_size) == ("top_right", 20)
    assert "ψ6" in overlays.text.text.splitlines()
    overlays.text.visible = False
    viewer.layers["ψ6"].visible = False
    assert not overlays.text.visible
    overlays.text.text = "Figure 1"
    viewer.layers["ψ6"].visible = True
    viewer.layers.clear()
    assert overlays.text.text == "Figure 1"


def test_a_run_of_three_dimensions_is_seen_as_a_whole_and_only_turned_once(run: Run) -> None:
    deep = run.read_table("tracks")
    for name in ("indicators.parquet", "events.parquet", "state.parquet", "rollout.zarr"):
        run.remove(name)
    run.write_table("tracks", deep.assign(z=np.resize(np.linspace(0, 90, 31), len(deep))))
    viewer = ViewerModel()
    show_run(viewer, run_layers(run))
    particles = viewer.layers["particles"]
    frame = int(viewer.dims.point[0])
    assert viewer.dims.ndisplay == 3
    assert len(particles._view_indices) == (deep["frame"] == frame).sum()
    viewer.dims.ndisplay = 2
    show_run(viewer, run_layers(run))
    assert viewer.dims.ndisplay == 2
    flat = ViewerModel()
    plane = run_layers(make_run(run.path.parent / "flat", "track"))
    show_run(flat, plane)
    assert flat.dims.ndisplay == 2
    # The frames of a run in the plane are no depth, whichever comes first.
    for layers in ((plane, run_layers(run)), (run_layers(run), plane)):
        both = ViewerModel()
        for each in layers:
            show_run(both, each)
        assert both.dims.ndisplay == 2

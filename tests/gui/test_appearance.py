"""A viewer says what its colours mean, for the layers that are visible."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer

from colloidlab.run import Run
from napari_plugin.appearance import follow
from napari_plugin.layers import run_layers


def test_names_and_bars_follow_what_is_visible(run: Run) -> None:
    viewer = ViewerModel()
    follow(viewer)
    follow(viewer)
    for layer in run_layers(run):
        viewer.add_layer(Layer.create(*layer))
    overlays = viewer.canvas.overlays
    assert overlays.text.visible and overlays.text.text == "temperature (px²/frame²)"
    assert overlays.scale_bar.visible
    viewer.layers["entropy map (k_B)"].visible = True
    assert overlays.text.text.splitlines() == ["temperature (px²/frame²)", "entropy map (k_B)"]
    assert viewer.layers["entropy map (k_B)"].colorbar.visible
    assert viewer.layers["temperature (px²/frame²)"].face_colorbar.visible
    viewer.layers["temperature (px²/frame²)"].visible = False
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


def test_layers_of_others_are_left_alone() -> None:
    viewer = ViewerModel()
    viewer.add_points([[0.0, 1.0]])
    follow(viewer)
    viewer.add_image(np.eye(3))
    assert not viewer.canvas.overlays.text.visible

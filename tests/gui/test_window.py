"""A real window: colours are where the particles are, follow the values, and say what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from napari.layers import Layer
from pytestqt.qtbot import QtBot
from scipy.ndimage import binary_erosion

from colloidlab.run import Run
from colloidlab.units import Calibration
from napari_plugin.coordinates import place, to_napari
from napari_plugin.layers import run_layers


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    opened = make_napari_viewer(show=True)
    opened.window._qt_window.resize(900, 700)
    return opened


def picture(viewer: Any, qtbot: QtBot) -> np.ndarray:
    """What the canvas shows, shape (height, width, 3)."""
    qtbot.wait(50)
    return np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3].astype(float)


def on_canvas(viewer: Any, layer: Any, data: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows and columns of the picture at which positions of a layer are drawn."""
    world = np.array([layer.data_to_world(point) for point in data])[:, 1:]
    high, wide = shape[:2]
    centre = np.array(viewer.scene.camera.center)[-2:]
    # The picture may have more pixels than the canvas has points.
    zoom = viewer.scene.camera.zoom * wide / viewer.window._qt_viewer.canvas.size[1]
    return np.rint((world - centre) * zoom + np.array([high, wide]) / 2).astype(int)


def show_only(viewer: Any, *names: str) -> None:
    for layer in viewer.layers:
        layer.visible = layer.name in names


@pytest.mark.parametrize("calibration", [Calibration(), Calibration(um_per_px=0.1, fps=40.0)])
def test_a_point_drawn_on_a_bright_corner_pixel_lands_on_it(
    viewer: Any, qtbot: QtBot, calibration: Calibration
) -> None:
    image = np.zeros((2, 9, 12), np.uint8)
    there = place(calibration).arguments()
    corners = pd.DataFrame({"frame": 1, "x": [0.0, 11.0, 0.0, 11.0], "y": [0.0, 0.0, 8.0, 8.0]})
    image[1, corners["y"].astype(int), corners["x"].astype(int)] = 255
    bright = viewer.add_image(image, contrast_limits=(0, 255), colormap="gray", **there)
    points = viewer.add_points(to_napari(corners), size=0.5, face_color="white", border_width=0, **there)
    viewer.dims.set_current_step(0, 1)
    viewer.reset_view(margin=0.2)
    centres = []
    for layer in (bright, points):
        show_only(viewer, layer.name)
        seen = picture(viewer, qtbot).mean(axis=-1) > 128
        rows, columns = np.nonzero(seen)
        low, right = rows > seen.shape[0] / 2, columns > seen.shape[1] / 2
        quarters = [(low == a) & (right == b) for a in (False, True) for b in (False, True)]
        centres.append([(rows[q].mean(), columns[q].mean()) for q in quarters])
    pixel = abs(centres[0][1][1] - centres[0][0][1]) / 11
    assert pixel > 20
    np.testing.assert_allclose(centres[0], centres[1], atol=0.03 * pixel)


@pytest.mark.parametrize("column", ["temperature", "entropy"])
def test_the_overlay_is_not_blank_and_its_colours_follow_the_values(
    viewer: Any, qtbot: QtBot, run: Run, column: str
) -> None:
    for layer in run_layers(run):
        viewer.add_layer(Layer.create(*layer))
    viewer.dims.set_current_step(0, 20)
    viewer.reset_view()
    names = {layer.name: layer for layer in viewer.layers}
    discs = next(l for n, l in names.items() if n.startswith(f"{column} (") and "map" not in n)
    discs.opacity = 1.0
    show_only(viewer)
    empty = picture(viewer, qtbot)
    show_only(viewer, discs.name)
    full = picture(viewer, qtbot)
    now = discs.data[:, 0] == 20
    value = discs.features.loc[now, discs.metadata["colloidlab"]["quantity"]].to_numpy()
    rows, columns = on_canvas(viewer, discs, discs.data[now], full.shape).T
    assert np.abs(full - empty)[rows, columns].max(axis=-1).min() > 20, "every particle is drawn"
    seen, expected = full[rows, columns], 255 * discs.face_color[now, :3]
    assert np.abs(seen - expected).max(axis=-1).mean() < 12
    # Where values differ colours do: the coldest and the hottest tenth have nothing in common.
    order = np.argsort(value)
    tenth = len(value) // 10
    cold, hot = seen[order[:tenth]].mean(axis=0), seen[order[-tenth:]].mean(axis=0)
    assert np.linalg.norm(hot - cold) > 80

    # The same values at other particles give another picture.
    discs.features = discs.features.assign(
        **{discs.metadata["colloidlab"]["quantity"]: -discs.features.iloc[:, 1]}
    )
    discs.refresh_colors()
    assert np.abs(picture(viewer, qtbot) - full).mean() > 1


def test_the_map_is_coloured_inside_and_clear_outside(viewer: Any, qtbot: QtBot, run: Run) -> None:
    state = run.read_table("state")
    run.write_table("state", state.assign(temperature_px2=state["temperature_px2"].where(state["x"] < 120)))
    layers = {k["name"]: (d, k, t) for d, k, t in run_layers(run)}
    field = viewer.add_layer(Layer.create(*layers["temperature map (px²/frame²)"]))
    field.opacity = 1.0
    field.visible = True
    viewer.dims.set_current_step(0, 20)
    viewer.reset_view()
    shown = picture(viewer, qtbot)
    data = field.data[20]
    known = np.isfinite(data)
    assert known.any() and not known.all()
    # Between a known cell and an unknown one the picture is clear.
    deep = binary_erosion(known, np.ones((3, 3)))
    hot, cold = (np.argwhere(deep)[k(data[deep])] for k in (np.argmax, np.argmin))
    at = on_canvas(viewer, field, np.array([[20, *hot], [20, *cold]]), shown.shape)
    assert (
        shown[tuple(at[0])][:2].mean() > shown[tuple(at[1])][:2].mean() + 60
    )  # cividis: from blue to yellow
    outside = np.argwhere(~known)
    corner = on_canvas(viewer, field, np.array([[20, *outside[-1]]]), shown.shape)[0]
    background = shown[2, 2]
    assert np.abs(shown[tuple(corner)] - background).max() < 10

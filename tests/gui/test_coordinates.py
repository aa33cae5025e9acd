"""A position is drawn on the pixel that it names, in every layer, with every scale."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel

from colloidlab.errors import InputError
from colloidlab.units import Calibration
from napari_plugin.coordinates import (
    arrows_to_napari,
    from_napari,
    place,
    to_napari,
    tracks_from_napari,
    tracks_to_napari,
)

HEIGHT, WIDTH = 5, 8
CORNERS = pd.DataFrame(
    {"frame": 1, "x": [0.0, WIDTH - 1, 0.0, WIDTH - 1], "y": [0.0, 0.0, HEIGHT - 1, HEIGHT - 1]}
)
SCALES = [Calibration(), Calibration(um_per_px=0.25, fps=30.0)]


@pytest.mark.parametrize("calibration", SCALES)
@pytest.mark.parametrize("kind", ["points", "tracks", "vectors"])
def test_a_position_lies_on_its_pixel(calibration: Calibration, kind: str) -> None:
    images = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    for k, (x, y) in enumerate(CORNERS[["x", "y"]].to_numpy(int)):
        images[1, y, x] = 10 + k
    viewer = ViewerModel()
    there = place(calibration).arguments()
    image = viewer.add_image(images, **there)
    if kind == "points":
        layer, data = viewer.add_points(to_napari(CORNERS), **there), to_napari(CORNERS)
    elif kind == "tracks":
        data = tracks_to_napari(CORNERS.assign(particle=[4, 5, 6, 7]))
        layer, data = viewer.add_tracks(data, **there), data[:, 1:]
    else:
        data = arrows_to_napari(CORNERS, np.ones((4, 2)))
        layer, data = viewer.add_vectors(data, **there), data[:, 0]
    viewer.dims.set_current_step(0, 1)
    for k, point in enumerate(data):
        world = layer.data_to_world(point)
        assert image.get_value(world, world=True) == 10 + k
        np.testing.assert_allclose(image.world_to_data(world), point, atol=1e-12)
    assert layer.units == image.units
    assert [str(u) for u in image.units] == ["pixel"] + [
        "pixel" if calibration.um_per_px is None else "micrometer"
    ] * 2


def test_the_image_is_as_wide_in_the_world_as_under_the_microscope() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((3, HEIGHT, WIDTH)), **place(Calibration(um_per_px=0.25)).arguments())
    low, high = image.extent.world
    # From the centre of the first pixel to that of the last.
    np.testing.assert_allclose((high - low)[1:], [0.25 * (HEIGHT - 1), 0.25 * (WIDTH - 1)])


def test_cells_of_a_coarse_grid_begin_and_end_with_the_image() -> None:
    cells = place(Calibration(um_per_px=0.5), cell_px=(4.0, 2.5))
    scale, translate = np.array(cells.scale), np.array(cells.translate)
    first_edge = translate - 0.5 * scale
    last_edge = translate + ([1, 2, 2] - np.array([0, 0.5, 0.5])) * scale
    np.testing.assert_allclose(first_edge[1:] / 0.5, [-0.5, -0.5])
    np.testing.assert_allclose(last_edge[1:] / 0.5, [HEIGHT - 0.5, WIDTH - 0.5])


def test_tables_come_back_as_they_went() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"frame": [3, 0, 7], **dict(zip("xyz", rng.normal(size=(3, 3)) * 100))})
    for columns in (["frame", "x", "y"], ["frame", "x", "y", "z"]):
        pd.testing.assert_frame_equal(from_napari(to_napari(table[columns])), table[columns])
    linked = table[["frame", "x", "y"]].assign(particle=[9, 2, 2])
    back = tracks_from_napari(tracks_to_napari(linked))
    pd.testing.assert_frame_equal(back[linked.columns], linked)


def test_order_of_axes_is_t_z_y_x() -> None:
    row = pd.DataFrame({"frame": [1], "x": [2.0], "y": [3.0], "z": [4.0]})
    assert to_napari(row).tolist() == [[1, 4, 3, 2]]
    assert arrows_to_napari(row, np.array([[5.0, 6.0, 7.0]]))[0, 1].tolist() == [0, 7, 6, 5]
    assert place(Calibration(), n_space=3).axis_labels == ("frame", "z", "y", "x")


def test_a_position_set_by_hand_belongs_to_the_nearest_frame() -> None:
    assert from_napari(np.array([[6.9999, 1.0, 2.0]])).loc[0, "frame"] == 7


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="frame, y, x"):
        from_napari(np.zeros((4, 2)))

"""The usable part of the view: what is cut, what is filled, how far its edge is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colloidlab.errors import InputError, UsageError
from colloidlab.video import Region

SHAPE = (60, 80)


def disc_mask(path: Path, radius: float) -> Path:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    Image.fromarray((((x - 40) ** 2 + (y - 30) ** 2 <= radius**2) * 255).astype(np.uint8)).save(path)
    return path


def test_whole_view_changes_nothing() -> None:
    image = np.arange(4800, dtype=np.uint16).reshape(SHAPE)
    part, origin = Region.from_options(None, None, SHAPE).apply(image)
    assert origin == (0, 0)
    np.testing.assert_array_equal(part, image)


def test_rectangle_gives_subimage_and_origin() -> None:
    image = np.arange(4800, dtype=np.uint16).reshape(SHAPE)
    part, origin = Region.from_options((10, 20, 50, 45), None, SHAPE).apply(image)
    assert origin == (10, 20) and part.shape == (25, 40)
    assert part[3, 7] == image[23, 17]


def test_masked_pixels_take_the_median_so_that_no_edge_appears(tmp_path: Path) -> None:
    region = Region.from_options(None, disc_mask(tmp_path / "m.png", 20), SHAPE)
    image = np.random.default_rng(0).normal(100, 3, SHAPE).astype(np.uint8)
    image[:, :10] = 255  # a bright wall outside the mask
    part, _ = region.apply(image)
    assert part.dtype == np.uint8
    assert part[0, 0] == np.median(image[region.usable])
    assert part[30, 40] == image[30, 40] and part.max() < 130


def test_edge_distance_of_a_rectangle_is_exact() -> None:
    region = Region.from_options((10, 20, 50, 45), None, SHAPE)
    x, y = np.array([10.0, 30.0, 49.4, 9.0, 12.25]), np.array([30.0, 21.0, 30.0, 30.0, 40.0])
    np.testing.assert_allclose(region.edge_distance_px(x, y), [0.5, 1.5, 0.1, 0.0, 2.75])
    np.testing.assert_array_equal(region.contains(x, y), [True, True, True, False, True])


def test_edge_distance_of_a_disc(tmp_path: Path) -> None:
    region = Region.from_options(None, disc_mask(tmp_path / "m.png", 25), SHAPE)
    x = np.array([40, 45, 50, 55, 60, 70])
    expected = np.maximum(25 - (x - 40), 0)
    np.testing.assert_allclose(region.edge_distance_px(x, np.full(6, 30.0)), expected, atol=0.8)


def test_mask_and_rectangle_together(tmp_path: Path) -> None:
    region = Region.from_options((40, 0, 80, 60), disc_mask(tmp_path / "m.png", 25), SHAPE)
    assert region.edge_distance_px(np.array([41.0]), np.array([30.0]))[0] == pytest.approx(1.5)
    assert not region.contains(np.array([39.0, 75.0]), np.array([30.0, 30.0])).any()


@pytest.mark.parametrize(
    "roi", [(0, 0, 81, 60), (-1, 0, 10, 10), (20, 5, 20, 9), (30, 5, 20, 9), (0, 0, 80, 61)]
)
def test_rectangle_outside_the_view_is_refused(roi: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="80 x 60"):
        Region.from_options(roi, None, SHAPE)


def test_masks_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((10, 12), np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(InputError, match="12 x 10 px, the video 80 x 60"):
        Region.from_options(None, tmp_path / "small.png", SHAPE)
    with pytest.raises(InputError, match="no pixel above zero"):
        Region.from_options((0, 0, 5, 5), disc_mask(tmp_path / "m.png", 10), SHAPE)
    with pytest.raises(InputError, match="does not exist"):
        Region.from_options(None, tmp_path / "none.png", SHAPE)

"""What the grey levels say: lost blocks, with no false alarm on what is black by nature, and saturation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from video_files import HEIGHT, WIDTH, coded

from colloidlab.video import statistics
from colloidlab.video.zeros import zeroed_block


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("start", [0, 1, 128 * 20, 128 * 20 + 37, HEIGHT * WIDTH - 700])
@pytest.mark.parametrize("upside_down", [False, True])
def test_lost_block_is_found_wherever_it_lies(dtype: type, start: int, upside_down: bool) -> None:
    image, before = coded(4).astype(dtype) * 3 + 1, coded(3).astype(dtype) * 3 + 1
    image.ravel()[start : start + 700] = 0
    if upside_down:
        image, before = image[::-1], before[::-1]
    assert zeroed_block(image, before) == 700


def _black_bar(image: np.ndarray) -> None:
    image[:20] = 0


def _label(image: np.ndarray) -> None:
    image[70:90, 60:120] = 0


def _vignette(image: np.ndarray) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image[np.hypot(x - 64, y - 48) > 55] = 0


def _dark(image: np.ndarray) -> None:
    image[:] = np.maximum(image.astype(int) - 105, 0)


@pytest.mark.parametrize("draw", [_black_bar, _label, _vignette, _dark])
def test_what_is_black_by_nature_is_not_called_lost(draw: Callable[[np.ndarray], None]) -> None:
    pair = [coded(3), coded(4)]
    for image in pair:
        draw(image)
    assert zeroed_block(pair[0]) == 0
    assert zeroed_block(pair[1], pair[0]) == 0


def test_lost_block_is_found_among_few_true_zeros_and_not_among_many() -> None:
    rng = np.random.default_rng(8)
    image = np.tile(coded(4), (8, 8)) + np.uint8(1)
    image.ravel()[200_000:220_000] = 0
    before = np.full_like(image, 9)
    few, many = image.copy(), image.copy()
    few.ravel()[rng.permutation(image.size)[:200]] = 0
    many.ravel()[rng.permutation(image.size)[:20_000]] = 0
    assert zeroed_block(few, before) == pytest.approx(20_000, abs=2)
    assert zeroed_block(many, before) == 0


@pytest.mark.parametrize(
    ("dtype", "top", "saturated"),
    [
        (np.uint8, 255, 0.25),
        (np.uint8, 254, 0.0),
        (np.uint16, 4095, 0.25),
        (np.uint16, 65535, 0.25),
        (np.uint16, 255, 0.0),
        (np.uint16, 5000, 0.0),
    ],
)
def test_saturation_is_counted_where_the_camera_ends(dtype: type, top: int, saturated: float) -> None:
    image = np.arange(400).reshape(20, 20) % 97
    image[:5] = top
    found = statistics(image.astype(dtype))
    assert found.saturated == pytest.approx(saturated)
    assert (found.mean, found.std) == pytest.approx((image.mean(), image.std()))


def test_range_of_floats_is_not_known() -> None:
    assert np.isnan(statistics(np.eye(5, dtype=np.float32)).saturated)

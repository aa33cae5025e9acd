"""Centroids are those of trackpy 0.7: every feature, every column, in every kind of image."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trackpy

from colloidlab.features.bandpass import band_pass
from colloidlab.features.centroid import CENTROID_COLUMNS, MEASURED_COLUMNS, characterise, find_centroids
from colloidlab.synthetic.crowded import SCENES, film
from colloidlab.video import open_video

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    scenes = {
        "crowded": replace(SCENES["a"], size_px=220, n_particles=166),
        "ringed": replace(SCENES["a bright-field"], size_px=220, n_particles=166),
        "dilute": replace(SCENES["b"], size_px=200, n_particles=23),
    }
    return {name: next(film(scene, 1, seed=9))[0] for name, scene in scenes.items()}


def assert_same(
    image: np.ndarray,
    diameter: int,
    *,
    minmass: float = 0.0,
    separation: float | None = None,
    threshold: float | None = None,
    percentile: float = 64,
    relative: float = 1e-12,
) -> None:
    ours = find_centroids(
        image,
        diameter,
        minmass=minmass,
        separation_px=separation or diameter + 1,
        threshold=threshold,
        percentile=percentile,
    )
    theirs = trackpy.locate(
        image,
        diameter,
        minmass=minmass,
        separation=separation,
        threshold=threshold,
        percentile=percentile,
        engine="numba",
    )
    assert len(ours) == len(theirs) > 0
    a, b = ours[CENTROID_COLUMNS], theirs.reset_index(drop=True)[CENTROID_COLUMNS]
    for column in CENTROID_COLUMNS:
        # Sums of squares and cosines are kept in single precision.
        tolerance = max(relative, 1e-6) if column in ("size", "ecc") else relative
        np.testing.assert_allclose(a[column], b[column], rtol=tolerance, atol=1e-7, err_msg=column)


@pytest.mark.parametrize("name", ["crowded", "ringed", "dilute"])
@pytest.mark.parametrize("diameter", [3, 7, 11, 15, 21])
def test_same_as_trackpy_for_any_diameter(images: dict[str, np.ndarray], name: str, diameter: int) -> None:
    assert_same(images[name], diameter)


@pytest.mark.parametrize(
    "options",
    [
        {"separation": 10},
        {"separation": 6.5},
        {"separation": 30},
        {"minmass": 400},
        {"threshold": 5},
        {"percentile": 20},
        {"percentile": 90},
    ],
)
def test_same_as_trackpy_for_any_option(images: dict[str, np.ndarray], options: dict[str, float]) -> None:
    assert_same(images["crowded"], 15, **options)


def test_same_as_trackpy_in_16_bits(images: dict[str, np.ndarray]) -> None:
    # A pixel on the border between two of 65 536 levels may fall to either side.
    assert_same(images["crowded"].astype(np.uint16) * 201, 15, relative=1e-5)


def test_same_as_trackpy_for_floats_between_0_and_1(images: dict[str, np.ndarray]) -> None:
    assert_same(images["crowded"] / 255.0, 15, threshold=1 / 255)


def test_same_as_trackpy_on_inverted_images_and_views(images: dict[str, np.ndarray]) -> None:
    assert_same(255 - images["crowded"], 15)
    assert_same(images["crowded"][10:200, 5:170], 15)


def test_saturated_plateaus_and_flat_areas() -> None:
    """Where whole grey levels tie, rounding would decide; the sums are exact there."""
    image = np.full((120, 140), 20, np.uint8)
    y, x = np.mgrid[:120, :140]
    for cy, cx in ((30, 30), (30, 60), (80, 41), (81, 100)):
        image[np.hypot(y - cy, x - cx) < 6] = 255
    assert_same(image, 13)
    assert_same(image, 9, separation=5)


def test_levels_are_trackpys_band_pass_pixel_for_pixel(images: dict[str, np.ndarray]) -> None:
    from trackpy.preprocessing import bandpass, convert_to_int

    for image in images.values():
        factor, levels = convert_to_int(bandpass(image, 1, 15, 1), np.uint8)
        ours = band_pass(image, 15, 1.0, 1.0)
        assert np.array_equal(ours.image, levels) and ours.factor == factor
        assert np.array_equal(ours.histogram, np.bincount(levels.ravel(), minlength=256))


def test_images_without_particles_give_an_empty_table() -> None:
    rng = np.random.default_rng(0)
    for image in (
        np.zeros((50, 50), np.uint8),
        np.full((50, 50), 7, np.uint16),
        np.ones((8, 8)),
        rng.integers(0, 255, (10, 80)).astype(np.uint8),
    ):
        table = find_centroids(image, 11, minmass=0, separation_px=12)
        assert len(table) == 0 and list(table.columns) == MEASURED_COLUMNS


def test_features_of_known_places_have_trackpys_measures(images: dict[str, np.ndarray]) -> None:
    image = images["dilute"]
    found = find_centroids(image, 9, minmass=200, separation_px=10)
    again = characterise(image, found[["x", "y"]].to_numpy(), 9)
    # The disc rests on the nearest pixel unless the centroid is between 0.5 and 0.6 px from it.
    settled = (np.abs(found[["x", "y"]] % 1 - 0.5) > 0.11).all(axis=1).to_numpy()
    assert settled.sum() >= 5
    pd.testing.assert_frame_equal(again[settled], found[settled])


def test_places_at_the_edge_and_in_tiny_images() -> None:
    image = np.random.default_rng(1).integers(0, 255, (40, 40)).astype(np.uint8)
    positions = np.array([[0.0, 0.0], [39.4, 20.0]])
    table = characterise(image, positions, 9)
    assert np.array_equal(table[["x", "y"]], positions) and np.isfinite(table["mass"]).all()
    tiny = characterise(image[:5, :5], positions[:1], 9)
    assert np.isnan(tiny["mass"]).all() and tiny["x"][0] == 0.0


def test_threads_do_not_disturb_one_another(images: dict[str, np.ndarray]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    image = images["crowded"]
    parts = [image[:, : 150 + 3 * k] for k in range(12)]
    alone = [find_centroids(part, 15, minmass=0, separation_px=16) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: find_centroids(p, 15, minmass=0, separation_px=16), parts))
    for a, b in zip(alone, together, strict=True):
        pd.testing.assert_frame_equal(a, b)


@pytest.mark.parametrize(
    ("path", "diameter", "minmass", "dark"),
    [
        ("quasi2d_crystallites", 9, 300, False),
        ("bulk_water", 11, 150, True),
        ("foam", 21, 1000, False),
        ("brightfield", 21, 2000, False),
        ("colloids/colloids.mp4", 9, 250, True),
    ],
)
def test_same_as_trackpy_on_real_recordings(path: str, diameter: int, minmass: float, dark: bool) -> None:
    folder = Path(os.environ.get("COLLOIDLAB_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not (folder / path).exists():
        pytest.skip(f"{folder / path} is absent")
    with open_video(folder / path) as video:
        image = video.frame(0).image
    assert_same(255 - image if dark else image, diameter, minmass=minmass)


def test_nothing_above_the_threshold_is_no_particle() -> None:
    """Whole image fainter than one grey level after the band-pass."""
    image = np.full((64, 64), 100, np.uint8)
    image[::9, ::7] = 101
    assert len(find_centroids(image, 9, minmass=0, separation_px=10)) == 0
    assert len(trackpy.locate(image, 9, engine="numba")) == 0

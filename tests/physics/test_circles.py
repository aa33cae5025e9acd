"""Circles: rendered discs and rings of two sizes, of which centre, radius and noise are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from colloidlab.features.circle_choice import choose_circles
from colloidlab.features.circles import CircleSearch, find_circles, locate_circles
from colloidlab.features.outlines import Outline

SIZE_PX = 420
SMALL_PX, LARGE_PX = 18.0, 26.0
BLUR_PX = 1.0
NOISE = 4.0


@dataclass(frozen=True)
class Scene:
    image: np.ndarray
    truth: np.ndarray


def packed(rng: np.random.Generator, gap_px: float) -> np.ndarray:
    """Discs of two radii, random places, not nearer than `gap_px`; x, y, radius."""
    placed: list[tuple[float, float, float]] = []
    for radius in np.r_[np.full(16, LARGE_PX), np.full(24, SMALL_PX)]:
        for _ in range(4000):
            x, y = rng.uniform(radius + 6, SIZE_PX - radius - 7, 2)
            if all(np.hypot(x - a, y - b) > radius + r + gap_px for a, b, r in placed):
                placed.append((x, y, radius))
                break
    return np.array(placed)


def scene(seed: int, *, outline: Outline, invert: bool, noise: float = NOISE, gap_px: float = 4.0) -> Scene:
    """Discs with sharp edges, or rings 4 px wide, averaged over pixels, blurred, with white noise."""
    rng = np.random.default_rng(seed)
    truth = packed(rng, gap_px)
    fine = 4
    axis = (np.arange(SIZE_PX * fine) + 0.5) / fine - 0.5
    light = np.zeros((SIZE_PX * fine, SIZE_PX * fine), dtype=np.float32)
    for x, y, r in truth:
        rows = np.abs(axis - y) < r + 4
        columns = np.abs(axis - x) < r + 4
        distance = np.hypot(axis[columns][None, :] - x, axis[rows][:, None] - y)
        shape = distance < r if outline == "edge" else np.abs(distance - r) < 2.0
        light[np.ix_(rows, columns)] += shape
    pixels = light.reshape(SIZE_PX, fine, SIZE_PX, fine).mean(axis=(1, 3))
    smooth = ndimage.gaussian_filter(pixels, BLUR_PX)
    # An uneven background, as of a lamp beside the view.
    slope = np.linspace(0, 30, SIZE_PX)[None, :]
    grey = 90 + slope + (-60 if invert else 60) * smooth + rng.normal(0, noise, smooth.shape)
    return Scene(np.clip(np.round(grey), 0, 255).astype(np.uint8), truth)


def match(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Index of the true disc of every found one; fails unless they match one to one."""
    distance, nearest = cKDTree(truth[:, :2]).query(found[:, :2])
    assert len(found) == len(truth), "recall and precision are one"
    assert distance.max() < 1.0 and len(set(nearest)) == len(truth)
    return np.asarray(nearest)


KINDS = [("edge", False), ("edge", True), ("line", False), ("line", True)]


@pytest.mark.parametrize(("outline", "invert"), KINDS)
def test_every_disc_is_found_once_with_centre_radius_and_error(outline: Outline, invert: bool) -> None:
    search = CircleSearch((14.0, 32.0), outline)
    pulls, radii, errors = [], [], []
    for seed in range(4):
        made = scene(seed, outline=outline, invert=invert)
        fit = find_circles(255 - made.image if invert else made.image, search)
        true = made.truth[match(fit.circles, made.truth)]
        error = fit.circles - true
        errors.append(error)
        pulls.append(error[:, :2] / fit.sigma[:, :2])
        radii.append(error[:, 2])
    away = np.concatenate(errors)
    # Some 40 to 55 crossings, each good to about a tenth of a pixel.
    assert np.sqrt((away[:, :2] ** 2).mean()) < 0.06
    assert np.abs(away[:, :2].mean(axis=0)).max() < 0.02
    assert np.sqrt((away[:, 2] ** 2).mean()) < 0.12
    assert np.std(np.concatenate(pulls)) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("noise", [1.0, 10.0])
def test_errors_follow_the_noise(noise: float) -> None:
    """Ten times the noise is ten times the error or, where the outline's own shape rules, at least more."""
    made = scene(7, outline="edge", invert=False, noise=noise)
    fit = find_circles(made.image, CircleSearch((14.0, 32.0)))
    error = (fit.circles - made.truth[match(fit.circles, made.truth)])[:, :2]
    assert np.std(error / fit.sigma[:, :2]) == pytest.approx(1.0, abs=0.25)


def test_table_has_trackpys_columns_and_those_of_the_fit() -> None:
    made = scene(3, outline="edge", invert=False)
    table = locate_circles(made.image, 53, CircleSearch((14.0, 32.0)))
    match(table[["x", "y"]].to_numpy(), made.truth)
    assert list(table.columns[:2]) == ["x", "y"] and {"mass", "size", "raw_mass", "chi2"} <= set(
        table.columns
    )
    small = table["radius_px"] < 22
    # Twice the area holds twice the light.
    light = table.groupby(small)["raw_mass"].mean()
    assert light[False] > light[True] and (~small).sum() == (made.truth[:, 2] == LARGE_PX).sum()


def test_separation_thins_and_blank_images_are_empty() -> None:
    made = scene(5, outline="edge", invert=False)
    search = CircleSearch((14.0, 32.0))
    far = find_circles(made.image, search, separation_px=90.0)
    assert 0 < len(far.support) < len(made.truth)
    assert cKDTree(far.circles[:, :2]).query(far.circles[:, :2], 2)[0][:, 1].min() >= 90.0
    blank = np.full((80, 100), 7, np.uint8)
    noise = np.random.default_rng(0).normal(100, 5, (200, 200)).astype(np.uint8)
    for image in (blank, noise, blank[:6, :6]):
        assert len(find_circles(image, search).support) == 0


@pytest.mark.parametrize(("outline", "invert"), KINDS)
def test_kind_of_outline_is_chosen(outline: Outline, invert: bool) -> None:
    made = scene(11, outline=outline, invert=invert)
    choice = choose_circles([made.image], (14.0, 32.0), dark=None)
    assert (choice.search.outline, choice.invert) == (outline, invert)
    assert ("dark" in choice.reason) == invert and ("ring" in choice.reason) == (outline == "line")
    # What the user knows is not asked again.
    assert choose_circles([made.image], (14.0, 32.0), dark=not invert).invert != invert

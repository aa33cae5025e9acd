"""The rendered micrograph has the light, the noise and the centres that it was asked for."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import maximum_filter

from colloidlab.synthetic.optics import (
    Optics,
    expected_electrons,
    expose,
    illumination,
    localisation_limit_px,
    render,
    rod_shadow,
)

FLAT = Optics(vignetting=0.0)
BARE = replace(FLAT, shell=0.0, background=0.0)


def one(x: float, y: float, optics: Optics, size: int = 61, radius: float = 7.0) -> np.ndarray:
    return expected_electrons(np.array([[x, y]]), np.array([radius]), (size, size), optics)


def test_a_core_sends_two_pi_s_squared_times_its_peak() -> None:
    s_squared = (BARE.core_width * 7.0) ** 2 + BARE.psf_px**2
    assert one(30.3, 29.6, BARE).sum() == pytest.approx(2 * math.pi * s_squared * BARE.photons, rel=2e-3)
    assert one(30, 30, BARE).max() == pytest.approx(BARE.photons, rel=1e-12)


def test_a_shell_covers_the_particles_area_and_is_flat() -> None:
    shell = one(30, 30, FLAT, radius=9.0) - one(30, 30, replace(FLAT, shell=0.0), radius=9.0)
    # A disc blurred by a circular Gaussian keeps its area; the radial profile adds pi psf^2 to it.
    area = math.pi * (9.0**2 + FLAT.psf_px**2)
    assert shell.sum() == pytest.approx(area * FLAT.shell * FLAT.photons, rel=5e-3)
    assert shell[30, 25:36] == pytest.approx(FLAT.shell * FLAT.photons, rel=1e-12)


@pytest.mark.parametrize("gap", [0.8, 0.9, 1.0, 1.1])
def test_touching_and_pressed_particles_have_one_maximum_each(gap: float) -> None:
    radius, spacing = 8.0, 16.0 * gap
    corner = np.array([40.2, 40.4])
    triangle = corner + spacing * np.array([[0, 0], [1, 0], [0.5, math.sqrt(3) / 2]])
    light = expected_electrons(triangle, np.full(3, radius), (100, 100), replace(FLAT, shell=0.3))
    peaks = np.argwhere((light == maximum_filter(light, 5)) & (light > light.min() * 1.001))
    # Plateaus of a bare shell are equal to their own maximum, but no core is among them.
    strict = [
        p
        for p in peaks
        if light[tuple(p)] > np.median(light[p[0] - 3 : p[0] + 4, p[1] - 3 : p[1] + 4]) * 1.01
    ]
    assert len(strict) == 3
    assert (
        np.hypot(*(np.array(strict)[:, None, ::-1] - triangle[None]).transpose(2, 0, 1)).min(axis=1).max() < 1
    )


@pytest.mark.parametrize("shift", [0.0, 0.13, 0.25, 0.5, 0.77])
def test_the_centroid_has_no_pixel_bias(shift: float) -> None:
    light = one(30 + shift, 30 - shift, BARE)
    y, x = np.mgrid[:61, :61]
    assert (light * x).sum() / light.sum() == pytest.approx(30 + shift, abs=2e-3)
    assert (light * y).sum() / light.sum() == pytest.approx(30 - shift, abs=2e-3)


def test_the_mean_and_the_variance_of_grey_levels_follow_the_photon_transfer_curve() -> None:
    optics = replace(FLAT, bits=16, gain=2.0, offset=100.0, read_noise=3.0)
    rng = np.random.default_rng(4)
    for electrons in (0.0, 20.0, 500.0):
        image = expose(np.full((400, 400), electrons), optics, rng).astype(float)
        n = image.size
        variance = optics.gain**2 * (electrons + optics.read_noise**2) + 1 / 12
        assert image.mean() == pytest.approx(
            optics.offset + optics.gain * electrons, abs=5 * math.sqrt(variance / n)
        )
        assert image.var() == pytest.approx(variance, rel=5 * math.sqrt(2.5 / n))


def test_light_falls_to_the_corners_by_the_stated_fraction() -> None:
    light = illumination((101, 201), 0.3)
    assert light[50, 100] == 1.0
    assert light[[0, 0, -1, -1], [0, -1, 0, -1]] == pytest.approx(0.7)


def test_amplitudes_scale_cores_and_depth_saturates() -> None:
    twice = expected_electrons(
        np.array([[20.0, 20.0]]), np.array([7.0]), (41, 41), BARE, amplitudes=np.array([2.0])
    )
    assert twice == pytest.approx(2 * one(20, 20, BARE, size=41))
    rng = np.random.default_rng(0)
    bright = render(np.array([[20.0, 20.0]]), np.array([7.0]), (41, 41), replace(FLAT, gain=10.0), rng)
    assert bright.dtype == np.uint8 and bright.max() == 255
    deep = render(np.array([[20.0, 20.0]]), np.array([7.0]), (41, 41), replace(FLAT, gain=2.0, bits=12), rng)
    assert deep.dtype == np.uint16 and 1000 < deep.max() < 4096


def test_a_rod_takes_the_light_of_its_own_area() -> None:
    shadow = rod_shadow((60, 50), (140, 50), 20, (101, 201), transmission=0.1)
    area = 80 * 20 + math.pi * 10**2
    # The blurred round ends gain a little area, pi edge^2 together.
    assert (1 - shadow).sum() == pytest.approx(0.9 * (area + math.pi), rel=2e-3)
    assert shadow[50, 100] == pytest.approx(0.1) and shadow[5, 5] == pytest.approx(1.0)
    assert shadow[60, 100] == pytest.approx(0.55), "the blurred edge is half dark where the rod ends"
    lit = expected_electrons(np.array([[100.0, 50.0]]), np.array([7.0]), (101, 201), FLAT)
    dark = expected_electrons(np.array([[100.0, 50.0]]), np.array([7.0]), (101, 201), FLAT, shadow=shadow)
    assert dark == pytest.approx(lit * shadow)


def test_the_limit_without_background_is_width_over_root_photons() -> None:
    ideal = replace(BARE, read_noise=0.0, gain=10.0)
    s = math.hypot(ideal.core_width * 7.0, ideal.psf_px)
    n = 2 * math.pi * s**2 * ideal.photons
    assert localisation_limit_px(7.0, ideal) == pytest.approx(s / math.sqrt(n), rel=5e-3)


def test_a_weighted_fit_of_rendered_particles_reaches_the_limit() -> None:
    """Independent of the formula: one Fisher-scoring step from the truth is an efficient estimator."""
    optics, radius, h = replace(FLAT, bits=12, gain=2.0), 7.0, 0.01
    mean = one(30.3, 29.8, optics)
    slope = (one(30.3 + h, 29.8, optics) - one(30.3 - h, 29.8, optics)) / (2 * h)
    weight = slope / (mean + optics.read_noise**2)
    rng = np.random.default_rng(8)
    errors = [
        (weight * ((expose(mean, optics, rng) - optics.offset) / optics.gain - mean)).sum()
        / (weight * slope).sum()
        for _ in range(400)
    ]
    limit = localisation_limit_px(radius, optics)
    assert np.std(errors) == pytest.approx(limit, rel=4 / math.sqrt(2 * len(errors)))
    assert abs(np.mean(errors)) < 4 * limit / math.sqrt(len(errors))


def test_the_same_generator_gives_the_same_image() -> None:
    args = (np.array([[12.0, 9.0]]), np.array([5.0]), (24, 24), Optics())
    assert np.array_equal(render(*args, np.random.default_rng(3)), render(*args, np.random.default_rng(3)))
    assert not np.array_equal(
        render(*args, np.random.default_rng(3)), render(*args, np.random.default_rng(4))
    )

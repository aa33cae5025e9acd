"""The joint fit reaches the least error that any locator could have, and knows its errors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pytest
from rendered_scenes import expose
from scipy import ndimage
from scipy.spatial import cKDTree

from colloidlab import features
from colloidlab.features.joint_kernels import draw, fill_normal
from colloidlab.features.template import squared_table
from colloidlab.synthetic.crowded import Scene, film
from colloidlab.synthetic.information import joint_bound_px

SCENES = {
    "dome": Scene(384, 500, 16.0, 0.04, "dome", 2400, 400, 0.7, 2.0),
    "ring": Scene(384, 500, 16.0, 0.04, "ring", 1800, 1200, 0.7, 2.0),
    "two sizes": Scene(384, 500, 15.7, 0.02, "dome", 2400, 400, 0.7, 2.0, size_ratio=1.4),
    "dilute": Scene(384, 120, 9.0, 0.04, "dome", 1600, 400, 1.5, 3.0),
}
FRAMES = {"dilute": 6}
"""Few particles a frame; the others have two frames."""
MARGIN_PX, REACH_PX = 25.0, 3.0


@dataclass(frozen=True)
class Run:
    parameters: features.LocateParameters
    images: list[np.ndarray]
    found: list[pd.DataFrame]
    truth: list[pd.DataFrame]
    bound_px: float


@cache
def located(name: str) -> Run:
    """A scene located with nothing taken from the truth."""
    pictures = list(film(SCENES[name], FRAMES.get(name, 2), seed=5))
    images = [image for image, _ in pictures]
    truth = [table for _, table in pictures]
    parameters = features.estimate(images)
    found = [table for _, table in features.locate_frames(enumerate(images), parameters)]
    bound = joint_bound_px(
        SCENES[name],
        truth[0],
        margin_px=MARGIN_PX,
        n_sampled=16 if len(truth[0]) > 200 else 80,
        rng=np.random.default_rng(0),
    )
    return Run(parameters, images, found, truth, bound)


def pairs(found: pd.DataFrame, truth: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Indices of detections and of the true particles that they are, each used once."""
    distance, nearest = cKDTree(truth[["x", "y"]]).query(found[["x", "y"]], distance_upper_bound=REACH_PX)
    order = np.argsort(distance, kind="stable")
    order = order[np.isfinite(distance[order])]
    _, first = np.unique(nearest[order], return_index=True)
    return order[first], nearest[order[first]]


def inner(table: pd.DataFrame, size_px: int, margin_px: float = MARGIN_PX) -> np.ndarray:
    return table[["x", "y"]].apply(lambda c: c.between(margin_px, size_px - 1 - margin_px)).all(axis=1)


def errors(run: Run, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors and stated errors of all particles away from the edge."""
    error, sigma = [], []
    for found, truth in zip(run.found, run.truth, strict=True):
        detection, particle = pairs(found, truth)
        kept = inner(truth, size_px).to_numpy()[particle]
        detection, particle = detection[kept], particle[kept]
        error.append(found[["x", "y"]].to_numpy()[detection] - truth[["x", "y"]].to_numpy()[particle])
        sigma.append(found[["sigma_x_px", "sigma_y_px"]].to_numpy()[detection])
    return np.concatenate(error), np.concatenate(sigma)


@pytest.mark.parametrize("name", SCENES)
def test_every_particle_is_found_and_nothing_else(name: str) -> None:
    run, size = located(name), SCENES[name].size_px
    assert run.parameters.method == "joint"
    for found, truth in zip(run.found, run.truth, strict=True):
        detection, particle = pairs(found, truth)
        lost = inner(truth, size) & ~truth.index.isin(particle)
        false = inner(found, size) & ~found.index.isin(detection)
        assert lost.sum() == 0
        assert false.sum() == 0


@pytest.mark.parametrize("name", SCENES)
def test_errors_are_at_the_cramer_rao_bound(name: str) -> None:
    run = located(name)
    error, _ = errors(run, SCENES[name].size_px)
    length = np.hypot(*error.T)
    best = error[length <= np.quantile(length, 0.99)]
    assert np.median(length) < 1.15 * np.sqrt(2 * np.log(2)) * run.bound_px
    assert np.sqrt(np.mean(best**2)) < 1.2 * run.bound_px
    assert np.sqrt(np.mean(error**2)) < 1.5 * run.bound_px


@pytest.mark.parametrize("name", SCENES)
def test_stated_errors_are_the_errors(name: str) -> None:
    error, sigma = errors(located(name), SCENES[name].size_px)
    assert 0.9 < np.std(error / sigma) < 1.1


def test_chi_square_is_one_where_the_template_is_right() -> None:
    chi2 = pd.concat([t[inner(t, 384)] for t in located("dome").found])["chi2"]
    assert chi2.notna().all()
    assert 0.95 < chi2.median() < 1.05
    assert chi2.quantile(0.95) < 1.4


def test_particles_at_the_edge_are_no_worse_than_they_say() -> None:
    run = located("dome")
    for found, truth in zip(run.found, run.truth, strict=True):
        detection, particle = pairs(found, truth)
        rim = ~inner(truth, 384).to_numpy()[particle]
        error = found[["x", "y"]].to_numpy()[detection[rim]] - truth[["x", "y"]].to_numpy()[particle[rim]]
        sigma = found[["sigma_x_px", "sigma_y_px"]].to_numpy()[detection[rim]]
        assert rim.sum() > 60
        assert np.quantile(np.abs(error / sigma), 0.9) < 2.2


def test_radius_is_that_of_the_particle() -> None:
    """The dye-filled spheres are blurred by a sixth of their radius; both sizes by the same share."""
    run = located("two sizes")
    ratios, radii = [], []
    for found, truth in zip(run.found, run.truth, strict=True):
        detection, particle = pairs(found, truth)
        true = truth["radius_px"].to_numpy()[particle]
        ratios.append(found["radius_px"].to_numpy()[detection] / true)
        radii.append(true)
    ratio, radius = np.concatenate(ratios), np.concatenate(radii)
    small, large = np.median(ratio[radius < 7.8]), np.median(ratio[radius > 7.8])
    assert large / small == pytest.approx(1.0, abs=0.02)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.06)


def test_dark_particles_are_the_same_particles() -> None:
    run = located("dome")
    parameters = run.parameters
    dark = features.locate(
        255 - run.images[0],
        parameters.diameter_px,
        method="joint",
        minmass=parameters.minmass,
        separation_px=parameters.separation_px,
        invert=True,
        template=parameters.template,
    )
    columns = ["x", "y", "radius_px", "sigma_x_px"]
    np.testing.assert_allclose(dark[columns], run.found[0][columns], atol=1e-9)


def test_a_learned_template_makes_frames_independent() -> None:
    run = located("dome")
    threaded = [t for _, t in features.locate_frames(enumerate(run.images), run.parameters, threads=2)]
    for one, two in zip(run.found, threaded, strict=True):
        pd.testing.assert_frame_equal(one, two)


def test_noise_that_is_alike_in_neighbouring_pixels_is_counted() -> None:
    """A camera or codec that smooths: chi-square and single-pixel noise know nothing of it."""
    rng = np.random.default_rng(3)
    scene = SCENES["dome"]
    pictures = list(film(scene, 2, seed=8))
    images = []
    for image, _ in pictures:
        noise = ndimage.gaussian_filter(rng.normal(0, 12.0, image.shape), 1.2)
        images.append(np.clip(np.round(image + noise), 0, 255).astype(np.uint8))
    parameters = features.estimate(images)
    found = [table for _, table in features.locate_frames(enumerate(images), parameters)]
    run = Run(parameters, images, found, [truth for _, truth in pictures], 0.0)
    error, sigma = errors(run, scene.size_px)
    assert parameters.method == "joint"
    assert 0.85 < np.std(error / sigma) < 1.15


def rod_image(rng: np.random.Generator, n: int) -> np.ndarray:
    """Rods of all directions and lengths: no two alike, none round."""
    image = np.full((256, 256), 40.0)
    rows, columns = np.mgrid[:256, :256]
    for x, y, angle, length in zip(
        rng.uniform(15, 241, n),
        rng.uniform(15, 241, n),
        rng.uniform(0, np.pi, n),
        rng.uniform(4, 12, n),
        strict=True,
    ):
        along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        across = -(columns - x) * np.sin(angle) + (rows - y) * np.cos(angle)
        image += 120 * np.exp(-0.5 * (across / 1.5) ** 2 - 0.5 * (along / length) ** 4)
    return image


def test_falls_back_to_centroids_where_no_template_fits() -> None:
    image = expose(rod_image(np.random.default_rng(4), 60), np.random.default_rng(5), read=1.0, gain=0.02)
    table = features.locate(image, 11, method="centroid", minmass=200, separation_px=8)
    choice = features.choose_method([image], [table], 11)
    assert choice.method == "centroid"
    assert choice.template is None
    assert "centroids" in choice.reason
    automatic = features.locate(image, 11, minmass=200, separation_px=8)
    pd.testing.assert_frame_equal(automatic, table)


def test_a_stranger_keeps_its_centroid() -> None:
    run = located("dilute")
    image = run.images[0].copy()
    rows, columns = np.mgrid[-12:13, -12:13]
    square = (np.abs(rows) < 9) & (np.abs(columns) < 3) | (np.abs(columns) < 9) & (np.abs(rows) < 3)
    # In the emptiest place of the view.
    free = [(x, y) for x in range(40, 344, 8) for y in range(40, 344, 8)]
    distance, _ = cKDTree(run.truth[0][["x", "y"]]).query(free)
    x, y = free[int(np.argmax(distance))]
    image[y - 12 : y + 13, x - 12 : x + 13] += (100 * square).astype(np.uint8)
    p = run.parameters
    found = features.locate(
        image,
        p.diameter_px,
        method="joint",
        minmass=p.minmass,
        separation_px=p.separation_px,
        template=p.template,
    )
    near = np.hypot(found["x"] - x, found["y"] - y)
    # The cross is larger than the particles, which may be placed in its arms but must not be believed there.
    assert found.loc[near < 6, "chi2"].isna().all()
    others = found[near > 25]
    before = run.found[0][np.hypot(run.found[0]["x"] - x, run.found[0]["y"] - y) > 25]
    assert len(others) == len(before)
    assert others["chi2"].notna().mean() > 0.98


def test_derivatives_of_the_model_are_its_differences() -> None:
    """J^T w J and J^T w R of one particle against central differences of its image."""
    u = np.linspace(0, 1, 41)
    table, reach = squared_table((1 - u**2) ** 2 * np.cos(2 * u)), 1.7
    particle = np.array([20.3, 18.8, 130.0, 6.1])
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 1.5, (40, 40)).astype(np.float32)
    residual = rng.normal(0, 1, (40, 40)).astype(np.float32)

    def image(step: np.ndarray) -> np.ndarray:
        drawn = np.zeros((40, 40), dtype=np.float32)
        x, y, ln_amplitude, ln_scale = step
        draw(
            drawn,
            particle[0] + x,
            particle[1] + y,
            particle[2] * np.exp(ln_amplitude),
            particle[3] * np.exp(ln_scale),
            table,
            reach,
        )
        return drawn.astype(float)

    h = 0.01
    jacobian = np.array([(image(h * e) - image(-h * e)).ravel() / (2 * h) for e in np.eye(4)])
    normal, gradient = np.empty((4, 4)), np.empty(4)
    fill_normal(residual, weight, particle, table, reach, 1, normal, gradient)
    expected = (jacobian * weight.ravel()) @ jacobian.T
    np.testing.assert_allclose(normal, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())
    np.testing.assert_allclose(
        gradient,
        (jacobian * weight.ravel()) @ residual.ravel(),
        rtol=2e-2,
        atol=2e-3 * np.abs(gradient).max(),
    )


def test_two_particles_in_contact_are_two() -> None:
    """Pairs at all distances from three quarters of a diameter up, found with the template of a dilute scene."""
    run = located("dilute")
    template = run.parameters.template
    assert template is not None
    rng = np.random.default_rng(6)
    radius = template.scale_px
    corners = np.array([(x, y) for x in range(30, 230, 40) for y in range(30, 230, 40)], dtype=float)
    angle = rng.uniform(0, 2 * np.pi, len(corners))
    apart = np.linspace(1.5, 2.2, len(corners)) * radius
    step = 0.5 * apart[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    true = np.concatenate([corners - step, corners + step])
    image = np.full((256, 256), 30.0, dtype=np.float32)
    for x, y in true:
        draw(image, x, y, np.exp(template.population[0, 1]), radius, template.table, template.reach)
    seen = expose(image.astype(float), rng, read=1.2, gain=0.06)
    found = features.locate(seen, run.parameters.diameter_px, method="joint", minmass=100, template=template)
    distance, _ = cKDTree(found[["x", "y"]]).query(true)
    assert len(found) == len(true)
    assert distance.max() < 0.15

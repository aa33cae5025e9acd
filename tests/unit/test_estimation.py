"""Options found without a number given: any size, depth, polarity and light, few particles, clutter, bright gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from colloidlab.errors import InputError
from colloidlab.features import estimate, locate
from colloidlab.features.gaps import least_signal

Points = np.ndarray


def scatter(rng: np.random.Generator, size_px: int, n: int, gap_px: float, edge_px: float) -> Points:
    """Random places, none nearer to another than the gap."""
    places: list[np.ndarray] = []
    while len(places) < n:
        place = rng.uniform(edge_px, size_px - edge_px, 2)
        if all(np.hypot(*(place - other)) > gap_px for other in places):
            places.append(place)
    return np.array(places)


def draw(size_px: int, places: Points, radii: float | np.ndarray, *, blur_px: float = 1.0) -> np.ndarray:
    """Discs of unit brightness with soft edges on black."""
    y, x = np.mgrid[:size_px, :size_px].astype(float)
    light = np.zeros((size_px, size_px))
    for (a, b), r in zip(places, np.broadcast_to(radii, len(places)), strict=True):
        light += 0.5 * (1 - np.tanh((np.hypot(x - a, y - b) - r) / blur_px))
    return light


def film(light: np.ndarray, rng: np.random.Generator, noise: float = 3.0) -> np.ndarray:
    return np.clip(np.round(60 + 100 * light + rng.normal(0, noise, light.shape)), 0, 255).astype(np.uint8)


def assert_found(image: np.ndarray, places: Points, within_px: float = 1.0) -> None:
    """Every particle once and nothing else, with the options that `estimate` finds."""
    p = estimate([image, image], method="centroid")
    table = locate(
        image,
        p.diameter_px,
        method="centroid",
        minmass=p.minmass,
        minsignal=p.minsignal,
        separation_px=p.separation_px,
        invert=p.invert,
    )
    distance, nearest = cKDTree(places).query(table[["x", "y"]].to_numpy())
    assert len(table) == len(places) and len(set(nearest)) == len(places) and distance.max() < within_px


@pytest.fixture(scope="module")
def plain() -> tuple[np.ndarray, Points]:
    rng = np.random.default_rng(1)
    places = scatter(rng, 200, 40, 14.0, 10.0)
    return film(draw(200, places, 4.0), rng), places


@pytest.mark.parametrize("kind", ["8 bit", "16 bit", "fraction", "large float", "dark", "vignetting"])
def test_any_depth_polarity_and_light(plain: tuple[np.ndarray, Points], kind: str) -> None:
    image, places = plain
    y, x = np.mgrid[-1:1:200j, -1:1:200j]
    made = {
        "8 bit": image,
        "16 bit": image.astype(np.uint16) * 200,
        "fraction": image / 255.0,
        "large float": image * 1e4,
        "dark": 255 - image,
        # The corners have a fifth of the light of the middle.
        "vignetting": (image * (1 - 0.4 * (x**2 + y**2))).astype(np.uint8),
    }
    assert_found(made[kind], places)


@pytest.mark.parametrize(
    ("size_px", "n", "radius_px", "gap_px"),
    [(128, 120, 1.0, 7.0), (200, 1, 5.0, 1.0), (200, 3, 5.0, 40.0)],
)
def test_any_size_and_number(size_px: int, n: int, radius_px: float, gap_px: float) -> None:
    rng = np.random.default_rng(2)
    places = scatter(rng, size_px, n, gap_px, 1.3 * radius_px + 4)
    light = draw(size_px, places, radius_px, blur_px=0.5 if radius_px < 2 else 1.0)
    assert_found(film(light, rng), places)


@pytest.mark.parametrize("sizes", ["two", "many"])
def test_particles_of_different_sizes(sizes: str) -> None:
    rng = np.random.default_rng(3)
    places = scatter(rng, 300, 60, 22.0, 12.0)
    radii = np.where(np.arange(60) % 2, 4.0, 8.0) if sizes == "two" else rng.uniform(3.0, 9.0, 60)
    assert_found(film(draw(300, places, radii), rng), places)


def test_faint_clutter_and_noise_are_left_out(plain: tuple[np.ndarray, Points]) -> None:
    rng = np.random.default_rng(4)
    _, places = plain
    light = draw(200, places, 4.0)
    clutter = 0.12 * draw(200, scatter(rng, 200, 80, 8.0, 8.0), 2.0)
    assert_found(film(light + clutter, rng), places)
    assert_found(film(light, rng, noise=20.0), places)


def test_bright_gaps_between_ringed_particles_are_no_particles() -> None:
    """A hexagonal layer in bright field: bright cores, dark rings, and gaps as bright as grey cores."""
    rng = np.random.default_rng(5)
    columns, rows = np.meshgrid(np.arange(10), np.arange(11))
    places = np.column_stack([(columns + 0.5 * (rows % 2)).ravel(), (rows * np.sqrt(0.75)).ravel()]) * 22.0
    places = places + 16.0 + rng.normal(0, 1.0, places.shape)
    y, x = np.mgrid[:222, :242].astype(float)
    image = np.full(x.shape, 115.0)
    for a, b in places:
        r = np.hypot(x - a, y - b)
        image += 85 * np.exp(-0.5 * (r / 2.2) ** 2) - 75 * np.exp(-0.5 * ((r - 7.0) / 2.6) ** 2)
    image = np.clip(np.round(image + rng.normal(0, 2, image.shape)), 0, 255).astype(np.uint8)
    p = estimate([image], diameter_px=13, method="centroid")
    options = {"minmass": p.minmass, "separation_px": p.separation_px, "method": "centroid"}
    inner = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
    full = places[(np.sort(inner, axis=1)[:, 6] < 27)]
    found = locate(image, 13, minsignal=p.minsignal, **options)
    everything = locate(image, 13, **options)
    tree = cKDTree(places)
    assert p.minsignal > 0 and "gaps" in p.reasons["minsignal"]
    assert (tree.query(found[["x", "y"]])[0] < 2).all(), "only particles"
    assert (cKDTree(found[["x", "y"]]).query(full)[0] < 2).all(), "all particles"
    assert (tree.query(everything[["x", "y"]])[0] > 5).sum() > 20, "gaps would be taken"


def population(rng: np.random.Generator, *, signal: float, size: float, mass: float) -> pd.DataFrame:
    """Features of one kind on a square lattice of 10 px."""
    y, x = np.mgrid[:18, :18].reshape(2, -1) * 10.0
    values = {"signal": signal, "size": size, "mass": mass}
    return pd.DataFrame({"x": x, "y": y, **{k: v * rng.normal(1, 0.06, 324) for k, v in values.items()}})


@pytest.mark.parametrize(
    ("size", "mass", "away_px", "is_gap"),
    [
        (3.6, 1700.0, 5.0, True),
        # Small particles are fainter, but not wider.
        (2.2, 600.0, 5.0, False),
        # Large ones are wider, but heavier.
        (3.6, 4000.0, 5.0, False),
        # Particles out of focus are not amid others.
        (3.6, 1700.0, 500.0, False),
    ],
)
def test_only_gaps_are_taken_for_gaps(size: float, mass: float, away_px: float, is_gap: bool) -> None:
    rng = np.random.default_rng(6)
    cores = population(rng, signal=70.0, size=2.6, mass=1700.0)
    others = population(rng, signal=25.0, size=size, mass=mass)
    others[["x", "y"]] += away_px
    least = least_signal([pd.concat([cores, others], ignore_index=True)], 9).minsignal
    assert (35 < least < 55) if is_gap else least == 0


def test_no_valley_is_no_limit() -> None:
    rng = np.random.default_rng(7)
    cores = population(rng, signal=70.0, size=2.6, mass=1700.0)
    assert least_signal([cores], 9).minsignal == 0
    assert least_signal([cores.assign(signal=rng.uniform(20, 80, len(cores)))], 9).minsignal == 0
    assert least_signal([cores[:10]], 9).minsignal == 0


def test_wide_discs_are_pointed_out() -> None:
    """The centroid of a wide, flat disc follows noise (in trackpy, too)."""
    rng = np.random.default_rng(8)
    places = scatter(rng, 600, 6, 150.0, 90.0)
    wide = estimate([film(draw(600, places, 55.0), rng)], method="centroid")
    assert wide.diameter_px > 90 and "--method circles" in wide.reasons["method"]


def test_what_the_user_gives_is_kept_and_said(plain: tuple[np.ndarray, Points]) -> None:
    image, _ = plain
    p = estimate([image], diameter_px=11, minmass=700.0, separation_px=9.0, minsignal=12.0, method="centroid")
    assert (p.diameter_px, p.minmass, p.separation_px, p.minsignal) == (11, 700.0, 9.0, 12.0)
    assert set(p.reasons) >= {"diameter_px", "minmass", "separation_px", "minsignal", "polarity", "method"}


@pytest.mark.parametrize(
    "image",
    [np.zeros((100, 100), np.uint8), np.tile(np.arange(200, dtype=np.uint8), (100, 1)), np.zeros((4, 5))],
)
def test_frames_without_particles_are_refused_in_one_sentence(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="nothing like a particle"):
        estimate([image])


def spots(places: np.ndarray, width: float, shape: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    image = np.full(shape, 30.0)
    for a, b in places:
        rows = slice(max(int(b - 6 * width), 0), int(b + 6 * width) + 1)
        columns = slice(max(int(a - 6 * width), 0), int(a + 6 * width) + 1)
        square = (x[rows, columns] - a) ** 2 + (y[rows, columns] - b) ** 2
        image[rows, columns] += 150 * np.exp(-0.5 * square / width**2)
    noise = np.random.default_rng(1).normal(0, 1, shape)
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def test_neighbours_nearer_than_the_usual_disc_make_it_smaller() -> None:
    """A crystal of spots 4.5 px apart, for which three widths and 5 px would hold a particle and its neighbours."""
    columns, rows = np.meshgrid(np.arange(40), np.arange(46))
    lattice = np.column_stack([(columns + 0.5 * (rows % 2)).ravel(), (rows * np.sqrt(0.75)).ravel()]) * 4.5
    places = lattice + 12 + np.random.default_rng(2).normal(0, 0.1, lattice.shape)
    image = spots(places, 1.1, (206, 210))
    p = estimate([image], method="centroid")
    assert p.diameter_px == 5 and "neighbours" in p.reasons["diameter_px"]
    found = locate(image, p.diameter_px, method="centroid", minmass=p.minmass, separation_px=p.separation_px)
    distance, _ = cKDTree(found[["x", "y"]]).query(places)
    assert (distance < 1).mean() > 0.99 and len(found) < 1.01 * len(places)


def test_scattered_particles_keep_the_separation_of_trackpy() -> None:
    """A gas whose particles stay 26 px apart; what is nearer belongs to one of them."""
    rng = np.random.default_rng(3)
    places: list[np.ndarray] = []
    while len(places) < 60:
        place = rng.uniform(20, 780, 2)
        if all(np.hypot(*(place - other)) > 26 for other in places):
            places.append(place)
    p = estimate([spots(np.array(places), 2.2, (800, 800))] * 2, method="centroid")
    assert p.separation_px == p.diameter_px + 1 and "apart" in p.reasons["separation_px"]

"""g(r): ideal gas to the edge of the view, peer library, and where the first shell ends."""

from __future__ import annotations

import freud
import numpy as np
import pytest
from simulated_tracks import brownian, relaxed, triangular

from colloidlab.indicators import Curve, first_minimum, first_peak, pair_correlation


def _standard_scores(curve: Curve) -> np.ndarray:
    return (curve.y - 1) / ((curve.y_high - curve.y_low) / 2 / 2.0)


@pytest.mark.parametrize("n_dim", [2, 3])
def test_ideal_gas_is_one_in_every_bin_of_an_open_view(n_dim: int) -> None:
    rng = np.random.default_rng(1)
    sides = np.array([40.0, 25.0, 30.0])[:n_dim]
    frames = [rng.uniform(0, 1, (rng.poisson(60), n_dim)) * sides + 100 for _ in range(1500)]
    curve = pair_correlation(frames, r_max=24.9, n_bins=20, region=(np.full(n_dim, 100), 100 + sides))
    # Unbiased up to r nearly the shorter side, where most of each ring lies outside the view.
    assert np.abs(curve.y[2:] - 1).max() < 0.04
    scores = _standard_scores(curve)
    assert abs(scores.mean()) < 1.0 and np.abs(scores).max() < 4.5 and 0.5 < scores.std() < 1.7


@pytest.mark.parametrize("sides", [(30.0, 30.0), (90.0, 12.0), (14.0, 60.0), (20.0, 8.0, 12.0)])
def test_ideal_gas_is_one_in_the_bins_that_reach_the_edge_of_the_view(sides: tuple[float, ...]) -> None:
    rng = np.random.default_rng(6)
    shortest = min(sides)
    frames = [rng.uniform(0, 1, (70, len(sides))) * sides for _ in range(600)]
    curve = pair_correlation(
        frames, r_max=0.999 * shortest, n_bins=10, region=(np.zeros(len(sides)), np.array(sides))
    )
    # The last bins hold pairs on opposite edges: hardly any ring around a particle is all in view.
    assert np.abs(curve.y[-4:] - 1).max() < 0.05
    assert np.abs(_standard_scores(curve)).max() < 4.5


def test_same_as_freud_in_a_periodic_box_in_space() -> None:
    rng = np.random.default_rng(7)
    sides = np.array([9.0, 12.0, 10.0])
    points = rng.uniform(0, 1, (300, 3)) * sides
    curve = pair_correlation([points], r_max=4.4, n_bins=22, box=sides)
    peer = freud.density.RDF(bins=22, r_max=4.4, normalization_mode="finite_size")
    peer.compute((freud.box.Box(*sides), points - sides / 2))
    edges = np.linspace(0, 4.4, 23)
    np.testing.assert_allclose(curve.y, peer.rdf, rtol=2e-5, atol=1e-6)
    assert curve.pairs_per_frame == pytest.approx(
        300 * 299 / 2 * 4 / 3 * np.pi * np.diff(edges**3) / sides.prod()
    )


def test_particles_of_several_sizes_still_give_one_for_an_ideal_gas() -> None:
    rng = np.random.default_rng(2)
    frames = [rng.uniform(0, 30, (80, 2)) for _ in range(600)]
    radii = [rng.choice([0.7, 1.3], 80) for _ in frames]
    curve = pair_correlation(frames, r_max=12, n_bins=12, region=((0, 0), (30, 30)), radii=radii)
    assert np.abs(curve.y[1:] - 1).max() < 0.03


def test_contacts_of_a_mixture_fall_on_one_distance() -> None:
    # Touching pairs of radii (1, 1), (1, 2), (2, 2), far from each other: r = R_i + R_j.
    points = np.array([[0.0, 0], [2, 0], [0, 40], [3, 40], [40, 0], [44, 0]])
    radii = np.array([1.0, 1, 1, 2, 2, 2])
    curve = pair_correlation([points], r_max=6, n_bins=60, region=((-1, -1), (59, 59)), radii=[radii])
    assert np.flatnonzero(curve.y).tolist() == [int(2 * 1.5 / 0.1)]


@pytest.mark.parametrize("sides", [(30.0, 30.0), (24.0, 37.0)])
def test_same_as_freud_in_a_periodic_box(sides: tuple[float, float]) -> None:
    rng = np.random.default_rng(3)
    points = rng.uniform(0, 1, (250, 2)) * sides
    curve = pair_correlation([points], r_max=10, n_bins=25, box=sides)
    box = freud.box.Box(*sides, is2D=True)
    centred = np.column_stack([points - np.array(sides) / 2, np.zeros(250)])
    peer = freud.density.RDF(bins=25, r_max=10, normalization_mode="finite_size").compute((box, centred))
    np.testing.assert_allclose(curve.y, peer.rdf, rtol=2e-5, atol=1e-6)


def test_periodic_lattice_has_its_exact_coordination() -> None:
    box = (12.0, 14 * np.sqrt(3) / 2)
    points = triangular(12, 14)
    curve = pair_correlation([points], r_max=2.53, n_bins=125, box=box)
    ring = np.pi * np.diff(np.linspace(0, 2.53, 126) ** 2)
    neighbours = curve.y * ring * (len(points) - 1) / np.prod(box)
    shells = {round(float(x), 2): n for x, n in zip(curve.x, neighbours) if n > 0}
    assert list(shells.values()) == pytest.approx([6, 6, 6], rel=1e-9)
    assert first_peak(curve) == pytest.approx(1.0, abs=0.02)
    assert first_minimum(curve) == pytest.approx((1 + np.sqrt(3)) / 2, abs=0.1)


def test_shells_of_a_dense_fluid_seen_in_an_open_view() -> None:
    rng = np.random.default_rng(4)
    frames = [relaxed(rng, 300, 20.0, 1.25, sweeps=60) for _ in range(12)]
    whole = pair_correlation(frames, r_max=6, n_bins=150, box=(20, 20))
    views = [f[(f < 15).all(axis=1)] for f in frames]
    part = pair_correlation(views, r_max=6, n_bins=150, region=((0, 0), (15, 15)))
    peak, trough = first_peak(whole), first_minimum(whole)
    assert peak is not None and trough is not None
    assert 1.0 < peak < 1.35 and 1.4 * peak < trough + 0.1 < 1.7 * peak + 0.1
    assert first_peak(part) == pytest.approx(peak, abs=0.05)
    assert first_minimum(part) == pytest.approx(trough, abs=0.15)
    # What the open view sees is the same g(r).
    assert np.sqrt(np.mean((part.y - whole.y)[20:] ** 2)) < 0.1


@pytest.mark.parametrize("seed", range(8))
def test_gas_without_structure_has_no_shell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_frames = int(rng.choice([1, 3, 30]))
    frames = [rng.uniform(0, 100, (int(rng.choice([5, 100, 400])), 2)) for _ in range(n_frames)]
    curve = pair_correlation(frames, r_max=40, n_bins=int(rng.choice([20, 100])), region=((0, 0), (100, 100)))
    assert first_minimum(curve) is None


@pytest.mark.parametrize("d", [0.0, 0.001, 0.1, 3.0])
def test_gas_that_keeps_its_neighbours_for_many_frames_has_no_shell_either(d: float) -> None:
    # Frames are nearly copies: the same chance pairs are counted again and again.
    for seed in range(6):
        moving = brownian(np.random.default_rng(seed), 60, 400, d=d, side=300.0) % 300
        curve = pair_correlation(list(moving), r_max=90, n_bins=120, box=(300, 300))
        assert first_peak(curve) is None or first_minimum(curve) is None


def test_a_hard_core_alone_is_not_a_shell() -> None:
    x = np.linspace(0.05, 9.95, 100)
    noise = np.random.default_rng(0).normal(0, 0.01, 100)
    step = np.where(x > 2, 1.0, 0.0) + np.where(x > 2, noise, 0)
    curve = Curve(x, step, step - 0.02, step + 0.02, "px", "1")
    assert first_minimum(curve) is None
    shell = step + np.exp(-((x - 2.5) ** 2) / 0.1) - 0.3 * np.exp(-((x - 4) ** 2) / 0.5)
    curve = Curve(x, shell, shell - 0.02, shell + 0.02, "px", "1")
    assert first_peak(curve) == pytest.approx(2.5, abs=0.1)
    assert first_minimum(curve) == pytest.approx(4.0, abs=0.2)

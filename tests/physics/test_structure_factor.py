"""S(q): sums by hand, freud, lattices, and what an open view must give."""

from __future__ import annotations

from itertools import product

import freud
import numpy as np
import pytest
from simulated_tracks import relaxed, triangular

from colloidlab.errors import InputError
from colloidlab.indicators.structure_factor import lowest_wave_number, structure_factor


@pytest.mark.parametrize("sides", [(20.0, 15.0), (7.0, 8.5, 6.0)])
def test_same_as_sums_by_hand_over_every_wave_vector(sides: tuple[float, ...]) -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 1, (60, len(sides))) * sides
    q_max, n_bins = 5.0, 25
    orders = np.array(list(product(range(-16, 17), repeat=len(sides))))
    q = 2 * np.pi * orders / sides
    length = np.linalg.norm(q, axis=1)
    used = (length > 0) & (length < q_max)
    power = np.abs(np.exp(-1j * q[used] @ points.T).sum(axis=1)) ** 2 / 60
    place = (length[used] / q_max * n_bins).astype(int)
    number = np.bincount(place, minlength=n_bins)
    curve = structure_factor([points], q_max=q_max, n_bins=n_bins, box=sides)
    found = number > 0
    np.testing.assert_allclose(curve.y, np.bincount(place, power, n_bins)[found] / number[found], rtol=1e-6)
    np.testing.assert_allclose(curve.x, np.bincount(place, length[used], n_bins)[found] / number[found])
    assert np.isnan(curve.y_low).all() and (curve.x_unit, curve.y_unit) == ("px^-1", "1")


@pytest.mark.parametrize("n_dim", [2, 3])
def test_same_as_freud_in_a_periodic_box(n_dim: int) -> None:
    # freud takes one octant of the wave vectors, so positions and their mirror images; and it
    # knows boxes in space alone: a thin one has no wave vectors across below q_max.
    rng = np.random.default_rng(2)
    sides = np.array([8.0, 9.3, 7.1 if n_dim == 3 else 0.5])
    points = rng.uniform(0, 1, (25, 3)) * sides
    if n_dim == 2:
        points[:, 2] = 0
    signs = np.array(list(product((1, -1), repeat=n_dim)))
    signs = np.column_stack([signs, np.ones((len(signs), 3 - n_dim))])
    points = (signs[:, None] * points).reshape(-1, 3)
    q_max, n_bins = 3.0, 1500  # so fine that a bin holds one wave vector and its images
    peer = freud.diffraction.StaticStructureFactorDirect(bins=n_bins, k_max=q_max)
    peer.compute((freud.box.Box(*sides), points - sides * np.round(points / sides)))
    curve = structure_factor([points[:, :n_dim]], q_max=q_max, n_bins=n_bins, box=sides[:n_dim])
    place = (curve.x / q_max * n_bins).astype(int)
    assert curve.x.size > 15
    np.testing.assert_allclose(curve.y, peer.S_k[place], rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("sides", [(40.0, 25.0), (90.0, 18.0), (12.0, 9.0, 10.0)])
def test_ideal_gas_is_one_in_every_bin_of_an_open_view(sides: tuple[float, ...]) -> None:
    rng = np.random.default_rng(3)
    lower = np.full(len(sides), 100.0)
    frames = [lower + rng.uniform(0, 1, (rng.poisson(60), len(sides))) * sides for _ in range(600)]
    region = (lower, lower + sides)
    curve = structure_factor(frames, q_max=4.0, n_bins=16, region=region)
    assert curve.x[0] >= lowest_wave_number(region=region) - 1e-9
    scores = (curve.y - 1) / ((curve.y_high - curve.y_low) / 4)
    assert np.abs(curve.y - 1).max() < 0.05 and np.abs(scores).max() < 4.5 and abs(scores.mean()) < 1


def test_bragg_peaks_of_a_lattice() -> None:
    points = triangular(24, 28)
    curve = structure_factor([points], q_max=14, n_bins=1400, box=(24, 28 * np.sqrt(3) / 2))
    # All power is in the six vectors of each star, and each has S = N.
    lines = np.flatnonzero(curve.y > 1)
    np.testing.assert_allclose(curve.x[lines], 4 * np.pi / np.sqrt(3) * np.array([1, np.sqrt(3)]), atol=0.01)
    assert np.delete(curve.y, lines).max() < 1e-6
    open_view = structure_factor(
        [points], q_max=14, n_bins=140, region=((-0.25, -0.43), (23.75, 27.57 * np.sqrt(3) / 2))
    )
    strongest = open_view.x[np.argmax(open_view.y)]
    assert strongest == pytest.approx(4 * np.pi / np.sqrt(3), abs=0.1)
    # The taper keeps the peaks from leaking into small wave numbers, where a crystal scatters nothing.
    assert open_view.y[open_view.x < 3].max() < 1e-3


def test_open_view_of_a_dense_fluid_shows_the_same_structure() -> None:
    rng = np.random.default_rng(4)
    frames = [relaxed(rng, 200, 14.1, 1.1, sweeps=50) for _ in range(16)]
    whole = structure_factor(frames, q_max=12, n_bins=40, box=(14.1, 14.1))
    views = [f[(f < 11.5).all(axis=1)] for f in frames]
    part = structure_factor(views, q_max=12, n_bins=40, region=((0, 0), (11.5, 11.5)))
    truth = np.interp(part.x, whole.x, whole.y)
    low = part.x < 4
    # A few hundredths of the gas, down to the lowest wave number: the view's own scattering is gone.
    assert truth[low].max() < 0.05 and part.x[0] < 1.2
    np.testing.assert_allclose(part.y[low], truth[low], atol=0.015)
    assert part.x[np.argmax(part.y)] == pytest.approx(whole.x[np.argmax(whole.y)], abs=0.3)
    assert np.abs(part.y[part.x > 9] / truth[part.x > 9] - 1).max() < 0.25


def test_what_cannot_be_computed_is_refused() -> None:
    points = np.zeros((0, 2))
    with pytest.raises(InputError, match="no frame holds a particle"):
        structure_factor([points], q_max=3, n_bins=5, box=(10, 10))
    with pytest.raises(InputError, match="below the smallest wave number"):
        structure_factor([points], q_max=0.5, n_bins=5, region=((0, 0), (10, 10)))
    with pytest.raises(InputError, match="either the rectangle"):
        structure_factor([points], q_max=3, n_bins=5)

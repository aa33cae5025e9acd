"""Two-body excess entropy: ideal gas, dilute hard discs, lattices, PyMatterSim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matter_sim import snapshots
from PyMatterSim.static.pairentropy import S2
from simulated_tracks import relaxed, table, triangular

from colloidlab.errors import InputError
from colloidlab.indicators.pair_entropy import excess_entropy, pair_entropy_table, particle_entropy


@pytest.mark.parametrize("sides", [(17.0, 11.0), (7.0, 8.0, 9.0)])
@pytest.mark.parametrize("periodic", [True, False])
def test_ideal_gas_has_none(sides: tuple[float, ...], periodic: bool) -> None:
    rng = np.random.default_rng(1)
    place = {"box": sides} if periodic else {"region": (np.zeros(len(sides)), sides)}
    found = []
    for _ in range(12):
        frames = [rng.uniform(0, 1, (200, len(sides))) * sides for _ in range(5)]
        found.append(excess_entropy(frames, r_max=3.4, n_bins=60, **place).y[-1])
    # Chance alone would give −60 bins/(2 · 200 · 5) = −0.03.
    assert abs(np.mean(found)) < 0.008


def test_hole_of_dilute_hard_discs() -> None:
    rng = np.random.default_rng(2)
    side, n = 30.0, 36

    def discs() -> np.ndarray:
        points = np.zeros((0, 2))
        while len(points) < n:
            new = rng.uniform(0, side, 2)
            apart = points - new
            apart -= side * np.round(apart / side)
            if (np.hypot(*apart.T) >= 1).all():
                points = np.vstack([points, new])
        return points

    curve = excess_entropy([discs() for _ in range(300)], r_max=4, n_bins=80, region=((0, 0), (side, side)))
    # g = 0 within the diameter and 1 outside, to first order in the density: s2 = −ρ π σ²/2.
    truth = -np.pi / 2 * n / side**2
    assert curve.y[-1] == pytest.approx(truth, rel=0.06)
    assert curve.y_low[-1] < truth < curve.y_high[-1]
    assert curve.y[19] == pytest.approx(truth, rel=0.02) and curve.x[19] == pytest.approx(1.0)
    assert (curve.x_unit, curve.y_unit) == ("px", "1")


def test_order_lowers_it() -> None:
    rng = np.random.default_rng(3)
    lattice, box = triangular(20, 24), np.array([20, 12 * np.sqrt(3)])
    options = {"r_max": 2.5, "smoothing": 0.12, "box": box}
    perfect = particle_entropy(lattice, **options)
    np.testing.assert_allclose(perfect, perfect[0], rtol=1e-9)
    shaken = [
        particle_entropy(lattice + rng.normal(0, s, lattice.shape), **options).mean() for s in (0.05, 0.1)
    ]
    fluid = particle_entropy(
        relaxed(rng, 480, 20.4, 1.05, sweeps=60), **(options | {"box": (20.4, 20.4)})
    ).mean()
    gas = particle_entropy(rng.uniform(0, 1, lattice.shape) * box, **options).mean()
    assert perfect[0] < -3.9 and perfect[0] < shaken[0] < shaken[1] < gas < -1 and shaken[0] < fluid < gas
    crystal = excess_entropy([lattice] * 3, r_max=8, n_bins=160, box=box).y
    assert crystal[-1] < crystal[80] < -5  # falls without bound


@pytest.mark.parametrize("n_dim", [2, 3])
def test_same_as_pymattersim(n_dim: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(*[np.arange(6.0)] * n_dim), axis=-1).reshape(-1, n_dim)
    points = grid + rng.uniform(-0.01, 0.01, grid.shape)
    sides = np.full(n_dim, 6.0)
    # Between the shells at √2 (√3 in space) and 2 no neighbour is near the upper limit.
    r_max, width = 1.7 if n_dim == 2 else 1.87, 0.02
    # It writes files where it runs, and integrates with a function that numpy has renamed.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)
    n_points = 4 * round(r_max / width)
    peer = S2(
        snapshots(points[None], sides),
        sigmas=np.array([[width]]),
        ppp=np.ones(n_dim, dtype=int),
        rdelta=r_max / n_points,
        ndelta=n_points,
    )
    with np.errstate(all="ignore"):
        # Its entropy is NaN wherever g underflows to zero; its g(r) is what can be compared.
        _, g = peer.particle_s2(savegr=True)
    r = (np.arange(n_points) + 0.5) * r_max / n_points
    log = np.log(g[0], out=np.zeros_like(g[0]), where=g[0] > 0)
    density = len(points) / sides.prod()
    factor = density * np.pi * (n_dim - 1) * r_max / n_points
    expected = -factor * ((g[0] * log - g[0] + 1) * r ** (n_dim - 1)).sum(axis=1)
    mine = particle_entropy(points, r_max=r_max, smoothing=width, box=sides)
    np.testing.assert_allclose(mine, expected, rtol=1e-5)


def test_edge_of_the_view_is_unknown_and_the_rest_as_in_the_whole() -> None:
    rng = np.random.default_rng(5)
    points = rng.uniform(0, 30, (700, 2))
    whole = particle_entropy(points, r_max=2.5, smoothing=0.2, box=(30, 30))
    seen = particle_entropy(points, r_max=2.5, smoothing=0.2, region=((5, 5), (25, 25)), density=700 / 900)
    room = np.minimum(points - 5, 25 - points).min(axis=1)
    assert (np.isfinite(seen) == (room >= 2.5)).all()
    deep = room >= 2.5 + 6 * 0.2
    np.testing.assert_allclose(seen[deep], whole[deep], rtol=1e-12)
    found = pair_entropy_table(
        table(np.stack([points, points])), r_max_px=2.5, smoothing_px=0.2, region=((0, 0), (30, 30))
    )
    assert list(found.columns) == ["frame", "particle", "pair_entropy"] and len(found) == 1400
    inner = np.isfinite(found.pair_entropy[:700].to_numpy())
    far = inner & (np.minimum(points, 30 - points).min(axis=1) > 3.7)
    np.testing.assert_allclose(found.pair_entropy[:700][far], whole[far], rtol=1e-12)
    with pytest.raises(InputError, match="positive lengths"):
        particle_entropy(points, r_max=2.5, smoothing=0, box=(30, 30))

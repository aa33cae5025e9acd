"""Local density: freud in a box, the exact part of a disc in the view, no bias at the edge."""

from __future__ import annotations

import freud
import numpy as np
import pandas as pd
import pytest
from simulated_tracks import table, triangular

from colloidlab.errors import InputError
from colloidlab.indicators.disc_area import disc_in_rectangle
from colloidlab.indicators.local_density import local_density, local_density_table
from colloidlab.tables import COLUMNS as TABLE


@pytest.mark.parametrize("n_dim", [2, 3])
def test_same_as_freud_in_a_periodic_box(n_dim: int) -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 12, (300, n_dim))
    box = freud.box.Box(12, 12, 12 if n_dim == 3 else 0, is2D=n_dim == 2)
    centred = np.zeros((300, 3))
    centred[:, :n_dim] = points - 6
    for edge in (0.0, 0.5):
        mine = local_density(points, radius=2.0, box=(12,) * n_dim, edge=edge, count_self=False)
        peer = freud.density.LocalDensity(r_max=2.0, diameter=max(edge, 1e-6)).compute((box, centred))
        # freud divides by the disc of radius R; the integral of the soft rim is larger by this.
        soft = 1 + edge**2 / 48 if n_dim == 2 else 1 + edge**2 / 16
        np.testing.assert_allclose(mine * soft, peer.density, rtol=1e-5)


@pytest.mark.parametrize("n_dim", [2, 3])
def test_part_of_a_disc_inside_a_rectangle(n_dim: int) -> None:
    rng = np.random.default_rng(2)
    lower, sides = np.array([1.0, 2.0, -1.0])[:n_dim], np.array([5.0, 1.5, 3.0])[:n_dim]
    centres = lower + rng.uniform(-0.3, 1.3, (40, n_dim)) * sides
    radius = rng.uniform(0.1, 5, 40)
    sample = lower + rng.uniform(0, 1, (100_000, n_dim)) * sides
    apart = np.linalg.norm(sample[None] - centres[:, None], axis=2)
    share = np.mean(apart < radius[:, None], axis=1)
    found = disc_in_rectangle(centres, radius, lower, sides) / np.prod(sides)
    assert np.abs(found - share).max() < 4.5 * 0.5 / np.sqrt(100_000)
    middle = lower + sides / 2
    whole = disc_in_rectangle(middle[None], 0.7, lower, sides)
    assert whole == pytest.approx(np.pi * 0.49 if n_dim == 2 else 4 / 3 * np.pi * 0.343, rel=1e-12)
    corner = disc_in_rectangle(lower[None], 0.7, lower, sides)
    assert corner == pytest.approx(whole / 2**n_dim, rel=1e-6)


@pytest.mark.parametrize("sides", [(20.0, 12.0), (9.0, 8.0, 7.0)])
def test_uniform_gas_has_its_density_up_to_the_edge(sides: tuple[float, ...]) -> None:
    rng = np.random.default_rng(3)
    places, values = [], []
    for _ in range(150):
        points = rng.uniform(0, 1, (150, len(sides))) * sides
        places.append(points)
        values.append(
            local_density(
                points, radius=3.0, region=(np.zeros(len(sides)), sides), edge=0.5, count_self=False
            )
        )
    distance = np.minimum(np.concatenate(places), sides - np.concatenate(places)).min(axis=1)
    truth = 149 / np.prod(sides)
    for low in (0.0, 0.5, 1.0, 2.0, 3.0):
        here = (distance >= low) & (distance < low + 0.5)
        assert np.mean(np.concatenate(values)[here]) == pytest.approx(truth, rel=0.04)


def test_lattice_and_frames_of_a_table() -> None:
    points = triangular(20, 24)
    box = np.array([20, 12 * np.sqrt(3)])
    counted = local_density(points, radius=4.3, box=box)
    # Shells of 6, 6, 6, 12, 6, 6, 12 and 6, and the particle itself.
    np.testing.assert_allclose(counted, 61 / (np.pi * 4.3**2), rtol=1e-12)
    two = table(np.stack([points, points])).drop(index=5)
    found = local_density_table(two, radius_px=4.3, box=box)
    assert list(found.columns) == ["frame", "particle", "local_density_per_px2"]
    assert len(found) == len(two) and found.duplicated(["frame", "particle"]).sum() == 0
    first = found[found.frame == 0].set_index("particle").local_density_per_px2
    assert first[6] == pytest.approx(counted[6] - 1 / (np.pi * 4.3**2))
    np.testing.assert_allclose(found[found.frame == 1].local_density_per_px2, counted)


def test_in_space_the_column_says_volume_and_gaps_are_places_where_nobody_is() -> None:
    rng = np.random.default_rng(6)
    sides = np.array([12.0, 10.0, 6.0])
    frames = rng.uniform(0, 1, (60, 200, 3)) * sides
    frame, particle = np.indices((60, 200)).reshape(2, -1)
    tracks = pd.DataFrame({"frame": frame, "particle": particle})
    tracks[["x", "y", "z"]] = frames.reshape(-1, 3)
    seen = tracks[rng.random(len(tracks)) > 0.1]  # not all are found in all frames
    found = local_density_table(seen, radius_px=3.5, region=(np.zeros(3), sides), count_self=False)
    assert list(found.columns) == ["frame", "particle", "local_density_per_px3"]
    assert TABLE["local_density_per_px3"].unit == "px^-3" and len(found) == len(seen)
    both = seen.merge(found, on=["frame", "particle"])
    wall = np.minimum(both[["x", "y", "z"]], sides - both[["x", "y", "z"]])
    n_walls = (wall < 1.5).sum(axis=1)
    truth = (0.9 * 200 - 1) / sides.prod()
    for number in range(4):  # inside, at a face, an edge, a corner
        here = both["local_density_per_px3"][n_walls == number]
        assert here.mean() == pytest.approx(truth, rel=0.05), number


def test_absent_positions_are_left_out_and_bad_lengths_refused() -> None:
    points = np.array([[1.0, 1], [2, 1], [np.nan, 1], [30, 30]])
    found = local_density(points, radius=1.5, region=((0, 0), (10, 10)))
    assert np.isfinite(found[:2]).all() and np.isnan(found[2:]).all()
    with pytest.raises(InputError, match="positive radius"):
        local_density(points, radius=0, box=(10, 10))
    with pytest.raises(InputError, match="half the shortest side"):
        local_density(points, radius=6, box=(10, 10))

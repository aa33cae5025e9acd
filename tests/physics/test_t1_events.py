"""Rearrangements of known place and time, and rest that is none."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated_tracks import relaxed, table, triangular

from colloidlab.errors import InputError
from colloidlab.indicators.neighbour_changes import neighbour_changes_table
from colloidlab.indicators.t1_events import match_events, t1_events, t1_rate
from colloidlab.indicators.triangulation import triangulate_tracks

TRUTH = Path(__file__).parents[2] / "sample_videos" / "sheared_monolayer_truth.parquet"
A, B, C, D = 65, 66, 53, 78
"""Neighbours on a triangular lattice of 12 by 12, and the two on either side of them."""


def flipping(shift: np.ndarray, spacing: float = 10.0) -> np.ndarray:
    """A lattice in which A and B part by `shift` each and C and D approach by as much; flips at 0.183."""
    at = triangular(12, 12)
    out = np.repeat(at[None], shift.size, axis=0)
    for one, other, sign in ((A, B, -1), (B, A, -1), (C, D, 1), (D, C, 1)):
        along = at[other] - at[one]
        out[:, one] += sign * shift[:, None] * along / np.hypot(*along)
    return spacing * out


def ramp(*levels: tuple[int, float]) -> np.ndarray:
    """Values by (number of frames, value)."""
    return np.concatenate([np.full(n, value) for n, value in levels])


def test_the_lattice_is_as_the_tests_think() -> None:
    at = triangular(12, 12)
    assert np.hypot(*(at[A] - at[B])) == pytest.approx(1)
    assert np.hypot(*(at[C] - at[D])) == pytest.approx(np.sqrt(3))
    np.testing.assert_allclose(at[A] + at[B], at[C] + at[D])


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.4])
def test_a_constructed_event_is_found_once_where_and_when_it_is(noise: float) -> None:
    shift = np.linspace(0, 0.36, 61)
    rng = np.random.default_rng(3)
    positions = flipping(shift) + rng.normal(0, noise, (61, 144, 2))
    events = t1_events(table(positions))
    assert len(events) == 1
    event = events.iloc[0]
    assert sorted(event[["particle_a", "particle_b"]]) == sorted([A, B])
    assert sorted(event[["particle_c", "particle_d"]]) == sorted([C, D])
    crossing = np.argmax(shift > (np.sqrt(3) - 1) / 4)
    assert abs(event.frame - crossing) <= (0 if noise == 0 else 3)
    centre = flipping(shift)[0, [A, B, C, D]].mean(axis=0)
    assert np.hypot(event.x - centre[0], event.y - centre[1]) <= 2 * noise + 1e-9
    assert event.persistence_frames == 61 - event.frame


def test_gaps_neither_hide_nor_double_an_event() -> None:
    shift = ramp((30, 0.05), (30, 0.32))
    rng = np.random.default_rng(1)
    tracks = table(flipping(shift) + rng.normal(0, 0.1, (60, 144, 2)), drop=0.05, rng=rng)
    tracks = tracks[~((tracks.particle == C) & tracks.frame.isin([29, 30, 31, 32]))]
    events = t1_events(tracks)
    assert len(events) == 1 and 28 <= events.frame[0] <= 35
    assert events[["x", "y"]].notna().all(axis=None)


def test_only_what_lasts_is_an_event() -> None:
    brief = flipping(ramp((20, 0.05), (9, 0.32), (30, 0.05)))
    assert len(t1_events(table(brief))) == 0
    assert t1_events(table(brief), persistence_frames=9).frame.tolist() == [20, 29]
    lasting = t1_events(table(flipping(ramp((20, 0.05), (15, 0.32), (30, 0.05)))))
    assert lasting.frame.tolist() == [20, 35] and lasting.persistence_frames.tolist() == [15, 30]
    assert lasting.loc[0, ["particle_a", "particle_b"]].tolist() == sorted([A, B])
    assert lasting.loc[1, ["particle_c", "particle_d"]].tolist() == sorted([A, B])


def test_flips_of_a_square_within_the_undecided_band_are_none() -> None:
    trembling = 0.183 + 0.008 * np.where(np.arange(80) // 12 % 2, 1, -1)
    assert len(t1_events(table(flipping(trembling)))) == 0
    assert len(t1_events(table(flipping(trembling)), least_facet=0.0)) > 2
    # Hesitation counts for neither side: the event is where the triangulation changed.
    slow = t1_events(table(flipping(ramp((20, 0.05), (8, 0.178), (4, 0.188), (20, 0.32)))))
    assert slow.frame.tolist() == [28]


def test_a_chain_within_the_time_of_persistence_is_told_apart() -> None:
    """A pentagon whose fan goes from corner 0 to 2 to 4: 0-3 becomes 2-4, then 0-2 becomes 1-4."""
    around = np.column_stack([np.cos(turn := 2 * np.pi * np.arange(5) / 5), np.sin(turn)])
    far = 3 * np.column_stack([np.cos(turn := 2 * np.pi * np.arange(12) / 12 + 0.1), np.sin(turn)])
    frames = []
    for corner in ramp((20, 0), (4, 2), (20, 4)).astype(int):
        pentagon = around.copy()
        pentagon[corner] *= 0.7
        frames.append(np.concatenate([pentagon, far]))
    events = t1_events(table(np.array(frames)), region=(-9, -9, 9, 9), least_facet=0.05)
    four = events[["particle_a", "particle_b", "particle_c", "particle_d"]].to_numpy().tolist()
    assert events.frame.tolist() == [20, 24] and four == [[0, 3, 2, 4], [0, 2, 1, 4]]


def test_events_cross_a_periodic_border() -> None:
    shift = ramp((15, 0.05), (15, 0.32))
    box = np.array([120.0, 60 * np.sqrt(3)])
    positions = flipping(shift)
    moved = (positions - positions[0, A]) % box
    events = t1_events(table(moved), box=box)
    assert len(events) == 1 and events.frame[0] == 15
    centre = (positions[0, [A, B, C, D]].mean(axis=0) - positions[0, A]) % box
    away = (events.loc[0, ["x", "y"]].to_numpy(dtype=float) - centre) / box
    np.testing.assert_allclose(away - np.round(away), 0, atol=1e-9)


@pytest.mark.parametrize(("kind", "most"), [("triangular", 0), ("disordered", 0), ("square", 4)])
def test_noise_on_particles_at_rest_makes_no_events(kind: str, most: int) -> None:
    """40 000 particle-frames, errors of 5 % of the spacing; on the square every four are on a circle."""
    rng = np.random.default_rng(11)
    if kind == "disordered":
        at = relaxed(rng, 400, 20.0, 0.95, sweeps=25)
    else:
        square = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), -1).reshape(-1, 2)
        at = square if kind == "square" else triangular(20, 20)
    tracks = table(at + rng.normal(0, 0.05, (100, 400, 2)))
    meshes = triangulate_tracks(tracks)
    flips = [np.setdiff1d(a.edges @ (400, 1), b.edges @ (400, 1)).size for a, b in pairwise(meshes)]
    assert sum(flips) > (1000 if kind != "triangular" else -1)  # there is something to be fooled by
    assert len(t1_events(tracks, triangulations=meshes)) <= most


def test_events_of_the_sample_survive_localisation_errors() -> None:
    """As tracked: errors of 0.05 px, no particle within 6 px of the edge of the image, one row in 300 lost."""
    truth = pd.read_parquet(TRUTH, columns=["frame", "particle", "x", "y"])
    truth = truth[truth.frame < 90]
    view = (5.5, 5.5, 505.5, 505.5)
    rng = np.random.default_rng(2)
    seen = truth[truth.x.between(view[0], view[2]) & truth.y.between(view[1], view[3])]
    seen = seen[rng.random(len(seen)) > 1 / 300]
    seen = seen.assign(x=seen.x + rng.normal(0, 0.05, len(seen)), y=seen.y + rng.normal(0, 0.05, len(seen)))
    found, real = t1_events(seen, region=view), t1_events(truth, region=view)
    same = pd.Series(truth.particle.unique(), truth.particle.unique())
    both = match_events(found, real, tolerance_frames=10, distance_px=17, names=same)
    assert len(real) > 400
    assert len(both) > 0.95 * len(found) and len(both) > 0.95 * len(real)
    late = found.frame.to_numpy()[both.found] - real.frame.to_numpy()[both.truth]
    assert abs(late.mean()) < 0.1 and np.mean(late == 0) > 0.8


def test_rate_counts_frames_in_which_an_event_could_be_found() -> None:
    tracks = table(flipping(ramp((20, 0.05), (30, 0.32))))
    meshes = triangulate_tracks(tracks)
    rate = t1_rate(t1_events(tracks, triangulations=meshes), tracks, meshes)
    assert rate.frame.tolist() == list(range(10, 41))
    assert rate.n_events.sum() == 1 and rate.set_index("frame").n_events[20] == 1
    assert (rate.n_particles == [int(mesh.certain.sum()) for mesh in meshes][10:41]).all()
    # The first and the last of these frames are where an event is just found.
    for n, expected in ((9, 0), (10, 1), (40, 1), (41, 0)):
        assert len(t1_events(table(flipping(ramp((n, 0.05), (50 - n, 0.32)))))) == expected


def test_matching_is_one_to_one_and_knows_names() -> None:
    truth = t1_events(table(flipping(ramp((20, 0.05), (15, 0.32), (30, 0.05)))))
    twice = pd.concat([truth, truth.assign(frame=truth.frame + 1)], ignore_index=True)
    both = match_events(twice, truth, tolerance_frames=10, distance_px=1)
    assert both.found.tolist() == [0, 1] and both.truth.tolist() == [0, 1]
    assert len(match_events(truth.assign(x=truth.x + 2), truth, tolerance_frames=10, distance_px=1)) == 0
    assert len(match_events(truth, truth[:0], tolerance_frames=10, distance_px=1)) == 0
    four = pd.Series([A, B, C, D], index=[1, 2, 3, 4])
    renamed = truth.replace({f"particle_{k}": {v: i for i, v in four.items()} for k in "abcd"})
    assert len(match_events(renamed, truth, tolerance_frames=10, distance_px=1, names=four)) == 2
    assert len(match_events(renamed, truth, tolerance_frames=10, distance_px=1, names=four[:3])) == 0


def test_nothing_to_find_and_wrong_options() -> None:
    assert len(t1_events(table(np.zeros((3, 2, 2)) + [[0, 0], [1, 1]]))) == 0
    empty = t1_events(table(np.zeros((1, 1, 2)))[:0])
    assert list(empty) == list(t1_events(table(flipping(ramp((20, 0.05), (30, 0.32))))))
    with pytest.raises(InputError, match="at least 1"):
        t1_events(table(np.zeros((1, 1, 2))), persistence_frames=0)
    with pytest.raises(InputError, match="negative"):
        t1_events(table(np.zeros((1, 1, 2))), least_facet=-1)


def test_neighbours_lost_and_gained_over_a_lag() -> None:
    tracks = table(flipping(ramp((5, 0.05), (5, 0.32))))
    changes = neighbour_changes_table(tracks, lag_frames=2).set_index(["frame", "particle"])
    assert changes.index.get_level_values("frame").min() == 2
    for frame, times in ((4, 0), (5, 1), (6, 1), (7, 0)):
        now = changes.loc[frame]
        assert now.neighbours_lost[[A, B]].tolist() == [times] * 2 == now.neighbours_gained[[C, D]].tolist()
        assert now.neighbours_lost.sum() == now.neighbours_gained.sum() == 2 * times
        assert 50 < now.neighbours_lost.notna().sum() < 100
    # Absent at one of the two times: no row, and unknown for those whose neighbour it was.
    gone = neighbour_changes_table(tracks[(tracks.particle != C) | (tracks.frame != 6)], lag_frames=2)
    gone = gone.set_index(["frame", "particle"])
    assert C not in gone.loc[6].index and C not in gone.loc[8].index and C in gone.loc[7].index
    assert gone.loc[6].neighbours_lost[[A, B]].isna().all()
    assert gone.loc[7].neighbours_lost[[A, B, D]].tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="lag"):
        neighbour_changes_table(tracks, lag_frames=0)

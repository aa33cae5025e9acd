"""From tracks to windows: gaps, bad frames, edges, graphs and splits."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch
from simulated_tracks import table, triangular
from torch_geometric.data import Batch

from colloidlab.dataset.cutoff import choose_cutoff
from colloidlab.dataset.graph import find_pairs
from colloidlab.dataset.recording import GAP_SIGMA_PX, Recording, from_tracks, rectangle_edge_distance
from colloidlab.dataset.sampling import WindowSampler
from colloidlab.dataset.split import split_by_time
from colloidlab.dataset.window_data import WindowData, WindowDataset, window_loader
from colloidlab.dataset.windows import PAIR_MARGIN, Window, read_window
from colloidlab.errors import FitRefused, InputError

VIEW = rectangle_edge_distance(0, 0, 200, 200)


def drifting(n_frames: int = 12, n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    start, velocity = rng.uniform(10, 190, (n, 2)), rng.normal(0, 0.5, (n, 2))
    tracks = table(start + np.arange(n_frames)[:, None, None] * velocity)
    return tracks.assign(sigma_x_px=0.1, sigma_y_px=0.2, radius_px=1.0 + tracks["particle"] % 2)


def rows_of(recording: Recording, track: int) -> np.ndarray:
    return np.flatnonzero(recording.particles[recording.particle] == track)


def frame_of(recording: Recording) -> np.ndarray:
    return recording.first + np.repeat(np.arange(len(recording.start) - 1), np.diff(recording.start))


# ---- recording ------------------------------------------------------------------------------


def test_gaps_are_filled_on_a_straight_line_and_carry_no_information() -> None:
    full = drifting()
    hole = (full["particle"] == 7) & full["frame"].isin([4, 5, 6])
    recording = from_tracks(full[~hole], VIEW)
    rows = rows_of(recording, 7)
    frames = frame_of(recording)[rows]
    assert frames.tolist() == list(range(12))
    gap = np.isin(frames, [4, 5, 6])
    # The particle moves uniformly, so the interpolation is the truth.
    truth = full.loc[full["particle"] == 7, ["x", "y"]].to_numpy()
    assert np.allclose(recording.position[rows], truth, rtol=0, atol=1e-12)
    assert np.array_equal(recording.observed[rows], ~gap)
    assert np.all(recording.sigma[rows][gap] == GAP_SIGMA_PX)
    assert np.all(recording.sigma[rows][~gap] == [0.1, 0.2])


def test_no_gap_is_filled_between_two_tracks() -> None:
    tracks = drifting(n=2)
    tracks = tracks[
        (tracks["particle"] == 0) & (tracks["frame"] < 4) | (tracks["particle"] == 1) & (tracks["frame"] > 7)
    ]
    recording = from_tracks(pd.concat([tracks, drifting(n=3).query("particle == 2")]), VIEW)
    assert recording.observed.all()
    assert len(recording.particle) == 4 + 4 + 12


def test_rows_are_found_by_frame_whatever_the_order_of_the_table() -> None:
    tracks = drifting().assign(frame=lambda t: t["frame"] + 5)
    shuffled = tracks.sample(frac=1, random_state=1)
    recording = from_tracks(shuffled, VIEW)
    assert (recording.first, recording.stop) == (5, 17)
    for frame in range(5, 17):
        r = recording.rows(frame)
        expected = tracks[tracks["frame"] == frame].sort_values("particle")
        assert np.array_equal(recording.particles[recording.particle[r]], expected["particle"])
        assert np.array_equal(recording.position[r], expected[["x", "y"]].to_numpy())


def test_bad_frames_are_not_observed_and_carry_no_information() -> None:
    recording = from_tracks(drifting(), VIEW, bad_frames=frozenset({3}))
    bad = frame_of(recording) == 3
    assert np.array_equal(recording.observed, ~bad)
    assert np.all(recording.sigma[bad] == GAP_SIGMA_PX)
    assert np.all(recording.sigma[~bad] < 1)


def test_one_sigma_for_all_replaces_the_columns() -> None:
    assert np.all(from_tracks(drifting(), VIEW, sigma_px=0.3).sigma == 0.3)


def test_unknown_sigma_takes_the_median() -> None:
    tracks = drifting()
    tracks.loc[tracks["particle"] == 3, ["sigma_x_px", "sigma_y_px"]] = np.nan
    recording = from_tracks(tracks, VIEW)
    assert np.allclose(recording.sigma[rows_of(recording, 3)], 0.15)


def test_radius_is_the_median_of_a_track() -> None:
    tracks = drifting()
    tracks.loc[(tracks["particle"] == 4) & (tracks["frame"] == 2), "radius_px"] = 50.0
    tracks.loc[tracks["particle"] == 5, "radius_px"] = np.nan
    recording = from_tracks(tracks, VIEW)
    assert recording.radius[4] == 1.0
    assert recording.radius[5] == np.median(recording.radius[[k for k in range(60) if k != 5]])
    assert recording.scale.mean() == pytest.approx(1.0, rel=1e-12)


def test_twice_in_one_frame_is_refused() -> None:
    tracks = drifting()
    with pytest.raises(InputError, match="twice"):
        from_tracks(pd.concat([tracks, tracks.iloc[[5]]]), VIEW)


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(InputError, match="3 frames"):
        from_tracks(drifting(n_frames=2), VIEW)


def test_edge_is_the_nearer_of_view_and_hull() -> None:
    # Particles on a square from 50 to 150 and one in its middle and one off-centre, in a view from 0 to 160.
    points = np.array([[50, 50], [150, 50], [150, 150], [50, 150], [100, 100], [60, 100]], dtype=float)
    recording = from_tracks(
        table(np.repeat(points[None], 4, axis=0)), rectangle_edge_distance(0, 0, 155, 160)
    )
    edge = recording.edge[recording.rows(0)]
    assert np.allclose(edge, [0, 0, 0, 0, 50, 10], atol=1e-12)
    narrow = from_tracks(table(np.repeat(points[None], 4, axis=0)), rectangle_edge_distance(0, 95, 200, 200))
    assert narrow.edge[narrow.rows(0)][4] == pytest.approx(5)


def test_rectangle_edge_distance_is_negative_outside() -> None:
    distance = rectangle_edge_distance(0, 0, 10, 20)(np.array([1.0, 5.0, 12.0]), np.array([10.0, 19.0, 10.0]))
    assert np.array_equal(distance, [1, 1, -2])


# ---- windows --------------------------------------------------------------------------------


def test_windows_hold_the_recording() -> None:
    tracks = drifting()
    tracks = tracks[~((tracks["particle"] == 2) & (tracks["frame"] < 6))]
    tracks = tracks[~((tracks["particle"] == 9) & (tracks["frame"] == 7))]
    recording = from_tracks(tracks, VIEW)
    cutoff = 20.0
    window = read_window(recording, 5, 9, cutoff)
    assert window.n_frames == 4
    late, gap = (int(np.flatnonzero(recording.particles[window.slot] == p)[0]) for p in (2, 9))
    assert window.present[:, late].tolist() == [False, True, True, True]
    assert window.present[:, gap].all()
    assert window.observed[:, gap].tolist() == [True, True, False, True]
    for k in range(4):
        r = recording.rows(5 + k)
        at = np.searchsorted(window.slot, recording.particle[r])
        assert np.array_equal(window.positions[k].numpy()[at], recording.position[r])
        assert np.array_equal(window.sigma2[k].numpy()[at], recording.sigma[r] ** 2)
        reach = cutoff * 0.5 * (recording.scale[recording.particle[r]] + recording.scale.max())
        assert np.array_equal(window.complete[k].numpy()[at], recording.edge[r] > reach)
        assert np.array_equal(window.interior[k].numpy()[at], recording.edge[r] > 2 * reach)
        index = window.pairs[k].numpy()
        assert window.present[k].numpy()[index].all()
        expected = brute_force(
            recording.position[r], cutoff * PAIR_MARGIN, recording.scale[recording.particle[r]]
        )
        assert {tuple(sorted(p)) for p in index.T.tolist()} == {
            tuple(sorted(at[list(p)].tolist())) for p in expected
        }


def test_complete_particles_see_all_their_neighbours() -> None:
    """A complete particle's reach stays inside the view, so nobody out of view could be its neighbour."""
    recording = from_tracks(drifting(), VIEW)
    window = read_window(recording, 0, 3, 20.0)
    inside = window.complete[0].numpy()
    r, scale = window.positions[0].numpy()[inside], window.scale.numpy()
    reach = 20.0 * 0.5 * (scale[inside] + scale.max())
    assert inside.any()
    assert np.all(VIEW(r[:, 0], r[:, 1]) > reach)


def test_a_batch_holds_its_windows_side_by_side() -> None:
    recording = from_tracks(drifting(), VIEW)
    starts = (0, 5, 8)

    def read(first: int, stop: int) -> Window:
        return read_window(recording, first, stop, 20.0)

    loader = window_loader(WindowDataset(read, starts, 4), [[0, 1, 2], [1]])
    both, one = (batch.window() for batch in loader)
    assert both.frames == starts and one.frames == (5,)
    for m, first in enumerate(starts):
        part = read(first, first + 4)
        mine = both.member == m
        for name in ("positions", "sigma2", "present", "observed", "complete", "interior"):
            assert torch.equal(getattr(both, name)[:, mine], getattr(part, name)), name
        assert torch.equal(both.scale[mine], part.scale)
        assert np.array_equal(both.slot[mine.numpy()], part.slot)
        offset = int(mine.nonzero()[0])
        for k in range(4):
            own = both.pairs[k][:, mine[both.pairs[k][0]]]
            assert torch.equal(own - offset, part.pairs[k])
    for index in both.pairs:
        assert torch.equal(both.member[index[0]], both.member[index[1]])


def test_a_box_survives_the_loader() -> None:
    recording = replace(from_tracks(drifting(), VIEW), box=np.array([40.0, 0.0]))
    window = WindowData.of(read_window(recording, 0, 3, 5.0)).window()
    assert window.box is not None and window.box.tolist() == [40.0, 0.0]
    assert WindowData.of(read_window(from_tracks(drifting(), VIEW), 0, 3, 5.0)).window().box is None


def test_means_are_those_of_each_stretch() -> None:
    recording = from_tracks(drifting(), VIEW)
    one = read_window(recording, 0, 3, 20.0)
    values, chosen = one.scale * torch.arange(len(one.slot)), one.complete[0]
    alone = one.mean(values, chosen, values.new_tensor(-1.0))
    data = [WindowData.of(read_window(recording, a, a + 3, 20.0)) for a in (0, 4)]
    both = Batch.from_data_list(data).window()
    assert len(one.slot) < len(both.slot)
    first = both.member == 0
    other = torch.cat([values, torch.full((int((~first).sum()),), 7.0, dtype=values.dtype)])
    means = both.mean(
        other, torch.cat([chosen, chosen.new_zeros(len(other) - len(chosen))]), other.new_tensor(-1.0)
    )
    assert torch.allclose(means[first], alone, rtol=1e-14) and bool((means[~first] == -1).all())


def test_passes_show_every_window_once() -> None:
    sampler = WindowSampler(7, 2, 3, in_passes=True)
    batches = iter(sampler)
    for _ in range(4):
        seen = [k for _ in range(3) for k in next(batches)]
        assert len(set(seen)) == 6 and set(seen) <= set(range(7))
    assert WindowSampler(3, 5, 0, in_passes=True).batch_windows == 3


@pytest.mark.parametrize("in_passes", [True, False])
def test_sampling_goes_on_after_a_break_and_is_shared_out(in_passes: bool) -> None:
    def sampler(**share: int) -> WindowSampler:
        return WindowSampler(11, 4, 5, in_passes=in_passes, **share)

    whole = list(islice(sampler(), 12))
    assert list(islice(sampler(), 12)) == whole
    broken, resumed = sampler(), sampler()
    assert list(islice(broken, 5)) == whole[:5]
    resumed.restore(json.loads(json.dumps(broken.state())))
    assert list(islice(resumed, 7)) == whole[5:]
    shares = [list(islice(sampler(rank=r, size=2), 12)) for r in range(2)]
    assert [sorted(a + b) for a, b in zip(*shares, strict=True)] == [sorted(b) for b in whole]


# ---- graph ----------------------------------------------------------------------------------


def brute_force(
    r: np.ndarray, cutoff: float, scale: np.ndarray | None = None, box: np.ndarray | None = None
) -> set[tuple[int, int]]:
    found = set()
    for i in range(len(r)):
        for j in range(i + 1, len(r)):
            offset = r[i] - r[j]
            if box is not None:
                offset = np.where(box > 0, (offset + box / 2) % np.where(box > 0, box, 1) - box / 2, offset)
            reach = cutoff * (1.0 if scale is None else 0.5 * (scale[i] + scale[j]))
            if np.linalg.norm(offset) < reach:
                found.add((i, j))
    return found


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("border", ["open", "periodic", "slab"])
@pytest.mark.parametrize("sizes", [False, True])
def test_pairs_against_brute_force(dim: int, border: str, sizes: bool) -> None:
    rng = np.random.default_rng(dim)
    box = {
        "open": np.zeros(dim),
        "periodic": np.full(dim, 10.0),
        "slab": np.array([10.0] + [0.0] * (dim - 1)),
    }[border]
    # Positions outside the box stand for unwrapped trajectories.
    r = rng.uniform(-12, 22, (130, dim)) if border != "open" else rng.uniform(0, 10, (130, dim))
    r[5] = np.nan
    scale = rng.uniform(0.5, 1.6, 130) if sizes else None
    found = find_pairs(r, 2.3, scale, box)
    expected = brute_force(r, 2.3, scale, box)
    assert len(expected) > 20
    assert {tuple(p) for p in found.T.tolist()} == expected
    assert found.shape[1] == len(expected)
    assert np.all(found[0] < found[1])


@pytest.mark.parametrize("n", [0, 1])
def test_nobody_and_one_have_no_pairs(n: int) -> None:
    assert find_pairs(np.zeros((n, 2)), 1.0).shape == (2, 0)
    assert find_pairs(np.full((4, 2), np.nan), 1.0).shape == (2, 0)


# ---- split ----------------------------------------------------------------------------------


def test_blocks_are_consecutive_and_disjoint() -> None:
    split = split_by_time(7, 207, 0.6, 0.2)
    assert (split.train, split.validation, split.test) == ((7, 127), (127, 167), (167, 207))


@pytest.mark.parametrize(
    ("n", "train", "validation"), [(30, 0.6, 0.2), (200, 0.05, 0.2), (200, 0.8, 0.01), (200, 0.8, 0.19)]
)
def test_blocks_that_mean_nothing_are_refused(n: int, train: float, validation: float) -> None:
    with pytest.raises(FitRefused, match="too few"):
        split_by_time(0, n, train, validation)


# ---- cutoff ---------------------------------------------------------------------------------


def test_cutoff_of_a_lattice_lies_between_first_and_second_shell() -> None:
    rng = np.random.default_rng(2)
    spacing = 17.0
    sites = triangular(14, 16, spacing)
    frames = sites + rng.normal(0, 0.05 * spacing, (8, *sites.shape))
    hull = rectangle_edge_distance(*sites.min(axis=0), *sites.max(axis=0))
    cutoff, reason = choose_cutoff(from_tracks(table(frames), hull))
    assert spacing < cutoff < 3**0.5 * spacing
    assert "first minimum" in reason


def test_cutoff_of_an_ideal_gas_is_one_and_a_half_spacings() -> None:
    rng = np.random.default_rng(3)
    n, side = 400, 400.0
    frames = rng.uniform(0, side, (8, n, 2))
    cutoff, reason = choose_cutoff(from_tracks(table(frames), rectangle_edge_distance(0, 0, side, side)))
    assert "no first minimum" in reason
    # The extent of all positions falls short of the side by about 2 side/(8 n).
    assert cutoff == pytest.approx(1.5 * side / n**0.5, rel=2e-3)

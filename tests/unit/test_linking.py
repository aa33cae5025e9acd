"""Linking: the least cost by brute force, the same links as trackpy, and every input that linking must survive."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import trackpy
from linked_scenes import dense, following, positions_of, scene
from scipy.optimize import linear_sum_assignment

from colloidlab.errors import InputError, UsageError
from colloidlab.tracks import link, link_arrays
from colloidlab.tracks.assignment import Candidates, solve

NO_LINK = 1e9


def sparse(cost: np.ndarray, null: np.ndarray) -> Candidates:
    source, target = np.nonzero(np.isfinite(cost))
    first = np.searchsorted(source, np.arange(len(cost) + 1))
    return Candidates(first.astype(np.int64), target.astype(np.int64), cost[source, target], null)


def least(cost: np.ndarray, null: np.ndarray) -> float:
    """The optimum, by a dense method in which every source has its own way out."""
    n = len(cost)
    out = np.full((n, n), NO_LINK)
    np.fill_diagonal(out, null)
    whole = np.hstack([np.where(np.isfinite(cost), cost, NO_LINK), out])
    return float(whole[linear_sum_assignment(whole)].sum())


def random_costs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n, m = rng.integers(1, 12, 2)
    cost = rng.uniform(-3, 6, (n, m))
    cost[rng.random((n, m)) < rng.uniform(0, 0.9)] = np.inf
    null = rng.uniform(0, 6, n)
    cost[cost > null[:, None]] = np.inf
    return cost, null


@pytest.mark.parametrize("seed", range(5))
def test_the_assignment_is_the_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(100):
        cost, null = random_costs(rng)
        candidates = sparse(cost, null)
        chosen, _ = solve(candidates, cost.shape[1], False)
        has = chosen >= 0
        targets = candidates.target[chosen[has]]
        assert len(set(targets)) == len(targets)
        assert candidates.cost[chosen[has]].sum() + null[~has].sum() == pytest.approx(least(cost, null))


@pytest.mark.parametrize("seed", range(5))
def test_the_margin_is_the_rise_of_the_optimum_without_the_link(seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    compared = 0
    for _ in range(60):
        cost, null = random_costs(rng)
        candidates = sparse(cost, null)
        chosen, margin = solve(candidates, cost.shape[1], True)
        assert np.array_equal(np.isnan(margin), chosen < 0)
        for source in np.flatnonzero(chosen >= 0):
            without = cost.copy()
            without[source, candidates.target[chosen[source]]] = np.inf
            assert margin[source] == pytest.approx(least(without, null) - least(cost, null), abs=1e-9)
            compared += 1
    assert compared > 50


@pytest.mark.parametrize("memory", [0, 1, 3])
@pytest.mark.parametrize("axes", ["xy", "xyz"])
@pytest.mark.parametrize("seed", range(3))
def test_same_links_as_trackpy(seed: int, axes: str, memory: int) -> None:
    table = scene(np.random.default_rng(seed), axes=axes, missed=0.1)
    ours, theirs = link(table, 3.0, memory=memory), trackpy.link(table, 3.0, memory=memory)
    assert ours["particle"].nunique() > 80
    np.testing.assert_array_equal(following(ours), following(theirs))


@pytest.mark.parametrize("seed", range(4))
def test_same_links_as_trackpy_where_particles_are_dense(seed: int) -> None:
    """Brownian steps of a fifth of the spacing, range two thirds of it: most particles have rivals."""
    table = dense(np.random.default_rng(seed), missed=0.05)
    ours, theirs = link(table, 6.0, memory=2), trackpy.link(table, 6.0, memory=2)
    np.testing.assert_array_equal(following(ours), following(theirs))


def test_same_links_as_trackpy_across_frames_that_the_table_lacks() -> None:
    table = scene(np.random.default_rng(5), missed=0.1)
    table = table[~table["frame"].isin([4, 5, 9])].assign(frame=lambda t: t["frame"] + 17)
    for memory in (0, 1, 2, 3):
        ours, theirs = link(table, 3.0, memory=memory), trackpy.link(table, 3.0, memory=memory)
        np.testing.assert_array_equal(following(ours), following(theirs))


def test_same_links_as_trackpy_with_a_range_for_each_axis() -> None:
    rng = np.random.default_rng(6)
    for axes, reach in (("xy", (2.0, 4.0)), ("xyz", (4.0, 2.0, 3.0))):
        table = scene(rng, axes=axes, missed=0.1)
        ours, theirs = link(table, reach, memory=1), trackpy.link(table, reach, memory=1)
        np.testing.assert_array_equal(following(ours), following(theirs))
        other_way_round = link(table, reach[::-1], memory=1)
        assert (following(other_way_round) != following(ours)).any()


def test_shuffled_rows_keep_their_particle() -> None:
    table = scene(np.random.default_rng(7), missed=0.1)
    shuffled = table.sample(frac=1.0, random_state=1)
    linked, again = link(table, 3.0, memory=1), link(shuffled, 3.0, memory=1)
    assert again["frame"].is_monotonic_increasing
    np.testing.assert_array_equal(following(linked), following(again.sort_index()))
    identities = link_arrays(shuffled["frame"].to_numpy(), positions_of(shuffled), 3.0, memory=1)
    np.testing.assert_array_equal(identities, again.loc[shuffled.index, "particle"])


def test_ties_cost_no_more_than_trackpy_makes_them() -> None:
    """Whole-pixel positions on both frames: many links of one length, some as long as the range."""
    rng = np.random.default_rng(8)
    before = np.array(list(itertools.product(range(0, 40, 4), repeat=2)), dtype=float)
    table = pd.concat(
        [
            pd.DataFrame({"frame": f, "x": p[:, 0], "y": p[:, 1]})
            for f, p in enumerate([before, before + rng.integers(-1, 2, before.shape)])
        ],
        ignore_index=True,
    )
    costs = []
    for linked in (link(table, 2.0), trackpy.link(table, 2.0)):
        after = following(linked)
        rows = np.flatnonzero(after >= 0)
        moved = positions_of(linked)[after[rows]] - positions_of(linked)[rows]
        costs.append((moved**2).sum() + 4.0 * ((linked["frame"] == 0).sum() - len(rows)))
    assert costs[0] == pytest.approx(costs[1], rel=1e-9)


def test_a_link_as_long_as_the_range_is_made() -> None:
    table = pd.DataFrame({"frame": [0, 1], "x": [0.0, 2.0], "y": [0.0, 0.0]})
    for reach, tracks in ((2.0, 1), (1.999, 2)):
        assert link(table, reach)["particle"].nunique() == tracks
        assert trackpy.link(table, reach)["particle"].nunique() == tracks


def test_a_range_beyond_all_reason_ends_and_is_optimal() -> None:
    """Every particle may reach every other: trackpy gives up here."""
    rng = np.random.default_rng(9)
    before, after = rng.uniform(0, 30, (2, 150, 2))
    frame = np.repeat([0, 1], 150)
    identity = link_arrays(frame, np.concatenate([before, after]), 100.0)
    partner = np.argsort(identity[150:])[np.argsort(np.argsort(identity[:150]))]
    found = ((after[partner] - before) ** 2).sum()
    cost = ((before[:, None] - after[None]) ** 2).sum(axis=2)
    assert set(identity[150:]) == set(range(150))
    assert found == pytest.approx(cost[linear_sum_assignment(cost)].sum())


def test_memory_counts_frames_and_not_rows_of_the_table() -> None:
    seen = pd.DataFrame({"frame": [0, 3], "x": [5.0, 5.2], "y": [5.0, 5.1]})
    assert [link(seen, 1.0, memory=m)["particle"].nunique() for m in (0, 1, 2, 3)] == [2, 2, 1, 1]


def test_far_apart_frames_and_positions_cost_nothing() -> None:
    table = pd.DataFrame(
        {"frame": [-3, 0, 10**12, 10**12 + 1], "x": [0.0, 1e300, -1e300, 0.0], "y": [0.0, 0.0, 1.0, 1e200]}
    )
    assert link(table, 1.0, memory=5)["particle"].tolist() == [0, 1, 2, 3]


def test_the_table_keeps_columns_index_and_the_order_within_a_frame() -> None:
    table = pd.DataFrame({"frame": [1.0, 0.0, 1.0], "x": [9.0, 5.0, 5.0], "y": 0.0, "mass": [1, 2, 3]})
    table.index = [30, 10, 20]
    linked = link(table, 1.0)
    assert linked.index.tolist() == [10, 30, 20]
    assert linked["particle"].tolist() == [0, 1, 0]
    assert linked["mass"].tolist() == [2, 1, 3]
    assert linked["particle"].dtype == np.int64 and linked["frame"].dtype == np.int64
    assert "particle" not in table


def test_an_empty_table_is_linked_to_an_empty_table() -> None:
    empty = pd.DataFrame({"frame": np.empty(0, dtype=np.int64), "x": np.empty(0), "y": np.empty(0)})
    linked = link(empty, 1.0)
    assert len(linked) == 0 and linked["particle"].dtype == np.int64
    assert len(link_arrays(np.empty(0, dtype=int), np.empty((0, 3)), 1.0)) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frame": [0.5, 1.0]}, "frame 0.5 is not a whole number"),
        ({"frame": [0.0, np.nan]}, "frame nan is not a whole number"),
        ({"frame": ["a", "b"]}, "frame is not numeric"),
        ({"x": [0.0, np.nan]}, "1 positions are not finite, the first in frame 1"),
        ({"x": ["a", "b"]}, "positions are not numeric"),
    ],
)
def test_a_table_that_cannot_be_linked_is_refused_in_one_sentence(
    change: dict[str, list[object]], words: str
) -> None:
    table = pd.DataFrame({"frame": [0, 1], "x": [0.0, 1.0], "y": [0.0, 1.0]}).assign(**change)
    with pytest.raises(InputError, match=words):
        link(table, 1.0)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="no column y"):
        link(pd.DataFrame({"frame": [0], "x": [1.0]}), 1.0)


@pytest.mark.parametrize("reach", [0.0, -1.0, np.nan, np.inf, (1.0, 2.0, 3.0), ()])
def test_an_impossible_range_is_refused(reach: float) -> None:
    with pytest.raises(UsageError, match="search_range_px"):
        link(pd.DataFrame({"frame": [0], "x": [1.0], "y": [1.0]}), reach)


def test_an_impossible_memory_is_refused() -> None:
    for memory in (-1, 0.5):
        with pytest.raises(UsageError, match="memory"):
            link(pd.DataFrame({"frame": [0], "x": [1.0], "y": [1.0]}), 1.0, memory=memory)  # type: ignore[arg-type]


def test_arrays_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match="shape"):
        link_arrays(np.zeros(3, dtype=int), np.zeros((2, 2)), 1.0)


def test_rows_or_columns_first_makes_no_difference() -> None:
    table = scene(np.random.default_rng(10), axes="xyz")
    frame, positions = table["frame"].to_numpy(), positions_of(table)
    by_rows = link_arrays(frame, np.ascontiguousarray(positions), 3.0)
    by_columns = link_arrays(frame, np.asfortranarray(positions), 3.0)
    strided = link_arrays(frame, np.repeat(positions, 2, axis=1)[:, ::2], 3.0)
    assert np.array_equal(by_rows, by_columns) and np.array_equal(by_rows, strided)

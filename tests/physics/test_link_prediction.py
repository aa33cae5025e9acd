"""Linking with the expected motion and with likelihood, against scenes whose links are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from linked_scenes import (
    VIEW_PX,
    Flow,
    at_rest,
    detections,
    drifting,
    flowing,
    following,
    lost_links,
    oscillating,
    shearing,
    swirling,
    wrong_links,
)

from colloidlab.errors import InputError, UsageError
from colloidlab.tracks import estimate_search_range, link, link_automatically
from colloidlab.tracks.chain import displacement
from colloidlab.tracks.likelihood import learn
from colloidlab.tracks.prediction import expect

MEMORY = 3
FLOWS: dict[str, tuple[Flow, str]] = {
    "rest": (at_rest, "none"),
    "drift": (drifting, "drift"),
    "shear": (shearing, "affine"),
    "oscillation": (oscillating, "affine"),
    "vortex": (swirling, "flow"),
}


@pytest.fixture(scope="module")
def scenes() -> dict[str, pd.DataFrame]:
    return {
        name: flowing(np.random.default_rng([3, k]), flow)
        for k, (name, (flow, _)) in enumerate(FLOWS.items())
    }


def arrays(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return table["frame"].to_numpy(), table[["x", "y"]].to_numpy()


@pytest.mark.parametrize("name", FLOWS)
def test_the_simplest_sufficient_motion_is_chosen(scenes: dict[str, pd.DataFrame], name: str) -> None:
    found = expect(*arrays(scenes[name]))
    assert found.kind == FLOWS[name][1]
    # The Brownian step; half of the particles know a flow less well than all.
    assert found.step_px == pytest.approx(1.2, rel=0.2 if name == "vortex" else 0.05)


@pytest.mark.parametrize(
    ("name", "error_px"), [("drift", 0.15), ("shear", 0.25), ("oscillation", 0.25), ("vortex", 0.8)]
)
def test_the_expected_motion_is_the_true_one(
    scenes: dict[str, pd.DataFrame], name: str, error_px: float
) -> None:
    """Errors that 900 particles with steps of 1.2 px permit: rms over the view and all steps."""
    motion = expect(*arrays(scenes[name])).motion
    points = np.random.default_rng(0).uniform(0, VIEW_PX, (400, 2))
    errors = [displacement(points, motion, k) - FLOWS[name][0](points, k + 1) for k in range(11)]
    assert np.sqrt(np.mean(np.square(errors))) < error_px


@pytest.mark.parametrize("name", FLOWS)
def test_fewer_wrong_and_fewer_lost_links_than_by_squares_alone(
    scenes: dict[str, pd.DataFrame], name: str
) -> None:
    table = scenes[name]
    linked, choice = link_automatically(table, memory=MEMORY)
    reaches = {choice.search_range_px, estimate_search_range(table, memory=MEMORY).search_range_px, 6.0}
    for reach in reaches:
        plain = link(table, reach, memory=MEMORY)
        assert wrong_links(linked) <= wrong_links(plain)
        assert lost_links(linked, MEMORY) <= lost_links(plain, MEMORY)
    assert wrong_links(linked) < 0.04


@pytest.mark.parametrize(("name", "factor"), [("drift", 10), ("shear", 4), ("oscillation", 5), ("vortex", 5)])
def test_prediction_alone_saves_most_links(scenes: dict[str, pd.DataFrame], name: str, factor: float) -> None:
    table = scenes[name]
    with_it = link(table, 6.0, memory=MEMORY, prediction=FLOWS[name][1])  # type: ignore[arg-type]
    assert wrong_links(link(table, 6.0, memory=MEMORY)) > factor * wrong_links(with_it)


def test_the_law_of_links_is_learned(scenes: dict[str, pd.DataFrame]) -> None:
    """Steps, their growth over gaps and the chance of being seen, where the truth has them."""
    table = scenes["rest"]
    frame, positions = arrays(table)
    linked, choice = link_automatically(table, memory=MEMORY)
    motion = expect(frame, positions, "none").motion
    law = learn(frame, positions, linked["particle"].to_numpy(), motion=motion, memory=MEMORY, reach_px=6.0)
    assert law is not None
    assert law.step_px == pytest.approx(1.2, rel=0.05)
    np.testing.assert_allclose(law.spread, [1, 2, 3, 4], rtol=0.15)
    # 3 % are missed, and some leave the view.
    assert 0.93 < law.seen[0] < 0.98
    area = np.ptp(positions, axis=0).prod()
    assert 0.01 * len(table) / 12 / area < law.new_per_area < 0.06 * len(table) / 12 / area
    assert choice.objective == "likelihood" and "1.2 px" in choice.reason


@pytest.mark.parametrize("step", [1.2, 2.2])
def test_margins_tell_how_many_links_are_wrong(step: float) -> None:
    table = flowing(np.random.default_rng([4, int(10 * step)]), at_rest, step=step)
    linked, choice = link_automatically(table, memory=MEMORY)
    assert 0.6 < choice.wrong_links / wrong_links(linked) < 1.3
    margin = linked["link_margin"].to_numpy()
    assert (margin[~np.isnan(margin)] >= 0).all()
    begins = ~linked.duplicated("particle")
    np.testing.assert_array_equal(np.isnan(margin), begins)
    # Where the margin is small, links are wrong far more often.
    into = np.full(len(linked), -1)
    after = following(linked)
    into[after[after >= 0]] = np.flatnonzero(after >= 0)
    rows = np.flatnonzero(into >= 0)
    truth = linked["truth"].to_numpy()
    wrong = truth[rows] != truth[into[rows]]
    assert wrong[margin[rows] < 1].mean() > 10 * wrong[margin[rows] > 4].mean()


def test_a_few_moving_among_many_stuck_particles_are_followed() -> None:
    rng = np.random.default_rng(6)
    steps = rng.normal(0, 0.05, (30, 200, 2))
    steps[:, :20] = rng.normal(0, 3.0, (30, 20, 2))
    steps[0] = rng.uniform(0, 600, (200, 2))
    table = detections(np.cumsum(steps, axis=0), rng)
    linked, _ = link_automatically(table, memory=1)
    assert lost_links(linked[linked["truth"] < 20], 1) < 0.05
    assert wrong_links(linked) < 0.01


def test_a_perfect_lattice_is_not_taken_to_drift() -> None:
    """It fits upon itself after every lattice vector; the smallest displacement is the likely one."""
    rng = np.random.default_rng(7)
    grid = 10.0 * np.stack(np.meshgrid(np.arange(25), np.arange(25)), axis=-1).reshape(-1, 2)
    table = detections(grid + rng.normal(0, 0.3, (8, 625, 2)) + 5.0, rng)
    linked, choice = link_automatically(table)
    assert choice.prediction == "none" and wrong_links(linked) == 0.0


def test_drift_in_three_dimensions() -> None:
    rng = np.random.default_rng(8)
    steps = rng.normal(0, 0.6, (12, 150, 3)) + np.array([2.0, -1.0, 1.5])
    steps[0] = rng.uniform(0, 80, (150, 3))
    table = detections(np.cumsum(steps, axis=0), rng, missed=0.02)
    linked, choice = link_automatically(table, memory=1)
    assert choice.prediction == "drift"
    assert wrong_links(linked) < 0.5 * wrong_links(link(table, 5.0, memory=1))


def test_a_gap_in_the_frames_stays_a_gap() -> None:
    """A damaged frame is absent from the table; no displacement may hide it."""
    table = flowing(np.random.default_rng(9), shearing)
    table = table[table["frame"] != 6]
    linked, _ = link_automatically(table, memory=2)
    after = following(linked)
    frame = linked["frame"].to_numpy()
    rows = np.flatnonzero((after >= 0) & (frame == 5))
    assert len(rows) > 500 and (frame[after[rows]] >= 7).all()
    assert wrong_links(linked) < 0.06
    without, _ = link_automatically(table, memory=0)
    crossing = following(without)[without["frame"].to_numpy() == 5]
    assert (crossing < 0).all()


def test_the_search_range_holds_the_steps_where_particles_are_dense() -> None:
    found = estimate_search_range(flowing(np.random.default_rng(10), at_rest))
    assert 4 * 1.2 < found.search_range_px < 6.5 * 1.2
    assert "1.2 px per axis" in found.reason


def test_too_little_to_learn_from_is_said() -> None:
    table = pd.DataFrame({"frame": [0, 1, 2], "x": [1.0, 1.5, 2.0], "y": [5.0, 5.0, 5.2]})
    linked, choice = link_automatically(table)
    assert linked["particle"].nunique() == 1
    assert choice.objective == "squared" and "too few" in choice.reason


def test_no_two_successive_frames_need_a_range() -> None:
    for frame in ([0, 2], [4, 4]):
        table = pd.DataFrame({"frame": frame, "x": [1.0, 1.5], "y": [5.0, 5.0]})
        with pytest.raises(InputError, match="--search-range-px"):
            link_automatically(table, memory=1)
        with pytest.raises(InputError, match="--search-range-px"):
            estimate_search_range(table)
        linked, choice = link_automatically(table, search_range_px=2.0, memory=1)
        assert linked["particle"].nunique() == (1 if frame == [0, 2] else 2)
        assert choice.search_range_px == pytest.approx(2.0)


def test_an_empty_table_with_a_range_is_linked() -> None:
    empty = pd.DataFrame({"frame": np.empty(0, dtype=int), "x": np.empty(0), "y": np.empty(0)})
    linked, choice = link_automatically(empty, search_range_px=1.0)
    assert len(linked) == 0 and {"particle", "link_margin"} <= set(linked) and np.isnan(choice.wrong_links)


def test_a_range_for_each_axis_goes_with_squares_only() -> None:
    table = pd.DataFrame({"frame": [0, 1], "x": [1.0, 1.5], "y": [5.0, 5.0]})
    with pytest.raises(UsageError, match="each axis"):
        link(table, (1.0, 2.0), prediction="drift")


def test_flow_is_refused_in_three_dimensions() -> None:
    table = pd.DataFrame({"frame": [0, 1], "x": [1.0, 1.5], "y": [5.0, 5.0], "z": [0.0, 0.0]})
    with pytest.raises(UsageError, match="flow"):
        link(table, 1.0, prediction="flow")

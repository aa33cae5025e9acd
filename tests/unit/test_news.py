"""What long work tells while it runs: all of it, in order, and after an interruption from the beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_fit import QUICK, subject

from colloidlab.errors import Cancelled, InputError, UsageError
from colloidlab.model.checkpoint import FitCheckpoint
from colloidlab.news import Evaluation, News, RolloutPart, TrainingStep
from colloidlab.pipeline.rollout_store import RolloutStore
from colloidlab.progress import Monitor
from colloidlab.rollout.books import Budget
from colloidlab.rollout.boundary import Plan, check_start
from colloidlab.rollout.driven import FRAMES_A_STRETCH, RolloutFrame


def test_a_fit_tells_every_step_and_row_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    options = replace(QUICK, entropy="isothermal", isothermal_steps=4)
    first: list[News] = []
    stop = Monitor(cancelled=lambda: len(first) >= 3, told=first.append)
    checkpoint = FitCheckpoint(tmp_path, "key")
    with pytest.raises(Cancelled):
        subject().fit(options, stop, checkpoint=checkpoint)
    second: list[News] = []
    fit = subject().fit(options, Monitor(told=second.append), checkpoint=checkpoint)
    assert [n for n in second if isinstance(n, Evaluation)] == fit.curves
    rows = [n for n in first if isinstance(n, Evaluation)]
    assert rows and rows == fit.curves[: len(rows)], "those before the interruption are told again"
    steps = [[n.step for n in told if isinstance(n, TrainingStep)] for told in (first, second)]
    assert steps[0] and steps[1] and steps[0] + steps[1] == [1, 2, 3, 4]
    told = {n.step: n.train_loglik for n in first + second if isinstance(n, TrainingStep)}
    row = fit.curves[0]
    assert row.train_loglik == pytest.approx(np.mean([told[k] for k in range(1, row.step + 1)]), abs=1e-12)


def rolled_out(positions: np.ndarray, first: int, stop: int) -> Iterator[RolloutFrame]:
    members = len(positions)
    nothing, vector = np.zeros(members), np.zeros((members, 2))
    budget = Budget(*(nothing,) * 5, *(vector,) * 3)
    for k in range(first, stop):
        S = positions[:, k, :, 0]
        yield RolloutFrame(positions[:, k], positions[:, k], S, S, budget)


def test_a_rollout_tells_every_frame_and_after_an_interruption_those_that_are_stored(tmp_path: Path) -> None:
    members, n_frames, n = 2, FRAMES_A_STRETCH + 5, 3
    positions = np.random.default_rng(1).normal(size=(members, n_frames, n, 2))
    positions[:, 4:, 2] = np.nan
    plan = Plan(7, np.array([3, 5, 9]), np.array([True, True, False]), *(np.zeros((n_frames, n)),) * 4)

    def store() -> RolloutStore:
        return RolloutStore(
            tmp_path,
            "key",
            plan,
            np.zeros((len(plan.particles), 2)),
            members,
            n_recorded=n_frames,
            dtype="float64",
        )

    told: list[RolloutPart] = []
    store().write(rolled_out(positions, 0, n_frames - 2), Monitor(told=told.append))
    assert [part.done for part in told] == list(range(n_frames - 2))
    again: list[RolloutPart] = []
    rest = store()
    assert rest.n_done == FRAMES_A_STRETCH
    rest.write(rolled_out(positions, rest.n_done, n_frames), Monitor(told=again.append))
    assert [part.done for part in again] == [0, *range(FRAMES_A_STRETCH, n_frames)]
    np.testing.assert_array_equal(np.concatenate([p.positions for p in again], axis=1), positions)
    head = again[0]
    assert (head.first, head.n_frames) == (7, n_frames) and head.particles.tolist() == [3, 5, 9]


def test_a_long_rollout_that_is_taken_up_is_read_a_stretch_at_a_time_and_is_not_dropped_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    n_frames, n_done = 3 * FRAMES_A_STRETCH, 2 * FRAMES_A_STRETCH
    positions = np.random.default_rng(1).normal(size=(2, n_frames, 3, 2))
    plan = Plan(7, np.array([3, 5, 9]), np.array([True, True, False]), *(np.zeros((n_frames, 3)),) * 4)

    def store(key: str) -> RolloutStore:
        return RolloutStore(tmp_path, key, plan, np.zeros((3, 2)), 2, n_recorded=n_frames, dtype="float64")

    store("one").write(rolled_out(positions, 0, n_done))
    told: list[RolloutPart] = []
    store("one").write(rolled_out(positions, n_done, n_done), Monitor(told=told.append))
    assert [part.done for part in told] == [0, FRAMES_A_STRETCH]
    np.testing.assert_array_equal(np.concatenate([p.positions for p in told], axis=1), positions[:, :n_done])
    assert not caplog.records
    assert store("another").n_done == 0
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1 and f"the {n_done} frames of an interrupted simulation" in said[0]
    # Nothing is said of what had not begun.
    assert store("a third").n_done == 0 and len(caplog.records) == 1


def state_of_three() -> pd.DataFrame:
    """Frames 2 to 5; particle 1 is in the interior, but not seen in frame 4; the others are at the edge."""
    rows = [(f, p, p == 1) for f in range(2, 6) for p in range(3) if (f, p) != (4, 1)]
    table = pd.DataFrame(rows, columns=["frame", "particle", "inside"])
    numbers = {name: 1.0 for name in ("x", "y", "vx_px", "vy_px", "entropy")}
    return table.assign(boundary=~table.pop("inside"), **numbers)


def test_a_rollout_starts_where_somebody_is_inside_and_frames_are_left() -> None:
    state = state_of_three()
    for frame in (2, 3, 4):  # in frame 4 the gap of the track is bridged
        check_start(state, frame)
    with pytest.raises(UsageError, match="frame 5 has no frame left before the end at 5"):
        check_start(state, 5)
    with pytest.raises(UsageError, match="whose first frame is 2"):
        check_start(state, 1)
    with pytest.raises(InputError, match="no particle of frame 3 is two cutoffs away"):
        check_start(state.assign(boundary=True), 3)

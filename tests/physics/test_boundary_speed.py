"""Boundaries that move fast: the steps that they need, and what is said of those that nobody can follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from driven_gas import held_gas, watched_plan
from small_gas import SPACING, thermal_gas

from colloidlab.errors import RolloutStopped
from colloidlab.pipeline.simulate import _notes
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.boundary_speed import boundary_speed, distance_of_neighbours, jump_of_boundary
from colloidlab.rollout.driven import needed_steps_per_frame, roll_out


def moving(speed: float, n_frames: int = 5) -> Plan:
    """The gas whose held particles, all of them there, move along x into the others."""
    plan = held_gas(n_frames)
    r, v, S = plan.r.copy(), plan.v.copy(), plan.S.copy()
    held = ~plan.simulated
    start = held_gas(1).r[0]
    start[0] = [0.5 * SPACING, 0.5 * SPACING]
    start[1] = [1.5 * SPACING, 0.5 * SPACING]
    r[:, held] = start[held] + np.array([1.0, 0.0]) * (speed * np.arange(n_frames))[:, None, None]
    v[:, held] = [speed, 0.0]
    S[:, held] = S[0, 5]
    return replace(plan, r=r, v=v, S=S)


def jumping(distance: float) -> Plan:
    """At rest, and from the second frame to the third somewhere else: with no velocity at either."""
    plan = moving(0.0)
    r = plan.r.copy()
    r[2:, ~plan.simulated, 0] += distance
    return replace(plan, r=r)


def test_a_fast_boundary_needs_more_steps_and_a_recorded_one_does_not() -> None:
    laws = thermal_gas()
    at_rest = needed_steps_per_frame(laws, moving(0.0))
    assert needed_steps_per_frame(laws, moving(1.0)) == at_rest
    nearest = distance_of_neighbours(moving(20.0).r[0])
    for fast in (moving(20.0), jumping(20.0)):
        needed = needed_steps_per_frame(laws, fast)
        assert needed > at_rest and needed == pytest.approx(20.0 / (0.1 * nearest), rel=0.15)
    assert 0.1 < boundary_speed(watched_plan()) < 3.0


def test_what_flows_along_needs_no_more_steps() -> None:
    """A shear that the particles within take part in: neighbours stay together however fast they are."""
    plan = moving(0.0)
    v, r = plan.v.copy(), plan.r.copy()
    flow = np.stack([3 + 0.2 * plan.r[0, :, 1], np.zeros(64)], -1)
    r[:, ~plan.simulated] += flow[~plan.simulated] * np.arange(5)[:, None, None]
    v[:, ~plan.simulated] = flow[~plan.simulated]
    v[0, plan.simulated] = flow[plan.simulated]
    assert boundary_speed(replace(plan, r=r, v=v)) < 1e-9
    # Where it stands still, half of the view away and more, that is another matter.
    v[0, plan.simulated] = 0.0
    assert boundary_speed(replace(plan, r=r, v=v)) > 10


def test_one_jump_of_a_track_is_not_the_boundary() -> None:
    r = moving(0.0).r.copy()
    many = moving(0.0)
    stacked = Plan(
        0,
        np.arange(64 * 6),
        np.tile(many.simulated, 6),
        *(np.concatenate([x] * 6, axis=1) for x in (r, many.v, many.S)),
        np.ones(64 * 6),
    )
    stacked.r[3, 5] += 30.0
    assert boundary_speed(stacked) < 3.0


@pytest.mark.parametrize("plan", [moving(120.0), jumping(300.0)], ids=["fast", "jump"])
def test_a_boundary_that_drives_particles_away_is_named_as_the_cause(plan: Plan) -> None:
    with pytest.raises(RolloutStopped) as caught:
        list(roll_out(thermal_gas(friction=9.0), plan, seeds=[1], steps_per_frame=4))
    assert "boundary near it moves by up to" in str(caught.value), str(caught.value)
    assert "drive it more slowly" in str(caught.value)


def test_a_boundary_that_nobody_can_follow_is_noted() -> None:
    facts = {"temperature_identified": True}
    assert jump_of_boundary(jumping(3000.0), 200) > 0.5
    assert "no particle can follow" in _notes(4, 4, facts, jump_of_boundary(jumping(3000.0), 200))[0]
    assert not _notes(4, 4, facts, jump_of_boundary(moving(20.0), 14))

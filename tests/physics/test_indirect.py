"""Simulated scores: at the true law the data have the score of its simulations, and not the score zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from colloidlab.dataset.graph import find_pairs
from colloidlab.dataset.split import Split
from colloidlab.errors import RolloutStopped
from colloidlab.model import uncertainty
from colloidlab.model.entropy import ConstantEntropy
from colloidlab.model.filter import Filter
from colloidlab.model.score_equation import TRUST, ScoreEquation
from colloidlab.model.scores import (
    LEAD,
    Stretch,
    fitted_parameters,
    join_stretches,
    read_values,
    set_values,
    stretch_score,
    training_stretches,
)
from colloidlab.model.sequence import WindowSource, fresh_state
from colloidlab.model.uncertainty import ExpectedScore, Uncertainty, estimate_uncertainty
from colloidlab.rollout import indirect
from colloidlab.rollout.indirect import correct_laws, draw_state, expected_score, simulate_stretches
from colloidlab.synthetic.gas import Gas, Motion, gas_laws, observe, simulate_gas

GAS = Gas(n=160, heat_capacity=2000.0, wave=0.0, noise_power=0.0)
SIGMA = 0.2
"""Half of the thermal displacement per frame."""
FRAMES = 68
SPLIT = Split((0, FRAMES), (FRAMES, FRAMES), (FRAMES, FRAMES))


@pytest.fixture(scope="module")
def motion() -> Motion:
    return simulate_gas(GAS, FRAMES, seed=3)


@pytest.fixture(scope="module")
def windows(motion: Motion) -> WindowSource:
    return WindowSource(observe(motion, SIGMA, seed=3), GAS.cutoff)


@pytest.fixture
def at_truth() -> Filter:
    """The true law, of which the two amplitudes of noise are free."""
    laws = gas_laws(GAS)
    for amplitude in (laws.amplitudes.A, laws.amplitudes.B):
        amplitude.requires_grad_(True)
    start = float(laws.energy.entropy(*(torch.tensor([x]) for x in (GAS.temperature, GAS.volume))))
    return Filter(laws, ConstantEntropy(start), GAS.temperature)


def stretches(filter_: Filter, windows: WindowSource) -> list[Stretch]:
    return training_stretches(filter_, windows, SPLIT)


def test_stretches_score_every_frame_after_the_first_stretch_once(
    at_truth: Filter, windows: WindowSource
) -> None:
    block = stretches(at_truth, windows)
    scored = [
        f
        for s in block
        for f in range(s.window.frames[0] + s.lead, s.window.frames[0] + s.window.n_frames - 1)
    ]
    assert scored == list(range(20, FRAMES - 1))
    assert all(s.lead == LEAD for s in block)


def test_a_stretch_starts_where_the_filter_was(at_truth: Filter, windows: WindowSource) -> None:
    """The state at a start is that of one uninterrupted pass."""
    whole = windows(0, FRAMES)
    state = fresh_state(whole)
    block = stretches(at_truth, windows)
    starts = {s.window.frames[0]: s.start for s in block}
    for k in range(FRAMES - 1):
        if k in starts:
            assert torch.allclose(starts[k].r, state.r, atol=1e-9)
            assert torch.allclose(starts[k].vv, state.vv, atol=1e-12)
        state = at_truth.step(state, whole, k).state.detach()


def test_stretches_together_have_the_sum_of_their_scores(at_truth: Filter, windows: WindowSource) -> None:
    block = stretches(at_truth, windows)
    alone = [stretch_score(at_truth, s) for s in block]
    (joined, *rest) = [stretch_score(at_truth, s) for s in join_stretches(block)]
    assert len(join_stretches(block, least=len(block))) == len(block)
    assert len(rest) < len(block) - 1
    assert sum(float(count) for _, count in (joined, *rest)) == sum(count for _, count in alone)
    total, expected = (sum(score for score, _ in found) for found in ((joined, *rest), alone))
    assert torch.allclose(torch.as_tensor(total), torch.as_tensor(expected), rtol=1e-8)


def test_a_simulated_stretch_has_the_experiments_start_errors_and_graphs(
    at_truth: Filter, windows: WindowSource
) -> None:
    stretch = stretches(at_truth, windows)[0]
    one, same, other = (simulate_stretches(at_truth, [stretch], seed=s)[0] for s in (5, 5, 6))
    assert torch.equal(one.window.positions, same.window.positions)
    apart = (one.window.positions - other.window.positions)[:, :, 0]
    # Errors of observation and of the drawn start at first, and what the noise does to the motion later.
    assert apart[0].std() == pytest.approx(SIGMA * 2**0.5, rel=0.5)
    assert apart[20].std() > 2 * apart[0].std()
    far = (one.window.positions[0] - stretch.window.positions[0]).abs().max()
    assert far < 6 * SIGMA * 2**0.5
    for r, pairs in zip(one.window.positions, one.window.pairs, strict=True):
        assert one.window.box is not None
        expected = find_pairs(r.numpy(), GAS.cutoff * 1.06, one.window.scale.numpy(), one.window.box.numpy())
        assert np.array_equal(np.sort(pairs.numpy(), axis=0), np.sort(expected, axis=0))


def test_starts_are_drawn_from_what_the_filter_believes(at_truth: Filter, windows: WindowSource) -> None:
    """Squares of the drawn differences in units of the filter's covariance follow chi^2 with four degrees each."""
    stretch = stretches(at_truth, windows)[0]
    truth = draw_state(at_truth, stretch, torch.Generator().manual_seed(1))
    s = stretch.start
    difference = torch.cat([truth.r - s.r, truth.v - s.v], 1)
    both = torch.cat([s.rr, s.rv], 2), torch.cat([s.rv.transpose(1, 2), s.vv], 2)
    squares = torch.einsum("na,na->n", difference, torch.linalg.solve(torch.cat(both, 1), difference))
    assert float(squares.mean()) == pytest.approx(4.0, abs=4 * (8 / len(squares)) ** 0.5)


def test_particles_out_of_sight_of_their_neighbours_follow_the_experiment(
    at_truth: Filter, windows: WindowSource
) -> None:
    stretch = stretches(at_truth, windows)[0]
    complete = stretch.window.complete.clone()
    complete[:, :70] = False
    edge = replace(stretch, window=replace(stretch.window, complete=complete))
    found = simulate_stretches(at_truth, [edge], seed=5)[0].window.positions
    assert torch.equal(found[:, :70], stretch.window.positions[:, :70])
    assert bool((found[10, 70:] != stretch.window.positions[10, 70:]).all())


@pytest.mark.slow
def test_the_likelihood_is_biased_and_its_simulated_score_knows(
    at_truth: Filter, windows: WindowSource
) -> None:
    """Both distances are chi^2 of two degrees where the expected score is zero, and right: beyond 13.8 once in 1000."""
    p = len(read_values(at_truth))
    assert p == 2 and len(fitted_parameters(at_truth)) == 2
    plain = estimate_uncertainty(at_truth, windows, SPLIT, stretches=1)
    aware = estimate_uncertainty(at_truth, windows, SPLIT, stretches=1, expectation=expected_score(seed=9))
    assert plain.distance > 20
    assert aware.distance < 13.8
    # The scatter of the simulation counts, which has about as many predictions as the data.
    statistical = [
        float((u.covariance - torch.outer(u.shift, u.shift))[0, 0]) / u.overdispersion for u in (plain, aware)
    ]
    assert statistical[1] / statistical[0] == pytest.approx(2.0, rel=0.2)


@pytest.mark.slow
def test_laws_are_moved_to_the_truth(at_truth: Filter, windows: WindowSource) -> None:
    """From amplitudes a fifth too small, as the likelihood alone would have them, to within three of their errors."""
    true = read_values(at_truth)
    set_values(at_truth, true - 0.2)
    found = correct_laws(at_truth, windows, SPLIT, seed=9, rounds=1)
    error = (found.covariance - torch.outer(found.shift, found.shift)).diagonal().sqrt()
    assert bool(((read_values(at_truth) - true).abs() < 3 * error).all())
    # What adds to one number and what to the other is hard to tell apart; their sum is not.
    assert abs(float((read_values(at_truth) - true).mean())) < 0.15


def test_laws_that_lead_the_filter_out_of_all_numbers_cannot_be_simulated(
    at_truth: Filter, windows: WindowSource
) -> None:
    (stretch, *_) = training_stretches(at_truth, windows, SPLIT)
    lost = replace(stretch, start=replace(stretch.start, rr=stretch.start.rr * float("nan")))
    generator = torch.Generator().manual_seed(1)
    draw_state(at_truth, stretch, generator)
    with pytest.raises(RolloutStopped, match=f"in frame {stretch.window.frames[0]} are not finite"):
        draw_state(at_truth, lost, generator)


@pytest.mark.parametrize("good_rounds", [0, 1])
def test_laws_that_cannot_be_simulated_end_the_corrections(
    at_truth: Filter,
    windows: WindowSource,
    good_rounds: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The best of those that could be are kept; if it is the fit itself, as if nothing had been asked for."""
    plain, asked = indirect.simulate_stretches, 0

    def sometimes(*arguments: Any, **options: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked > good_rounds:
            raise RolloutStopped("particle 3 ran away")
        return plain(*arguments, **options)

    monkeypatch.setattr(indirect, "simulate_stretches", sometimes)
    before = read_values(at_truth)
    found = correct_laws(at_truth, windows, SPLIT, seed=9, rounds=3)
    assert asked == good_rounds + 1
    assert torch.equal(read_values(at_truth), before)
    assert bool(torch.isfinite(found.covariance).all()) and (found.equation is None) == (good_rounds == 0)
    assert "particle 3 ran away" in caplog.text and len(caplog.records) == 1


def test_an_expected_score_makes_an_equation(
    at_truth: Filter, windows: WindowSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is left of the data's score, with the simulation's scatter and the way from where the prior is."""
    mean = torch.tensor([0.02, -0.01, 0.0], dtype=torch.float64)

    def expectation(filter_: Filter, block: list[Stretch]) -> ExpectedScore:
        return ExpectedScore(mean, sum(stretch_score(filter_, s)[1] for s in block) / 4)

    anchor = read_values(at_truth) - torch.tensor([0.5, -0.2], dtype=torch.float64)
    plain = estimate_uncertainty(at_truth, windows, SPLIT, stretches=1)

    def estimate(expectation: Any, factor: float = 1.0) -> Uncertainty:
        overdispersed = uncertainty._overdispersion

        def more(*arguments: Any) -> Any:
            phi, inflated = overdispersed(*arguments)
            return phi * factor, inflated

        with monkeypatch.context() as patch:
            patch.setattr(uncertainty, "_overdispersion", more)
            return estimate_uncertainty(
                at_truth, windows, SPLIT, stretches=1, expectation=expectation, anchor=anchor
            )

    found, wider = estimate(expectation), estimate(expectation, 3.0)
    assert plain.equation is None and found.equation is not None and wider.equation is not None
    assert found.equation.pull.tolist() == pytest.approx([0.5, -0.2])
    torch.testing.assert_close(wider.equation.scatter, 3 * found.equation.scatter)
    torch.testing.assert_close(found.shift, found.equation.shift())
    # A quarter as long as the data: its score scatters four times as much, and errors are those of both.
    H = found.equation.information
    as_data = plain.covariance - torch.outer(plain.shift, plain.shift)
    simulated = found.covariance - torch.outer(found.shift, found.shift) - as_data
    torch.testing.assert_close(simulated, found.equation.covariance())
    both = torch.linalg.inv(H) @ found.equation.scatter @ torch.linalg.inv(H)
    torch.testing.assert_close(simulated, both, rtol=0.1, atol=0.0)
    torch.testing.assert_close(simulated, 4 * as_data, rtol=0.1, atol=0.0)


def test_the_nearest_round_is_kept_by_one_scatter_for_all(
    at_truth: Filter, windows: WindowSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last is further off, but looks near by its own scatter; the prior stays where the fit was."""
    before, anchors = read_values(at_truth), []
    scores, scatters = iter([8.0, 3.0, 4.0]), iter([1.0, 1.0, 9.0])
    one = torch.eye(2, dtype=torch.float64)
    plain = estimate_uncertainty(at_truth, windows, SPLIT, stretches=1)

    def estimate(*_: Any, anchor: torch.Tensor, **__: Any) -> Uncertainty:
        anchors.append(anchor)
        G = torch.tensor([next(scores), 0.0], dtype=torch.float64)
        return replace(plain, equation=ScoreEquation(one, next(scatters) * one, G, 0 * G))

    monkeypatch.setattr(indirect, "estimate_uncertainty", estimate)
    found = correct_laws(at_truth, windows, SPLIT, seed=1, rounds=2)
    assert len(anchors) == 3 and all(torch.equal(a, before) for a in anchors)
    assert found.equation is not None and float(found.equation.gradient[0]) == 3.0
    moved = read_values(at_truth) - before
    assert moved.tolist() == pytest.approx([TRUST, 0.0], abs=1e-4)


def test_parts_that_are_simulated_one_after_the_other_have_noise_of_their_own(
    at_truth: Filter, windows: WindowSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory goes with the number of particles at once."""
    stretch = stretches(at_truth, windows)[0]
    together = simulate_stretches(at_truth, [stretch, stretch], seed=5)
    monkeypatch.setattr(indirect, "_TOGETHER", 1)
    apart = simulate_stretches(at_truth, [stretch, stretch], seed=5)
    for pair in (together, apart):
        one, other = (s.window.positions for s in pair)
        assert float((one - other).abs().max()) > 0.1
    # The first part is what it would be alone.
    alone = simulate_stretches(at_truth, [stretch], seed=5)[0]
    last = stretch.window.n_frames - 1
    assert torch.allclose(apart[0].window.positions[:last], alone.window.positions[:last])


def test_parts_keep_their_order_and_are_no_larger_than_they_may_be() -> None:
    found = list(indirect._some_at_once([3, 1, 4, 8], [2500, 2500, 1000, 9000]))
    assert found == [[3], [1, 4], [8]]
    assert list(indirect._some_at_once([], [])) == []

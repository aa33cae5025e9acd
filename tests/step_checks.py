"""What a step by any law must satisfy, whatever the integrator, to be inherited by the tests of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from law_checks import masses
from law_configuration import DTYPE, Checks, Configuration

from colloidlab.model import brackets, response
from colloidlab.rollout.integrators import conserving, euler_maruyama
from colloidlab.rollout.integrators.dissipation import Dissipated, dissipate, parts_needed
from colloidlab.rollout.state import State


class DissipationChecks(Checks):
    """Momentum, energy, mean and covariance of what friction, heat and noise do; a bath has its part."""

    def test_every_step_keeps_momentum(self, conf: Configuration) -> None:
        r, v, S = (part.detach() for part in conf.split(conf.x))
        state = State(r, v + 1.0, S)
        m = masses(conf.laws, conf.at(r, S))
        before, given = (m * state.v).sum(0), torch.zeros(conf.dim, dtype=DTYPE)
        generator = torch.Generator().manual_seed(1)
        # Small steps: what is tested is that every pair gives and takes the same.
        dt = 1e-6
        with torch.no_grad():
            for _ in range(200):
                ev = conf.at(state.r, state.S)
                numbers = torch.randn((conf.index.shape[1], conf.dim + 1), generator=generator, dtype=DTYPE)
                noise = brackets.Noise(numbers[:, : conf.dim], numbers[:, conf.dim])
                given += brackets.bath_impulse(conf.laws, state.v, noise, dt).sum(0)
                state = euler_maruyama.step(state, conf.laws, ev, dt, noise)
        assert float((state.v - v - 1.0).abs().max()) > 1e-6
        assert float(((m * state.v).sum(0) - before - given).abs().max() / before.abs().max()) < 1e-13

    @pytest.mark.parametrize("implicit", [False, True], ids=["sweeps", "implicit"])
    def test_a_dissipative_step_has_the_moments_of_the_generator(
        self, conf: Configuration, implicit: bool
    ) -> None:
        """Mean M grad S + k_B div M and covariance 2 k_B M to first order in dt, over the noise by an exact cubature of
        third degree; and every one of its steps keeps momentum and energy."""
        r, v, S = (part.detach() for part in conf.split(conf.x))
        M = 2 * conf.laws.k_B * conf.dense(conf.x)[conf.n * conf.dim :, conf.n * conf.dim :]
        with torch.no_grad():
            ev = conf.at(r, S)
            m = masses(conf.laws, ev)
            drift = torch.cat(
                [
                    (brackets.drag_force(conf.laws, ev, v) / m).reshape(-1),
                    brackets.entropy_rate(conf.laws, ev, v),
                ]
            )
            # Such that no particle exchanges more than a thousandth of what it may in one go, at the least.
            long = 1e9
            first = 1e-3 * long / float(parts_needed(conf.laws, ev, v, long).max())
            errors = []
            for dt in (first, first / 8):
                time = torch.full((conf.n,), dt, dtype=DTYPE)
                jumps = []
                for noise in _cubature(conf):
                    done = dissipate(conf.laws, ev, v, S, time, noise, implicit=implicit)
                    jumps.append(torch.cat([(done.v - v).reshape(-1), done.S - S]))
                    self._assert_kept(conf, ev, v, done)
                jump = torch.stack(jumps)
                mean, covariance = jump.mean(0) / dt, jump.T @ jump / len(jump) / dt
                errors.append(
                    (
                        float((mean - drift).abs().max() / drift.abs().max()),
                        float((covariance - M).abs().max() / M.abs().max()),
                    )
                )
        for coarse, fine in zip(*errors, strict=True):
            assert fine < 0.02
            assert fine < coarse / 5 or coarse < 1e-6

    @staticmethod
    def _assert_kept(conf: Configuration, ev: brackets.Evaluation, v: torch.Tensor, done: Dissipated) -> None:
        """Momentum and energy are those of before, and what a bath has given."""
        after = brackets.at_entropy(conf.laws, ev, done.S)
        first, last = (
            sum(part.sum() for part in brackets.total_energy(conf.laws, e, u))
            for e, u in ((ev, v), (after, done.v))
        )
        scale = sum(float(part.abs().sum()) for part in brackets.total_energy(conf.laws, ev, v))
        assert abs(float(last - first - done.bath_energy.sum())) < 1e-13 * scale
        m = masses(conf.laws, ev)
        missing = (m * (done.v - v)).sum(0) - done.bath_momentum.sum(0)
        assert float(missing.abs().max()) < 1e-14 * float((m * done.v).abs().sum())


class StepChecks(DissipationChecks):
    """The same of a whole step of laws without a bath."""

    def test_the_whole_step_has_the_moments_of_the_equations(self, conf: Configuration) -> None:
        """Mean L grad E + M grad S + k_B div M and covariance 2 k_B M of r, v and S to first order in dt, as above."""
        r, v, S = (part.detach() for part in conf.split(conf.x))
        covariance = 2 * conf.laws.k_B * conf.dense(conf.x)
        with torch.no_grad():
            start = conf.at(r, S)
            accelerated = brackets.acceleration(conf.laws, start, v)
            drifts = {"r": v, "v": accelerated, "S": brackets.entropy_rate(conf.laws, start, v)}
            stiffness = torch.linalg.eigvalsh(response.self_stiffness(start)).abs().max() / conf.laws.mass
            long = 1e9
            by_friction = 1e-3 * long / float(parts_needed(conf.laws, start, v, long).max())
            first = 0.1 * min(by_friction, 1e-3 / float(stiffness.sqrt() + 1))
            errors = []
            for dt in (first, first / 8):
                jumps: dict[str, list[torch.Tensor]] = {name: [] for name in drifts}
                for noise in _cubature(conf):
                    done = conserving.step(
                        State(r, v, S), conf.laws, start, conf.at, dt, lambda *_, n=noise: n
                    )
                    assert done.given.parts == 1
                    for name, before in (("r", r), ("v", v), ("S", S)):
                        jumps[name].append((getattr(done.state, name) - before).reshape(-1))
                means = {name: torch.stack(found).mean(0) / dt for name, found in jumps.items()}
                found = torch.cat([torch.stack(jumps[name]) for name in drifts], dim=1)
                products = found.T @ found / len(found) / dt
                errors.append(
                    [
                        *(
                            float((means[name] - drift.reshape(-1)).abs().max() / drift.abs().max())
                            for name, drift in drifts.items()
                        ),
                        float((products - covariance).abs().max() / covariance.abs().max()),
                    ]
                )
        for coarse, fine in zip(*errors, strict=True):
            assert fine < 0.02
            assert fine < coarse / 5 or coarse < 1e-6

    def test_the_whole_step_keeps_momentum_and_makes_the_energy_of_velocity_verlet(
        self, conf: Configuration
    ) -> None:
        """Momentum to round-off with all forces, noise and heat; energy to third order in dt, by forces and drift."""
        r, v, S = (part.detach() for part in conf.split(conf.x))
        numbers = _numbers(conf)
        made = []
        with torch.no_grad():
            start = conf.at(r, S)
            stiffness = torch.linalg.eigvalsh(response.self_stiffness(start)).abs().max() / conf.laws.mass
            first = 0.003 / float(stiffness.sqrt() + 1)
            before = _energy(conf, start, v)
            for dt in (first / 2, first / 4):
                done = conserving.step(
                    State(r, v, S), conf.laws, start, conf.at, dt, lambda pairs, part, attempt: numbers
                )
                after = done.state
                assert float((after.v - v).abs().max()) > 1e-6 and float((after.S - S).abs().max()) > 1e-6
                m = masses(conf.laws, start)
                assert float((m * (after.v - v)).sum(0).abs().max()) < 1e-14 * float(
                    (m * after.v).abs().sum()
                )
                made.append(_energy(conf, done.mechanics, after.v) - before)
        # Third order is a factor of eight, less what the fourth adds.
        assert abs(made[1]) < abs(made[0]) / 6

    def test_a_step_seen_from_elsewhere_is_the_same(self, conf: Configuration) -> None:
        """Turned, reflected and moved on together with its noise, in the open; the strain of a solid is none of it."""
        r, v, S = (part.detach() for part in conf.split(conf.x))
        numbers = _numbers(conf)
        q = torch.eye(conf.dim, dtype=DTYPE)
        if conf.box is None:
            q, _ = torch.linalg.qr(_numbers(conf, 2).impulse[: conf.dim].T)
            q = q * torch.tensor([-1.0] + [1.0] * (conf.dim - 1), dtype=DTYPE)
        boost, dt = torch.arange(1.0, conf.dim + 1, dtype=DTYPE), 1e-3
        turned = brackets.Noise(numbers.impulse @ q.T, numbers.heat)
        with torch.no_grad():
            ends = [
                conserving.step(
                    state, conf.laws, conf.at(state.r, S), conf.at, dt, lambda *_, n=noise: n
                ).state
                for state, noise in (
                    (State(r, v, S), numbers),
                    (State(r @ q.T + 3.0, v @ q.T + boost, S), turned),
                )
            ]
        for found, expected, moved in (
            (ends[1].r, ends[0].r @ q.T + 3.0 + dt * boost, r),
            (ends[1].v, ends[0].v @ q.T + boost, v),
            (ends[1].S, ends[0].S, S),
        ):
            assert float((found - expected).abs().max()) < 1e-11 * float(1 + moved.abs().max())

    def test_forces_turn_nothing(self, conf: Configuration) -> None:
        """sum r x F = 0: angular momentum changes by the noise and the friction across the line of centres alone."""
        if conf.box is not None:
            pytest.skip("a periodic box has no centre")
        r, _, S = (part.detach() for part in conf.split(conf.x))
        with torch.no_grad():
            moment = r.T @ conf.at(r, S).force
            scale = float(conf.at(r, S).force.abs().sum())
        assert float((moment - moment.T).abs().max()) < 1e-13 * scale

    @pytest.mark.parametrize("implicit", [False, True], ids=["sweeps", "implicit"])
    def test_single_precision_loses_its_last_digits_only(self, conf: Configuration, implicit: bool) -> None:
        """Momentum and energy of the dissipative step, in sums of double precision; and the outcome itself."""
        ends = []
        for dtype in (torch.float32, DTYPE):
            here = conf.to(dtype)
            r, v, S = (part.detach() for part in here.split(here.x))
            noise = brackets.Noise(
                *(part.to(dtype) for part in (_numbers(conf).impulse, _numbers(conf).heat))
            )
            with torch.no_grad():
                ev = here.at(r, S)
                dt = 0.1 / float(parts_needed(here.laws, ev, v, 1.0).max())
                done = dissipate(here.laws, ev, v, S, torch.full_like(S, dt), noise, implicit=implicit)
                change = _energy(here, brackets.at_entropy(here.laws, ev, done.S), done.v) - _energy(
                    here, ev, v
                )
                scale = sum(float(part.abs().sum()) for part in brackets.total_energy(here.laws, ev, v))
            digits = torch.finfo(dtype).eps
            assert done.v.dtype == done.S.dtype == dtype
            assert abs(change) < 30 * digits * scale
            m = masses(here.laws, ev)
            lost = (m * (done.v - v).to(DTYPE)).sum(0)
            assert float(lost.abs().max()) < 30 * digits * float((m * v).abs().sum())
            ends.append(torch.cat([done.v, done.S[:, None]], dim=1).to(DTYPE))
        assert torch.allclose(ends[0], ends[1], rtol=1e-4, atol=1e-4)


def _numbers(conf: Configuration, seed: int = 1) -> brackets.Noise:
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn((conf.index.shape[1], conf.dim + 1), generator=generator, dtype=DTYPE)
    return brackets.Noise(numbers[:, : conf.dim], numbers[:, conf.dim])


def _energy(conf: Configuration, there: brackets.Mechanics, v: torch.Tensor) -> float:
    return sum(float(part.to(DTYPE).sum()) for part in brackets.total_energy(conf.laws, there, v))


def _cubature(conf: Configuration) -> Iterator[brackets.Noise]:
    """Noise whose means over all that is yielded are those of normal numbers up to the third degree."""
    n_pairs = conf.index.shape[1]
    count = n_pairs * (conf.dim + 1)
    for k in range(count):
        for sign in (1, -1):
            numbers = torch.zeros(count, dtype=DTYPE)
            numbers[k] = sign * count**0.5
            numbers = numbers.reshape(n_pairs, conf.dim + 1)
            yield brackets.Noise(numbers[:, : conf.dim], numbers[:, conf.dim])

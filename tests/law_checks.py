"""What every law must satisfy, to be inherited by the tests of each: `LawChecks` of the whole, then of its parts.

The generator is compared with a dense metriplectic matrix built from unit noises and finite differences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from colloidlab.dataset.graph import find_pairs
from colloidlab.model import brackets, response
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.species import pair_kind
from colloidlab.model.strain import Reference, measure_strain, reference_neighbourhoods
from colloidlab.rollout.integrators import euler_maruyama
from colloidlab.rollout.integrators.dissipation import Dissipated, dissipate, parts_needed
from colloidlab.rollout.state import State

DTYPE = torch.float64


class Configuration:
    """A few particles, all interacting, as a flat vector x = (r, v, S).

    Solids are given a reference that differs from the positions, mixtures one species after the other.
    """

    def __init__(self, laws: Laws, dim: int, *, periodic: bool, n_species: int = 1, seed: int = 0) -> None:
        self.n = n = dim + 2
        rng = np.random.default_rng(seed)
        self.dim, self.laws = dim, laws
        self.scale = torch.tensor(rng.uniform(0.8, 1.2, n), dtype=DTYPE)
        self.box = torch.full((dim,), 1.7, dtype=DTYPE) if periodic else None
        r = rng.uniform(0, 0.55, (n, dim)) + (1.4 if periodic else 0.0)  # straddles the border of the box
        v, S = rng.normal(size=(n, dim)), rng.normal(size=n)
        self.x = torch.tensor(np.concatenate([r.ravel(), v.ravel(), S]), dtype=DTYPE)
        index = find_pairs(r, 1.0, self.scale.numpy(), None if self.box is None else self.box.numpy())
        assert index.shape[1] == n * (n - 1) // 2
        self.index = torch.tensor(index)
        self.species = torch.arange(n) % n_species if n_species > 1 else None
        self.reference: Reference | None = None
        if laws.shear is not None:
            before = torch.tensor(r + 0.05 * rng.normal(size=r.shape), dtype=DTYPE)
            self.reference = reference_neighbourhoods(before, self.index, 1.0, box=self.box)

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        k = self.n * self.dim
        return x[:k].reshape(self.n, self.dim), x[k : 2 * k].reshape(self.n, self.dim), x[2 * k :]

    def at(
        self,
        r: torch.Tensor,
        S: torch.Tensor,
        *,
        index: torch.Tensor | None = None,
        reference: Reference | None = None,
        order: torch.Tensor | None = None,
    ) -> brackets.Evaluation:
        """The laws at positions r; in another order of the particles, or of the ends of the pairs, where given."""
        index = self.index if index is None else index
        scale, species = self.scale, self.species
        if order is not None:
            scale = scale[order]
            species = None if species is None else species[order]
        kind = None
        if species is not None:
            kind = pair_kind(species[index[0]], species[index[1]], int(species.max()) + 1)
        pairs: Pairs = pair_geometry(r, index, self.laws.cutoff, scale, self.box, kind)
        reference = self.reference if reference is None else reference
        shape = None if reference is None else measure_strain(reference, r)
        return brackets.evaluate(self.laws, pairs, S, strain=shape)

    def evaluate(self, x: torch.Tensor) -> tuple[brackets.Evaluation, torch.Tensor]:
        r, v, S = self.split(x)
        return self.at(r, S), v

    def energy(self, x: torch.Tensor) -> torch.Tensor:
        ev, v = self.evaluate(x)
        kinetic, internal = brackets.total_energy(self.laws, ev, v)
        return (kinetic + internal).sum()

    def noise_matrix(self, x: torch.Tensor) -> torch.Tensor:
        """Columns: response of (r, v, S) to each unit noise with 2 k_B dt = 1, so that M = B B^T."""
        ev, v = self.evaluate(x)
        columns, n_pairs = [], self.index.shape[1]
        dt = 1 / (2 * self.laws.k_B)
        for k in range(n_pairs * (self.dim + 1)):
            flat = torch.zeros(n_pairs * (self.dim + 1), dtype=DTYPE)
            flat[k] = 1
            noise = brackets.Noise(
                flat[: n_pairs * self.dim].reshape(n_pairs, self.dim), flat[n_pairs * self.dim :]
            )
            dv, dS = brackets.noise_increment(self.laws, ev, v, noise, dt)
            columns.append(torch.cat([torch.zeros(self.n * self.dim, dtype=DTYPE), dv.reshape(-1), dS]))
        return torch.stack(columns, dim=1)

    def dense(self, x: torch.Tensor) -> torch.Tensor:
        B = self.noise_matrix(x)
        return (B @ B.T).detach()


def gradient(f: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    y = x.clone().requires_grad_(True)
    return torch.autograd.grad(f(y), y)[0]


def bath_acceleration(laws: Laws, v: torch.Tensor) -> torch.Tensor:
    """What the drag of a bath does, noise left out; zero without a bath."""
    return brackets.bath_increment(laws, v, brackets.Noise(v, v), 1.0)


def moved(laws: Laws, ev: brackets.Evaluation, v: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Everything that the generator makes of a state: acceleration without a bath's, entropy rate, covariances."""
    a = brackets.acceleration(laws, ev, v) - bath_acceleration(laws, v)
    return a, brackets.entropy_rate(laws, ev, v), *brackets.marginal_covariance(laws, ev, v)


@pytest.mark.parametrize(
    ("dim", "periodic"),
    [(2, False), (2, True), (3, False), (3, True)],
    ids=["2d-open", "2d-box", "3d-open", "3d-box"],
)
class LawChecks:
    """Checks of whole laws at random parameters, for 2D and 3D, open and periodic.

    Who inherits them makes the laws, with a cutoff of 1, and says of how many species they are.
    """

    n_species = 1
    ends_smoothly = True

    def make(self, dim: int, seed: int) -> Laws:
        raise NotImplementedError

    @pytest.fixture
    def conf(self, dim: int, periodic: bool) -> Configuration:
        seed = dim + 10 * periodic
        return Configuration(
            self.make(dim, seed), dim, periodic=periodic, n_species=self.n_species, seed=seed
        )

    def test_energy_is_degenerate_in_m_and_m_is_positive(self, conf: Configuration) -> None:
        M = conf.dense(conf.x)
        dE = gradient(conf.energy, conf.x)
        assert (M @ dE).abs().max() <= 1e-12 * M.abs().max() * dE.abs().max()
        eigenvalues = torch.linalg.eigvalsh(M)
        assert eigenvalues[0] >= -1e-12 * eigenvalues[-1]
        dS = torch.zeros_like(conf.x)
        dS[-conf.n :] = 1
        assert dS @ M @ dS > 0

    def test_force_is_minus_gradient_of_energy(self, conf: Configuration) -> None:
        dE = gradient(conf.energy, conf.x)[: conf.n * conf.dim]
        ev, _ = conf.evaluate(conf.x)
        assert torch.allclose(ev.force.reshape(-1), -dE, rtol=1e-11, atol=1e-12)

    def test_drift_is_m_grad_s_plus_divergence(self, conf: Configuration) -> None:
        """Friction, conduction and all Itô terms: M dS/dx + k_B div M, with div M by central differences."""
        n_x = conf.x.numel()
        dS_dx = torch.zeros(n_x, dtype=DTYPE)
        dS_dx[-conf.n :] = 1
        divergence = torch.zeros(n_x, dtype=DTYPE)
        step = 1e-5
        for k in range(n_x):
            up, down = conf.x.clone(), conf.x.clone()
            up[k] += step
            down[k] -= step
            divergence += (conf.dense(up)[:, k] - conf.dense(down)[:, k]) / (2 * step)
        expected = conf.dense(conf.x) @ dS_dx + conf.laws.k_B * divergence
        ev, v = conf.evaluate(conf.x)
        m = conf.laws.mass
        dv = brackets.friction_force(ev, v) / m
        dS = brackets.entropy_rate(conf.laws, ev, v)
        found = torch.cat([torch.zeros(conf.n * conf.dim, dtype=DTYPE), dv.reshape(-1), dS]).detach()
        assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()

    def test_marginal_covariance_is_the_diagonal_block(self, conf: Configuration) -> None:
        M = 2 * conf.laws.k_B * conf.dense(conf.x)
        ev, v = conf.evaluate(conf.x)
        vv, vS, SS = brackets.marginal_covariance(conf.laws, ev, v)
        k = conf.n * conf.dim
        bath = conf.laws.bath
        alone = 0.0 if bath is None else bath.noise_strength(conf.laws.k_B) / conf.laws.mass**2
        eye = torch.eye(conf.dim, dtype=DTYPE)
        for i in range(conf.n):
            rows = slice(k + i * conf.dim, k + (i + 1) * conf.dim)
            assert torch.allclose(M[rows, rows] + alone * eye, vv[i], rtol=1e-10, atol=1e-12)
            assert torch.allclose(M[rows, 2 * k + i], vS[i], rtol=1e-10, atol=1e-12)
            assert torch.allclose(M[2 * k + i, 2 * k + i], SS[i], rtol=1e-10, atol=1e-12)

    def test_stiffness_is_second_derivative_of_energy(self, conf: Configuration) -> None:
        hessian = torch.autograd.functional.hessian(conf.energy, conf.x)
        ev, _ = conf.evaluate(conf.x)
        found = response.self_stiffness(ev)
        trace = found.diagonal(dim1=1, dim2=2).mean(1)
        assert torch.allclose(response.LinearResponse(conf.laws, ev).mean_self_stiffness(), trace, rtol=1e-12)
        drag = response.self_friction(conf.laws, ev).diagonal(dim1=1, dim2=2).mean(1)
        assert torch.allclose(response.LinearResponse(conf.laws, ev).mean_self_friction(), drag, rtol=1e-12)
        for i in range(conf.n):
            rows = slice(i * conf.dim, (i + 1) * conf.dim)
            assert torch.allclose(found[i], hessian[rows, rows], rtol=1e-9, atol=1e-9)

    def test_force_rate_is_minus_hessian_times_velocity(self, conf: Configuration) -> None:
        hessian = torch.autograd.functional.hessian(conf.energy, conf.x)
        ev, v = conf.evaluate(conf.x)
        k = conf.n * conf.dim
        expected = -(hessian[:k, :k] @ v.reshape(-1))
        linear = response.LinearResponse(conf.laws, ev)
        found = linear.force(v, torch.zeros_like(v)).reshape(-1)
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9)
        drag = linear.force(torch.zeros_like(v), v)
        assert torch.allclose(drag, brackets.drag_force(conf.laws, ev, v), rtol=1e-12, atol=1e-14)

    def test_exchange_of_the_two_ends_of_every_pair(self, conf: Configuration) -> None:
        r, v, S = conf.split(conf.x)
        first, _ = conf.evaluate(conf.x)
        self._assert_same(
            moved(conf.laws, first, v), moved(conf.laws, conf.at(r, S, index=conf.index.flip(0)), v)
        )

    def test_all_momentum_goes_to_the_bath(self, conf: Configuration) -> None:
        ev, v = conf.evaluate(conf.x)
        a = brackets.acceleration(conf.laws, ev, v) - bath_acceleration(conf.laws, v)
        assert float(a.detach().sum(0).abs().max()) <= 1e-12 * float(a.detach().abs().max())

    def test_all_energy_goes_to_the_bath(self, conf: Configuration) -> None:
        """Mean rate of the total energy, grad E . drift + 1/2 tr(d2E 2 k_B M): zero, or what drag and noise of a bath give.

        M grad E = 0 holds for the noises of pairs; those of a bath are none that keep energy.
        """
        laws = conf.laws
        ev, v = conf.evaluate(conf.x)
        vv, _, SS = brackets.marginal_covariance(laws, ev, v)
        terms = [
            -(ev.force * v).sum(1),
            laws.mass * (v * brackets.acceleration(laws, ev, v)).sum(1),
            ev.thermo.T * brackets.entropy_rate(laws, ev, v),
            0.5 * laws.mass * vv.diagonal(dim1=1, dim2=2).sum(1),
            0.5 * ev.thermo.T * ev.thermo.inv_c * SS,
        ]
        gained = torch.zeros((), dtype=DTYPE)
        if laws.bath is not None:
            noise = laws.bath.noise_strength(laws.k_B) / laws.mass
            gained = (0.5 * conf.dim * noise - laws.bath.friction * (v**2).sum(1)).sum()
        rate, scale = (sum(float(f(t.detach())) for t in terms) for f in (torch.sum, lambda t: t.abs().sum()))
        assert abs(rate - float(gained)) <= 1e-12 * scale

    def test_a_common_velocity_moves_nothing(self, conf: Configuration) -> None:
        """But the drag of a bath, which is at rest."""
        ev, v = conf.evaluate(conf.x)
        self._assert_same(moved(conf.laws, ev, v), moved(conf.laws, ev, v + 3.0))

    @pytest.mark.parametrize("proper", [True, False], ids=["rotation", "reflection"])
    def test_turned_or_mirrored_everything_turns_along(self, conf: Configuration, proper: bool) -> None:
        """By any matrix, and moved as well; in a cube by one that keeps its axes."""
        q = torch.roll(torch.eye(conf.dim, dtype=DTYPE), 1, 0)
        if conf.box is None:
            numbers = torch.Generator().manual_seed(1)
            q, _ = torch.linalg.qr(torch.randn(conf.dim, conf.dim, dtype=DTYPE, generator=numbers))
        if (float(torch.linalg.det(q)) > 0) != proper:
            q = q * torch.tensor([-1.0] + [1.0] * (conf.dim - 1), dtype=DTYPE)
        r, v, S = conf.split(conf.x)
        first, _ = conf.evaluate(conf.x)
        a, rate, vv, vS, SS = moved(conf.laws, first, v)
        found = moved(conf.laws, conf.at(r @ q.T + 5.0, S), v @ q.T)
        self._assert_same((a @ q.T, rate, q @ vv @ q.T, vS @ q.T, SS), found)

    @staticmethod
    def _assert_same(expected: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> None:
        for one, other in zip(expected, found, strict=True):
            assert float((one - other).detach().abs().max()) <= 1e-10 * float(one.detach().abs().max())

    def test_relabelling_moves_nothing(self, conf: Configuration) -> None:
        r, v, S = conf.split(conf.x)
        order = torch.arange(conf.n - 1, -1, -1)
        index = conf.n - 1 - conf.index.flip(0)
        reference = None
        if conf.reference is not None:
            old = conf.reference
            reference = Reference(
                *(conf.n - 1 - k for k in (old.i, old.j)),
                *(old.coefficient_i, old.coefficient_j, old.own[order], old.spans[order], old.box),
            )
        first, _ = conf.evaluate(conf.x)
        second = conf.at(r[order], S[order], index=index, reference=reference, order=order)
        for f in (brackets.acceleration, brackets.entropy_rate):
            expected, found = f(conf.laws, first, v)[order], f(conf.laws, second, v[order])
            assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()

    def test_reversible_motion_keeps_energy_and_entropy(self, conf: Configuration) -> None:
        """L grad S = 0, as S does not move, and grad E L grad E = 0."""
        ev, v = conf.evaluate(conf.x)
        dE = gradient(conf.energy, conf.x)
        flow = torch.cat([v.reshape(-1), (ev.force / conf.laws.mass).reshape(-1), torch.zeros_like(ev.theta)])
        flow = flow.detach()
        assert abs(float(dE @ flow)) <= 1e-12 * float((dE * flow).abs().sum())

    def test_sampled_noise_has_the_covariance_of_m(self, conf: Configuration) -> None:
        """Mahalanobis square of 400 draws of all pair noises, in the range of 2 k_B M dt."""
        draws, dt = 400, 0.3
        ev, v = conf.evaluate(conf.x)
        M = 2 * conf.laws.k_B * dt * conf.dense(conf.x)[conf.n * conf.dim :, conf.n * conf.dim :]
        values, vectors = torch.linalg.eigh(M)
        kept = values > 1e-10 * values[-1]
        generator = torch.Generator().manual_seed(5)
        total = 0.0
        for _ in range(draws):
            numbers = torch.randn((conf.index.shape[1], conf.dim + 1), generator=generator, dtype=DTYPE)
            noise = brackets.Noise(numbers[:, : conf.dim], numbers[:, conf.dim])
            dv, dS = brackets.noise_increment(conf.laws, ev, v, noise, dt)
            along = vectors[:, kept].T @ torch.cat([dv.reshape(-1), dS]).detach()
            total += float((along**2 / values[kept]).sum())
        assert 1e-3 < chi2.sf(total, draws * int(kept.sum())) < 1 - 1e-3

    def test_every_step_keeps_momentum(self, conf: Configuration) -> None:
        r, v, S = (part.detach() for part in conf.split(conf.x))
        state = State(r, v + 1.0, S)
        before, given = state.v.sum(0), torch.zeros(conf.dim, dtype=DTYPE)
        generator = torch.Generator().manual_seed(1)
        # Small steps: what is tested is that every pair gives and takes the same.
        dt = 1e-6
        with torch.no_grad():
            for _ in range(200):
                ev = conf.at(state.r, state.S)
                numbers = torch.randn((conf.index.shape[1], conf.dim + 1), generator=generator, dtype=DTYPE)
                noise = brackets.Noise(numbers[:, : conf.dim], numbers[:, conf.dim])
                given += brackets.bath_increment(conf.laws, state.v, noise, dt).sum(0)
                state = euler_maruyama.step(state, conf.laws, ev, dt, noise)
        assert float((state.v - v - 1.0).abs().max()) > 1e-6
        assert float((state.v.sum(0) - before - given).abs().max() / before.abs().max()) < 1e-13

    @pytest.mark.parametrize("implicit", [False, True], ids=["sweeps", "implicit"])
    def test_a_dissipative_step_has_the_moments_of_the_generator(
        self, conf: Configuration, implicit: bool
    ) -> None:
        """Mean M grad S + k_B div M and covariance 2 k_B M to first order in dt, over the noise by an exact cubature of
        third degree; and every one of its steps keeps momentum and energy."""
        r, v, S = (part.detach() for part in conf.split(conf.x))
        n_pairs, m = conf.index.shape[1], conf.laws.mass
        M = 2 * conf.laws.k_B * conf.dense(conf.x)[conf.n * conf.dim :, conf.n * conf.dim :]
        with torch.no_grad():
            ev = conf.at(r, S)
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
                for k in range(n_pairs * (conf.dim + 1)):
                    for sign in (1, -1):
                        numbers = torch.zeros(n_pairs * (conf.dim + 1), dtype=DTYPE)
                        numbers[k] = sign * len(numbers) ** 0.5
                        numbers = numbers.reshape(n_pairs, conf.dim + 1)
                        noise = brackets.Noise(numbers[:, : conf.dim], numbers[:, conf.dim])
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
        missing = conf.laws.mass * (done.v - v).sum(0) - done.bath_momentum.sum(0)
        assert float(missing.abs().max()) < 1e-14 * conf.laws.mass * float(done.v.abs().sum())

    def test_forces_and_noise_vanish_smoothly_at_the_cutoff(self, conf: Configuration) -> None:
        if not self.ends_smoothly:
            pytest.skip("the published forms jump at the cutoff; they are kept as they are")
        scale, S = torch.ones(2, dtype=DTYPE), torch.zeros(2, dtype=DTYPE)
        v = torch.zeros((2, conf.dim), dtype=DTYPE)
        v[0, 0], v[1, 0] = 1.0, -1.0
        kind = None if conf.species is None else torch.tensor([1])

        def radial(distance: float) -> np.ndarray:
            r = torch.zeros((2, conf.dim), dtype=DTYPE)
            r[1, 0] = distance
            pairs = pair_geometry(r, torch.tensor([[0], [1]]), 1.0, scale, kind=kind)
            fluid = Laws(
                conf.laws.kernel, conf.laws.energy, conf.laws.amplitudes, 1.0, potential=conf.laws.potential
            )
            ev = brackets.evaluate(fluid, pairs, S)
            both = (ev.force[0, 0], brackets.friction_force(ev, v)[0, 0], ev.k_par[0], ev.amplitudes.C2[0])
            return torch.stack(both).detach().numpy()

        step = 1e-4
        inside = radial(1 - step)
        assert np.all(inside != 0)
        assert np.all(np.abs(inside) < 1000 * step**2)  # value and slope go to zero
        assert np.all(radial(1 + step) == 0)


class KernelChecks:
    """Checks of W(x)."""

    def make(self, seed: int) -> Any:
        raise NotImplementedError

    @pytest.mark.parametrize("seed", range(3))
    def test_derivatives_and_sign(self, seed: int) -> None:
        kernel = self.make(seed)
        x = torch.linspace(0.01, 0.99, 60, dtype=DTYPE).requires_grad_(True)
        found = kernel(x)
        (dw,) = torch.autograd.grad(found.w.sum(), x, create_graph=True)
        (d2w,) = torch.autograd.grad(dw.sum(), x)
        for one, other in ((found.dw, dw), (found.d2w, d2w)):
            assert float((one - other).detach().abs().max()) <= 1e-9 * float(other.detach().abs().max())
        assert float(found.w.detach().min()) >= 0
        zero = kernel(torch.zeros(1, dtype=DTYPE)).w
        assert float((zero - kernel.at_zero()).detach().abs().max()) <= 1e-12 * float(zero.detach())


class EnergyChecks:
    """Checks of U(S, V); `states` gives entropies and volumes at which it is meant to be used.

    Of an energy of `one_temperature` S moves only U, and c is infinite.
    """

    one_temperature = False

    def make(self, seed: int) -> Any:
        raise NotImplementedError

    def states(self) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(0)
        return torch.as_tensor(rng.normal(size=50)), torch.as_tensor(rng.uniform(0.2, 0.9, 50))

    @pytest.mark.parametrize("seed", range(3))
    def test_thermodynamics(self, seed: int) -> None:
        """T = dU/dS > 0, P = -dU/dV, c = T/(dT/dS) > 0, P_V = dP/dV, and entropy(T, V) goes back."""
        energy = self.make(seed)
        S, V = (part.clone().requires_grad_(True) for part in self.states())
        found = energy(S, V)
        T, minus_p = torch.autograd.grad(found.U.sum(), (S, V), create_graph=True)
        (T_S,) = torch.autograd.grad(T.sum(), S, retain_graph=True, materialize_grads=True)
        (minus_p_v,) = torch.autograd.grad(minus_p.sum(), V)
        pairs = ((found.T, T), (found.P, -minus_p), (found.inv_c * found.T, T_S), (found.P_V, -minus_p_v))
        for one, other in pairs:
            assert float((one - other).detach().abs().max()) <= 1e-8 * float(other.detach().abs().max())
        assert float(T.detach().min()) > 0
        assert bool((T_S == 0).all()) if self.one_temperature else float(T_S.min()) > 0
        again = energy(energy.entropy(T.detach(), V.detach()), V.detach()).T
        assert torch.allclose(again, T.detach(), rtol=1e-9)


class AmplitudeChecks:
    """Checks of A^2, B^2 and C^2."""

    def make(self, seed: int) -> Any:
        raise NotImplementedError

    @pytest.mark.parametrize("seed", range(3))
    def test_a_product_over_the_two_ends_with_its_derivatives(self, seed: int) -> None:
        amplitudes = self.make(seed)
        rng = np.random.default_rng(seed)
        x, first, second = (torch.as_tensor(rng.uniform(a, b, 40)) for a, b in ((0, 1), (0.8, 2), (0.8, 2)))
        first, second = first.requires_grad_(True), second.requires_grad_(True)
        found, turned = amplitudes(x, first, second), amplitudes(x, second, first)
        same, other = amplitudes(x, first, first), amplitudes(x, second, second)
        for name in ("A2", "B2", "C2"):
            square = getattr(found, name)
            assert torch.allclose(square, getattr(turned, name), rtol=1e-12)
            assert torch.allclose(square**2, getattr(same, name) * getattr(other, name), rtol=1e-9)
            assert float(square.detach().min()) >= 0
            slopes = torch.autograd.grad(square.sum(), (first, second), retain_graph=True)
            for end, slope in zip("ij", slopes, strict=True):
                given = getattr(found, f"{name}_{end}")
                largest = float(slope.abs().max())
                assert float((given - slope).detach().abs().max()) <= 1e-9 * largest + 1e-300

"""The generator against a dense metriplectic matrix built from unit noises and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from colloidlab.dataset.graph import find_pairs
from colloidlab.model import brackets, response
from colloidlab.model.energy import SumOfExponentials
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.published import PublishedLaws

DTYPE = torch.float64


def random_laws(seed: int, k_B: float = 0.7, mass: float = 1.3) -> Laws:
    g = torch.Generator().manual_seed(seed)

    def normal(n: int) -> list[float]:
        return (0.3 * torch.randn(n, generator=g)).tolist()

    kernel = RadialKernel(3)
    with torch.no_grad():
        kernel.coefficients.copy_(torch.tensor(normal(3)))
    energy = SumOfExponentials([2.0, 1.0], [5.0, 9.0], [0.4, 0.8], [0.5], [2.0], reference_volume=0.4)
    amplitudes = PowerLawAmplitudes(
        normal(4), normal(4), normal(2), (1.1, 0.7, 1.6), reference_temperature=1.2
    )
    return Laws(kernel, energy, amplitudes, cutoff=1.0, mass=mass, k_B=k_B)


def random_published(dim: int, seed: int) -> Laws:
    torch.manual_seed(seed)
    return PublishedLaws([12, 12], 1.0, dim, mass=1.3, k_B=0.05)


class Configuration:
    """A few particles, all interacting, as a flat vector x = (r, v, S)."""

    def __init__(self, dim: int, periodic: bool, form: str, seed: int = 0, n: int = 4) -> None:
        rng = np.random.default_rng(seed)
        self.dim, self.n = dim, n
        self.laws = random_laws(seed) if form == "fitted" else random_published(dim, seed)
        self.scale = torch.tensor(rng.uniform(0.8, 1.2, n), dtype=DTYPE)
        self.box = torch.full((dim,), 1.7, dtype=DTYPE) if periodic else None
        r = rng.uniform(0, 0.55, (n, dim)) + (1.4 if periodic else 0.0)  # straddles the border of the box
        v, S = rng.normal(size=(n, dim)), rng.normal(size=n)
        self.x = torch.tensor(np.concatenate([r.ravel(), v.ravel(), S]), dtype=DTYPE)
        index = find_pairs(r, 1.0, self.scale.numpy(), None if self.box is None else self.box.numpy())
        assert index.shape[1] == n * (n - 1) // 2
        self.index = torch.tensor(index)

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        k = self.n * self.dim
        return x[:k].reshape(self.n, self.dim), x[k : 2 * k].reshape(self.n, self.dim), x[2 * k :]

    def evaluate(self, x: torch.Tensor) -> tuple[brackets.Evaluation, torch.Tensor]:
        r, v, S = self.split(x)
        pairs: Pairs = pair_geometry(r, self.index, self.laws.cutoff, self.scale, self.box)
        return brackets.evaluate(self.laws, pairs, S), v

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


@pytest.fixture(params=["fitted", "published"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(
    params=[(2, False), (2, True), (3, False), (3, True)], ids=["2d-open", "2d-box", "3d-open", "3d-box"]
)
def conf(request: pytest.FixtureRequest, form: str) -> Configuration:
    dim, periodic = request.param
    return Configuration(dim, periodic, form, seed=dim + 10 * periodic)


def gradient(f, x: torch.Tensor) -> torch.Tensor:
    y = x.clone().requires_grad_(True)
    return torch.autograd.grad(f(y), y)[0]


def test_energy_is_degenerate_in_m_and_m_is_positive(conf: Configuration) -> None:
    M = conf.dense(conf.x)
    dE = gradient(conf.energy, conf.x)
    assert (M @ dE).abs().max() <= 1e-12 * M.abs().max() * dE.abs().max()
    eigenvalues = torch.linalg.eigvalsh(M)
    assert eigenvalues[0] >= -1e-12 * eigenvalues[-1]
    dS = torch.zeros_like(conf.x)
    dS[-conf.n :] = 1
    assert dS @ M @ dS > 0


def test_force_is_minus_gradient_of_energy(conf: Configuration) -> None:
    dE = gradient(conf.energy, conf.x)[: conf.n * conf.dim]
    ev, _ = conf.evaluate(conf.x)
    assert torch.allclose(ev.force.reshape(-1), -dE, rtol=1e-11, atol=1e-12)


def test_drift_is_m_grad_s_plus_divergence(conf: Configuration) -> None:
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


def test_marginal_covariance_is_the_diagonal_block(conf: Configuration) -> None:
    M = 2 * conf.laws.k_B * conf.dense(conf.x)
    ev, v = conf.evaluate(conf.x)
    vv, vS, SS = brackets.marginal_covariance(conf.laws, ev, v)
    k = conf.n * conf.dim
    for i in range(conf.n):
        rows = slice(k + i * conf.dim, k + (i + 1) * conf.dim)
        assert torch.allclose(M[rows, rows], vv[i], rtol=1e-10, atol=1e-12)
        assert torch.allclose(M[rows, 2 * k + i], vS[i], rtol=1e-10, atol=1e-12)
        assert torch.allclose(M[2 * k + i, 2 * k + i], SS[i], rtol=1e-10, atol=1e-12)


def test_stiffness_is_second_derivative_of_energy(conf: Configuration) -> None:
    hessian = torch.autograd.functional.hessian(conf.energy, conf.x)
    ev, _ = conf.evaluate(conf.x)
    found = response.self_stiffness(ev)
    trace = found.diagonal(dim1=1, dim2=2).mean(1)
    assert torch.allclose(response.mean_self_stiffness(ev), trace, rtol=1e-12)
    drag = response.self_friction(ev).diagonal(dim1=1, dim2=2).mean(1)
    assert torch.allclose(response.mean_self_friction(ev), drag, rtol=1e-12)
    for i in range(conf.n):
        rows = slice(i * conf.dim, (i + 1) * conf.dim)
        assert torch.allclose(found[i], hessian[rows, rows], rtol=1e-9, atol=1e-9)


def test_force_rate_is_minus_hessian_times_velocity(conf: Configuration) -> None:
    hessian = torch.autograd.functional.hessian(conf.energy, conf.x)
    ev, v = conf.evaluate(conf.x)
    k = conf.n * conf.dim
    expected = -(hessian[:k, :k] @ v.reshape(-1))
    assert torch.allclose(response.force_rate(ev, v).reshape(-1), expected, rtol=1e-9, atol=1e-9)


def test_symmetries(conf: Configuration) -> None:
    """Boost, rotation, reflection, relabelling and exchange of the two ends of every pair."""
    r, v, S = conf.split(conf.x)
    ev, _ = conf.evaluate(conf.x)
    a = brackets.acceleration(conf.laws, ev, v)
    rate = brackets.entropy_rate(conf.laws, ev, v)
    assert torch.allclose(
        a.sum(0), torch.zeros(conf.dim, dtype=DTYPE), atol=1e-12 * float(a.detach().abs().max())
    )
    assert torch.allclose(brackets.acceleration(conf.laws, ev, v + 3.0), a, rtol=1e-10, atol=1e-10)
    swapped = pair_geometry(r, conf.index.flip(0), conf.laws.cutoff, conf.scale, conf.box)
    ev2 = brackets.evaluate(conf.laws, swapped, S)
    assert torch.allclose(brackets.acceleration(conf.laws, ev2, v), a, rtol=1e-10)
    assert torch.allclose(brackets.entropy_rate(conf.laws, ev2, v), rate, rtol=1e-10)
    if conf.box is None:
        q, _ = torch.linalg.qr(
            torch.randn(conf.dim, conf.dim, dtype=DTYPE, generator=torch.Generator().manual_seed(1))
        )
        q = q * torch.tensor([-1.0] + [1.0] * (conf.dim - 1), dtype=DTYPE)
        turned = pair_geometry(r @ q.T + 5.0, conf.index, conf.laws.cutoff, conf.scale)
        ev3 = brackets.evaluate(conf.laws, turned, S)
        assert torch.allclose(brackets.acceleration(conf.laws, ev3, v @ q.T), a @ q.T, rtol=1e-10, atol=1e-10)


def test_forces_vanish_smoothly_at_the_cutoff() -> None:
    laws = random_laws(3)
    scale, S, v = (
        torch.ones(2, dtype=DTYPE),
        torch.zeros(2, dtype=DTYPE),
        torch.tensor([[1.0, 0], [-1, 0]], dtype=DTYPE),
    )

    def radial(distance: float) -> np.ndarray:
        r = torch.tensor([[0.0, 0], [distance, 0]], dtype=DTYPE)
        ev = brackets.evaluate(laws, pair_geometry(r, torch.tensor([[0], [1]]), 1.0, scale), S)
        both = (ev.force[0, 0], brackets.friction_force(ev, v)[0, 0], ev.k_par[0], ev.amplitudes.C2[0])
        return torch.stack(both).detach().numpy()

    step = 1e-4
    inside = radial(1 - step)
    assert np.all(inside != 0)
    assert np.all(np.abs(inside) < 100 * step**2)  # value and slope go to zero
    assert np.all(radial(1 + step) == 0)

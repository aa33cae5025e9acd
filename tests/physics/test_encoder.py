"""The encoder of the entropy: what it must not see, where it must be smooth, and how it serves filters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from small_gas import CUTOFF, TEMPERATURE, record, simulate, thermal_gas, watch

from colloidlab.dataset.graph import find_pairs
from colloidlab.dataset.windows import Window, read_window
from colloidlab.model import encode
from colloidlab.model.entropy import ConstantEntropy, EntropyEncoder, ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.filter_state import MATURE
from colloidlab.model.forms import Guess, first_inference, isothermal_laws, thermal_laws
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.sequence import fresh_state, run_window
from colloidlab.synthetic.gas import Gas, gas_laws, observe, simulate_gas

DTYPE = torch.float64
HEAT_CAPACITY = 20.0


def random_encoder(seed: int, size: float = 1.0, *, initial: float = 3.0) -> EntropyEncoder:
    """No layer of it is zero."""
    encoder = EntropyEncoder(TEMPERATURE, HEAT_CAPACITY, initial=initial, seed=seed)
    generator = torch.Generator().manual_seed(100 + seed)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=DTYPE))
        for parameter in encoder.readout[-1].parameters():
            # Not so far that the bound of ln T makes all the same.
            parameter.mul_(0.3 * size)
    return encoder


@dataclass(frozen=True)
class Frame:
    """Some particles of two sizes with velocities of order one thermal unit."""

    r: torch.Tensor
    v: torch.Tensor
    scale: torch.Tensor
    index: torch.Tensor
    box: torch.Tensor | None

    def pairs(self) -> Pairs:
        return pair_geometry(self.r, self.index, CUTOFF, self.scale, self.box)


def frame(dim: int, seed: int, *, periodic: bool) -> Frame:
    rng = np.random.default_rng(seed)
    n, side = 40 * (dim - 1), 90.0
    r, v = rng.uniform(0, side, (n, dim)), rng.normal(0, TEMPERATURE**0.5, (n, dim))
    scale = rng.uniform(0.8, 1.2, n)
    box = np.full(dim, side) if periodic else None
    index = find_pairs(r, CUTOFF, scale, box)
    return Frame(
        *(torch.as_tensor(a) for a in (r, v, scale, index)), None if box is None else torch.as_tensor(box)
    )


# ---- what it must not see -------------------------------------------------------------------


def changes(f: Frame) -> dict[str, tuple[Frame, torch.Tensor]]:
    """Frames that are the same physics, and where every particle is then."""
    n, dim = f.r.shape
    same = torch.arange(n)
    generator = torch.Generator().manual_seed(8)
    order = torch.randperm(n, generator=generator)
    inverse = torch.argsort(order)
    found = {
        "translation": (replace(f, r=f.r + 13.7), same),
        "boost": (replace(f, v=f.v - 2.5), same),
        "ends of the pairs": (replace(f, index=f.index.flip(0)), same),
        "order of the pairs": (replace(f, index=f.index.flip(1)), same),
        "labels": (
            replace(f, r=f.r[order], v=f.v[order], scale=f.scale[order], index=inverse[f.index]),
            inverse,
        ),
    }
    if f.box is None:
        q, _ = torch.linalg.qr(torch.randn((dim, dim), generator=generator, dtype=DTYPE))
        q[:, 0] *= torch.sign(torch.linalg.det(q))
        mirror = torch.diag(torch.tensor([-1.0] + [1.0] * (dim - 1), dtype=DTYPE))
        found["rotation"] = (replace(f, r=f.r @ q.T, v=f.v @ q.T), same)
        found["reflection"] = (replace(f, r=f.r @ mirror, v=f.v @ mirror), same)
    else:
        found["images"] = (replace(f, r=f.r + f.box * torch.arange(n)[:, None]), same)
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("periodic", [False, True], ids=["open", "box"])
@pytest.mark.parametrize("dim", [2, 3])
def test_it_sees_invariants_only(dim: int, periodic: bool, seed: int) -> None:
    encoder, f = random_encoder(seed), frame(dim, seed, periodic=periodic)
    with torch.no_grad():
        S = encoder(f.pairs(), f.v)
        # There is something that could change.
        assert float(S.std()) > 0.05 * HEAT_CAPACITY
        for name, (other, place) in changes(f).items():
            again = encoder(other.pairs(), other.v)[place]
            assert float((again - S).abs().max()) < 1e-10 * HEAT_CAPACITY, name


def test_it_does_see_distances_and_relative_velocities() -> None:
    encoder, f = random_encoder(0), frame(2, 0, periodic=False)
    with torch.no_grad():
        S = encoder(f.pairs(), f.v)
        for other in (replace(f, v=2 * f.v), replace(f, v=-f.v), replace(f, r=0.9 * f.r)):
            assert float((encoder(other.pairs(), other.v) - S).abs().max()) > 1e-2 * HEAT_CAPACITY


@pytest.mark.parametrize("dim", [2, 3])
def test_both_ends_of_a_lone_pair_have_one_entropy(dim: int) -> None:
    f = frame(dim, 5, periodic=False)
    r = f.r[:2].clone()
    r[1] = r[0] + 0.3 * CUTOFF * dim**-0.5
    two = Frame(r, f.v[:2], torch.ones(2, dtype=DTYPE), torch.tensor([[0], [1]]), None)
    S = random_encoder(1)(two.pairs(), two.v).detach()
    assert float(S[0]) == pytest.approx(float(S[1]), rel=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_a_neighbour_leaves_with_two_continuous_derivatives(seed: int) -> None:
    """From the lone particle's value, S departs as the third power of the distance to the cutoff."""
    encoder = random_encoder(seed)
    v = torch.tensor([[0.3, -0.2], [-0.4, 0.5]], dtype=DTYPE)

    def entropy(x: torch.Tensor) -> torch.Tensor:
        zero = torch.zeros_like(x)
        r = torch.stack([torch.stack([zero, zero]), torch.stack([x * CUTOFF, zero])])
        pairs = pair_geometry(r, torch.tensor([[0], [1]]), CUTOFF, torch.ones(2, dtype=DTYPE))
        return encoder(pairs, v)[0]

    alone = float(entropy(torch.tensor(1.5, dtype=DTYPE)).detach())
    for gap in (1e-2, 1e-3):
        x = torch.tensor(1 - gap, dtype=DTYPE, requires_grad=True)
        S = entropy(x)
        (slope,) = torch.autograd.grad(S, x, create_graph=True)
        (bend,) = torch.autograd.grad(slope, x)
        inside = torch.stack([S - alone, slope, bend]).detach().abs() / HEAT_CAPACITY
        assert np.all(inside.numpy() < 300 * np.array([gap**3, gap**2, gap])), gap
        assert float(inside[2]) > 0
    assert float(entropy(torch.tensor(1 + 1e-6, dtype=DTYPE)).detach()) == alone


# ---- in a filter ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def laws() -> Laws:
    return thermal_gas(heat_capacity=HEAT_CAPACITY)


@pytest.fixture(scope="module")
def window(laws: Laws) -> Window:
    motion = simulate(laws, n=120, n_frames=14, seed=3, wave=0.5)
    return read_window(record(watch(motion, 0.05), motion.box), 0, 14, CUTOFF)


def start_entropy(laws: Laws) -> float:
    V = laws.energy.log_reference_volume.exp().reshape(1)
    return float(laws.energy.entropy(V.new_tensor([TEMPERATURE]), V)[0])


def test_before_training_it_is_the_isothermal_form(laws: Laws, window: Window) -> None:
    S = start_entropy(laws)
    found = []
    for inference in (ConstantEntropy(S), first_inference("encoder", laws, TEMPERATURE)):
        filter_ = Filter(laws, inference, TEMPERATURE)
        found.append(float(run_window(filter_, fresh_state(window), window)[1].detach()))
    assert inference.initial == S
    assert found[0] == pytest.approx(found[1], rel=1e-12)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_likelihood_of_positions_trains_it(dim: int) -> None:
    """In a box without edges, the gradient through laws and filter is that of finite differences."""
    gas = Gas(n=60, n_dims=dim)
    laws = gas_laws(gas)
    recording = observe(simulate_gas(gas, 9, seed=2), 0.05, seed=2)
    window = read_window(recording, 0, 9, gas.cutoff)
    start = laws.energy.entropy(torch.tensor([gas.temperature]), torch.tensor([gas.volume]))
    encoder = random_encoder(4, 0.2, initial=float(start[0]))

    def objective(training: bool) -> torch.Tensor:
        filter_ = Filter(laws, encoder, TEMPERATURE)
        return run_window(filter_, fresh_state(window), window, training=training)[1]

    parameters = list(encoder.parameters())
    slopes = torch.autograd.grad(objective(True), parameters)
    for parameter, slope in zip(parameters, slopes, strict=True):
        at = int(slope.abs().argmax())
        assert float(slope.reshape(-1)[at].abs()) > 0
        values = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                parameter.view(-1)[at] += step
                values.append(float(objective(False)))
        with torch.no_grad():
            parameter.view(-1)[at] += 1e-5
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(
            float(slope.reshape(-1)[at]), rel=1e-5, abs=1e-6
        )


def test_particles_at_the_edge_take_their_neighbours_mean(laws: Laws, window: Window) -> None:
    encoder = random_encoder(4, initial=start_entropy(laws))
    filter_, state = Filter(laws, encoder, TEMPERATURE), fresh_state(window)
    for k in range(6):
        result = filter_.step(state, window, k)
        state = result.state.detach()
    S, complete = result.filtered.S.detach(), window.complete[5]
    i, j = window.pairs[5]
    edge = torch.nonzero(window.present[5] & ~complete)[:, 0].tolist()
    checked = 0
    for p in edge:
        near = torch.cat([j[i == p], i[j == p]])
        near = near[complete[near]]
        if len(near):
            assert float(S[p]) == pytest.approx(float(S[near].mean()), rel=1e-12)
            checked += 1
    assert checked > 10
    assert torch.isnan(state.variance[window.present[6]]).all(), "its error is not known"


def test_the_array_form_is_the_same_function(window: Window) -> None:
    encoder, f = random_encoder(2), frame(3, 2, periodic=True)
    one = replace(f, scale=torch.ones_like(f.scale))
    index = find_pairs(f.r.numpy(), CUTOFF, box=f.box.numpy())
    found = encode(encoder, f.r.numpy(), f.v.numpy(), index, cutoff=CUTOFF, box=f.box.numpy())
    expected = encoder(replace(one, index=torch.as_tensor(index)).pairs(), f.v).detach().numpy()
    assert found.shape == (len(f.r), 1)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-12)
    # Particles of unequal size: distances are in units of their radii.
    scale = torch.linspace(0.8, 1.2, len(f.r), dtype=torch.float64)
    sized = encode(
        encoder, f.r.numpy(), f.v.numpy(), index, cutoff=CUTOFF, box=f.box.numpy(), scale=scale.numpy()
    )
    pairs = replace(f, scale=scale, index=torch.as_tensor(index)).pairs()
    near = pairs.select(pairs.r < pairs.h)
    np.testing.assert_allclose(sized[:, 0], encoder(near, f.v).detach().numpy(), rtol=1e-12)
    assert np.abs(sized - found).max() > 0.01 * HEAT_CAPACITY


def test_in_single_precision(window: Window) -> None:
    f = frame(2, 1, periodic=False)
    S = random_encoder(3)(f.pairs(), f.v).detach()
    single = Frame(f.r.float(), f.v.float(), f.scale.float(), f.index, None)
    again = random_encoder(3).to(torch.float32)(single.pairs(), single.v).detach()
    assert again.dtype == torch.float32
    assert float((again - S).abs().max()) < 1e-4 * HEAT_CAPACITY


# ---- as the start of the score filter -------------------------------------------------------


def test_the_score_filter_starts_where_the_encoder_says(laws: Laws, window: Window) -> None:
    encoder = random_encoder(6, 0.3, initial=start_entropy(laws))
    pure, started = (
        Filter(laws, inference, TEMPERATURE)
        for inference in (encoder, ScoreFilter(initial=encoder.initial, start=encoder))
    )
    one, two = fresh_state(window), fresh_state(window)
    for k in range(window.n_frames - 1):
        a, b = pure.step(one, window, k), started.step(two, window, k)
        there = window.present[k]
        gap = (a.filtered.S - b.filtered.S).detach()[there].abs()
        if k < MATURE:
            assert float(gap.max()) == 0, k
        one, two = a.state.detach(), b.state.detach()
    old = b.filtered.age[there] > MATURE
    assert float(gap[~old].max() if bool((~old).any()) else 0.0) < 1e-2 * HEAT_CAPACITY
    # From then on the motion has its say.
    assert float(gap[old].median()) > 1e-3 * HEAT_CAPACITY
    assert not any(p.requires_grad for p in started.inference.start.parameters())


def test_translated_to_other_laws_it_says_the_same_temperatures(laws: Laws) -> None:
    guess = Guess(CUTOFF, TEMPERATURE, 0.2, 0.3, 0.5, 1.2, 0.7)
    other = thermal_laws(isothermal_laws(guess), heat_capacity=33.0)
    encoder, f = random_encoder(7, initial=start_entropy(laws)), frame(2, 7, periodic=False)
    moved = encoder.translated(laws, other)
    V = other.energy.log_reference_volume.exp().expand(len(f.r))
    with torch.no_grad():
        before = laws.energy(encoder(f.pairs(), f.v), V).T
        after = other.energy(moved(f.pairs(), f.v), V).T
    assert float(before.log().std()) > 0.1
    assert torch.allclose(before, after, rtol=1e-10)

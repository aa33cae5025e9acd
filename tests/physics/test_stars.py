"""Star polymers: the likelihood of known velocities, the published encoder, and fits to data of a known law."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from video_files import DATA

from colloidlab.benchmarks.star_fits import CUTOFF, StarFit, fit_default, fit_networks, split_frames
from colloidlab.benchmarks.star_likelihood import log_likelihood, take
from colloidlab.benchmarks.star_steps import joint_step, motion_step
from colloidlab.model import brackets, evaluate
from colloidlab.model.forms import Guess, isothermal_laws
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.published import PublishedLaws
from colloidlab.model.published_encoder import PublishedEncoder, load_published_encoder
from colloidlab.synthetic.star_polymers import StarMelt

WEIGHTS = DATA.parent / "reference" / "star_polymer_11_params.pt"
N, BOX, DT, SIDE = 64, 12.0, 0.025, 4


def true_laws() -> Laws:
    """Such that every one of the 64 has neighbours on all sides."""
    return isothermal_laws(Guess(4.0, 0.09, 1.5, 1.0, 0.7, 1.0, 1.0, 3)).requires_grad_(False)


def melt_of(laws: Laws, n_frames: int = 28, seed: int = 1) -> StarMelt:
    """Particles near a lattice, whose velocities move by exactly the density that is fitted; seen every other step."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    r = (places + 0.5) * BOX / SIDE + rng.uniform(-0.5, 0.5, (n_frames, N, 3))
    v = rng.normal(0, 0.3, (n_frames, N, 3))
    melt = StarMelt(r, v, BOX, DT, 11.0)
    for k in range(0, n_frames - 1, 2):
        now = take(melt, [k], laws.cutoff)
        ev = brackets.evaluate(laws, now.pairs(), torch.zeros(N, dtype=torch.float64))
        mean = now.v + DT * brackets.acceleration(laws, ev, now.v)
        root = torch.linalg.cholesky(DT * brackets.velocity_noise(laws, ev))
        kick = torch.einsum("nab,nb->na", root, torch.as_tensor(rng.normal(size=(N, 3))))
        v[k + 1] = (mean + kick).numpy()
    return melt


@pytest.fixture(scope="module")
def melt() -> StarMelt:
    return melt_of(true_laws())


def test_likelihood_is_that_of_the_normal_density(melt: StarMelt) -> None:
    torch.manual_seed(0)
    laws = PublishedLaws([6, 6], CUTOFF, 3, mass=1.3, k_B=0.4)
    snapshots = take(melt, [3, 8], CUTOFF)
    S = 0.1 * torch.randn(2 * N, dtype=torch.float64)
    with torch.no_grad():
        found = log_likelihood(laws, snapshots, S)
        for part, frame in enumerate((3, 8)):
            rows = slice(part * N, (part + 1) * N)
            alone = evaluate(
                laws,
                melt.r[frame],
                melt.v[frame],
                S[rows, None].numpy(),
                take(melt, [frame], CUTOFF).index.numpy(),
                box=melt.box,
                dt=DT,
            )
            density = torch.distributions.MultivariateNormal(
                torch.as_tensor(melt.v[frame] + DT * alone.dvdt), torch.as_tensor(alone.cov[:, :3, :3])
            )
            torch.testing.assert_close(found[rows], density.log_prob(torch.as_tensor(melt.v[frame + 1])))


def test_a_fit_is_as_good_as_the_law_that_made_the_data(melt: StarMelt) -> None:
    """Held out, a fit of some twenty numbers to 8 frames may lose 20/2 nats in 8 x 64 particles: .02 each."""
    even = StarMelt(melt.r, melt.v, melt.box, melt.dt, melt.mass)
    blocks = split_frames(even)
    only = type(blocks)(
        *(frames[frames.start % 2 :: 2] for frames in (blocks.train, blocks.validation, blocks.test))
    )
    fit = fit_default(even, only, cutoffs=(4.0,), n_frames=8, evaluations=30)
    truth = StarFit(true_laws(), None, 0.0)
    loss = truth.by_frame(even, only.test).mean() - fit.by_frame(even, only.test).mean()
    start = StarFit(isothermal_laws(Guess(4.0, 0.2, 0.5, 3.0, 0.7, 1.0, 1.0, 3)), None, 0.0)
    assert loss < 0.05 < truth.by_frame(even, only.test).mean() - start.by_frame(even, only.test).mean()


def test_networks_learn(melt: StarMelt) -> None:
    blocks = split_frames(melt)
    before, after = (
        fit_networks(melt, blocks, None, hidden=[8, 8], steps=steps).by_frame(melt, blocks.test).mean()
        for steps in (1, 30)
    )
    assert after > before + 0.1


def test_encoder_takes_means_over_either_end() -> None:
    torch.manual_seed(0)
    encoder = PublishedEncoder([5, 5], 3)
    r, v = torch.rand(6, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    index = torch.tensor([[0, 0, 1, 2], [1, 2, 2, 4]])
    pairs = pair_geometry(r, index, 2.0, torch.ones(6, dtype=torch.float64))
    found = encoder(pairs, v)

    def network(k: int, sign: float) -> torch.Tensor:
        u = v[index[0, k]] - v[index[1, k]]
        return encoder.network(torch.cat([pairs.x[k : k + 1], sign * u])[None], 0).value[0, 0]

    expected = [
        (network(0, 1) + network(1, 1)) / 2,
        network(2, 1) + network(0, -1),
        network(3, 1) + (network(1, -1) + network(2, -1)) / 2,
        torch.tensor(0.0),
        network(3, -1),
        torch.tensor(0.0),
    ]
    torch.testing.assert_close(found, torch.stack([e.double() for e in expected]))


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the published weights are not here")
def test_encoder_agrees_with_the_authors_numbers() -> None:
    case = np.load(WEIGHTS.with_name("star_polymer_11_case.npz"))
    r, v = torch.as_tensor(case["r"]), torch.as_tensor(case["v"])
    box = torch.full((3,), float(case["box"]))
    pairs = pair_geometry(r, torch.as_tensor(case["edge_index"]), CUTOFF, torch.ones_like(r[:, 0]), box)
    S = load_published_encoder(WEIGHTS)(pairs, v).detach()
    assert np.abs(S.numpy() - case["S"][:, 0]).max() < 1e-7 * np.abs(case["S"]).max()


def test_steps_descend_and_the_joint_one_scores_what_it_says(melt: StarMelt) -> None:
    torch.manual_seed(0)
    laws, encoder = PublishedLaws([6, 6], CUTOFF, 3), PublishedEncoder([6, 6], 3)
    now, after = take(melt, [2, 3], CUTOFF), take(melt, [3, 4], CUTOFF)
    with torch.no_grad():
        S, S_next = (encoder(s.pairs(), s.v) for s in (now, after))
        ev = brackets.evaluate(laws, now.pairs(), S)
        vv, vS, SS = brackets.marginal_covariance(laws, ev, now.v)
        C = DT * torch.cat([torch.cat([vv, vS[:, :, None]], 2), torch.cat([vS, SS[:, None]], 1)[:, None]], 1)
        change = DT * torch.cat(
            [brackets.acceleration(laws, ev, now.v), brackets.entropy_rate(laws, ev, now.v)[:, None]], 1
        )
        density = torch.distributions.MultivariateNormal(torch.cat([now.v, S[:, None]], 1) + change, C)
        log_p = density.log_prob(torch.cat([now.v_next, S_next[:, None]], 1))
    expected = -2 * float(log_p.mean()) - 4 * math.log(2 * math.pi)
    step = joint_step(laws, encoder, now, after)
    assert step() == pytest.approx(expected, rel=1e-9)
    assert step() < expected
    for encoder_or_none in (encoder, None):
        step = motion_step(laws, encoder_or_none, now)
        first = step()
        assert step() < first

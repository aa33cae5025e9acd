"""Following positions and velocities: against textbook matrices, and against motion of known laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.linalg import expm
from simulated_tracks import table
from small_gas import CUTOFF, TEMPERATURE, Motion, isothermal_gas, record, simulate, thermal_gas, watch
from torch import Tensor

from colloidlab.dataset.recording import Recording, from_tracks
from colloidlab.dataset.windows import read_window
from colloidlab.model import brackets, response
from colloidlab.model.entropy import ConstantEntropy, ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.filter_state import MATURE, FilterState
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.sequence import WindowSource, fresh_state, run_window

SIGMA = 0.05
N_FRAMES = 100


@pytest.fixture(scope="module")
def motion() -> Motion:
    return simulate(isothermal_gas(), n=250, n_frames=N_FRAMES, seed=11, steps=12)


@pytest.fixture(scope="module")
def recording(motion: Motion) -> Recording:
    return record(watch(motion, SIGMA), motion.box)


def loglik(laws: Laws, recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the counted log-likelihoods, frame by frame."""
    window = read_window(recording, recording.first, recording.stop, CUTOFF)
    filter_, state = Filter(laws, ConstantEntropy(), TEMPERATURE), fresh_state(window)
    sums, counts = [], []
    for k in range(window.n_frames - 1):
        result = filter_.step(state, window, k)
        state = result.state
        sums.append(float(result.loglik[result.counted].sum()))
        counts.append(int(result.counted.sum()))
    return np.array(sums), np.array(counts)


@pytest.fixture(scope="module")
def truth(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    return loglik(isothermal_gas(), recording)


# ---- against textbook matrices --------------------------------------------------------------


def test_particles_without_neighbours_are_a_textbook_kalman_filter() -> None:
    """F = [[1, 1], [0, 1]], Q = 0, R = sigma^2, by 2 x 2 matrices and Joseph's form."""
    rng = np.random.default_rng(1)
    n, frames, sigma, prior = 9, 15, 0.2, 0.3
    start = np.stack(np.meshgrid([100.0, 400, 700], [100.0, 400, 700]), -1).reshape(-1, 2)
    path = start + np.arange(frames)[:, None, None] * rng.normal(0, 0.5, (n, 2))
    seen = path + rng.normal(0, sigma, path.shape)
    recording = record(table(seen), 800.0, sigma_px=sigma)
    window = read_window(recording, 0, frames, CUTOFF)
    assert all(index.shape[1] == 0 for index in window.pairs)
    filter_, state = Filter(isothermal_gas(), ConstantEntropy(), prior), fresh_state(window)
    F, H, R = np.array([[1.0, 1], [0, 1]]), np.array([[1.0, 0]]), np.array([[sigma**2]])
    x = np.stack([seen[0], np.zeros((n, 2))])
    P = np.diag([sigma**2, prior])
    for k in range(frames - 1):
        result = filter_.step(state, window, k)
        state = result.state
        x, P = np.einsum("ab,bnd->and", F, x), F @ P @ F.T
        innovation = seen[k + 1] - x[0]
        variance = float((H @ P @ H.T + R)[0, 0])
        expected = -0.5 * (innovation**2 / variance + np.log(2 * np.pi * variance)).sum(1)
        K = P @ H.T / variance
        x = x + K[:, :, None] * innovation[None]
        A = np.eye(2) - K @ H
        P = A @ P @ A.T + K @ R @ K.T
        assert np.allclose(state.r.numpy(), x[0], rtol=0, atol=1e-10)
        assert np.allclose(state.v.numpy(), x[1], rtol=0, atol=1e-11)
        for block, value in ((state.rr, P[0, 0]), (state.rv, P[0, 1]), (state.vv, P[1, 1])):
            assert np.allclose(block.numpy(), value * np.eye(2), rtol=1e-9, atol=1e-13)
        # Scored from the age of MATURE frames on.
        assert np.allclose(result.loglik.numpy(), expected if k + 1 >= MATURE else 0.0, rtol=1e-9)


def linear_motion(laws: Laws, ev: brackets.Evaluation, r: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Positions and velocities one frame on, with force, its gradient and friction as they are: Runge and Kutta's steps."""
    steps, moved = 50, torch.zeros_like(r)
    dt, linear = 1 / steps, response.LinearResponse(laws, ev)

    def rates(moved: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        force = ev.force + linear.force(moved, v)
        return v, force / laws.mass

    for _ in range(steps):
        k1 = rates(moved, v)
        k2 = rates(moved + dt / 2 * k1[0], v + dt / 2 * k1[1])
        k3 = rates(moved + dt / 2 * k2[0], v + dt / 2 * k2[1])
        k4 = rates(moved + dt * k3[0], v + dt * k3[1])
        moved, v = (
            x + dt / 6 * (a + 2 * b + 2 * c + d)
            for x, a, b, c, d in zip((moved, v), k1, k2, k3, k4, strict=True)
        )
    return r + moved, v


def test_one_step_in_a_dense_gas_is_a_textbook_kalman_step(recording: Recording) -> None:
    """Mean by many small steps of the linearised motion of all, covariance by the matrix exponential, correction by
    4 x 4 matrices."""
    laws = isothermal_gas()
    window = read_window(recording, 0, 12, CUTOFF)
    filter_, state = Filter(laws, ConstantEntropy(), TEMPERATURE), fresh_state(window)
    for k in range(8):
        state = filter_.step(state, window, k).state
    result = filter_.step(state, window, 8)
    pairs = pair_geometry(state.r, window.pairs[8], CUTOFF, window.scale)
    ev = result.evaluation
    complete = window.complete[8]
    volume = brackets.evaluate(laws, pairs, state.S).volume
    assert torch.allclose(ev.volume[complete], volume[complete], rtol=1e-12)
    # Neighbours out of view are not seen: such particles have the mean density of the others.
    mean_volume = 1 / (1 / volume[complete]).mean()
    assert torch.allclose(ev.volume[window.present[8] & ~complete], mean_volume, rtol=1e-12)
    everyone = window.present[8] & window.present[9] & window.interior[8] & (state.age > 4)
    r_all, v_all = linear_motion(laws, ev, state.r, state.v)
    stiffness, drag = (m / laws.mass for m in (response.self_stiffness(ev), response.self_friction(laws, ev)))
    vv = brackets.velocity_noise(laws, ev)
    # The series of the mean ends with the fifth derivative; the next has at most the sixth power of twice a rate.
    linear = response.LinearResponse(laws, ev)
    rates = [linear.mean_self_stiffness().abs().sqrt(), linear.mean_self_friction()]
    fastest = float(torch.stack(rates)[:, everyone].max())
    checked = 0
    for p in torch.nonzero(everyone)[:, 0].tolist():
        h, g = (float(m[p].trace()) / 2 for m in (stiffness, drag))
        A, zero, one = np.array([[0.0, 1], [-h, -g]]), np.zeros((2, 2)), np.eye(2)
        F = np.kron(expm(A), one)
        u, weight = np.polynomial.legendre.leggauss(8)
        Q = sum(
            0.5 * w * np.kron(np.outer(e := expm(A * (0.5 + 0.5 * s))[:, 1], e), vv[p].numpy())
            for s, w in zip(u, weight, strict=True)
        )
        P = np.block(
            [[state.rr[p].numpy(), state.rv[p].numpy()], [state.rv[p].numpy().T, state.vv[p].numpy()]]
        )
        P = F @ P @ F.T + Q
        r, v = r_all[p], v_all[p]
        H = np.hstack([one, zero])
        variance = H @ P @ H.T + np.diag(window.sigma2[9, p].numpy())
        gain = P @ H.T @ np.linalg.inv(variance)
        prior = np.abs(P).max()
        innovation = window.positions[9, p].numpy() - r.numpy()
        x = np.concatenate([r.numpy(), v.numpy()]) + gain @ innovation
        P = P - gain @ H @ P
        found = np.block(
            [
                [result.state.rr[p].numpy(), result.state.rv[p].numpy()],
                [result.state.rv[p].numpy().T, result.state.vv[p].numpy()],
            ]
        )
        expected = -0.5 * innovation @ np.linalg.solve(variance, innovation) - 0.5 * np.log(
            np.linalg.det(2 * np.pi * variance)
        )
        # What the series of the transition leaves out, see its own test; three of its terms enter a covariance.
        rate = max(abs(h) ** 0.5, g)
        bound = 3 * max(1.0, rate) * (rate / 16) ** 3
        assert np.abs(found - P).max() < bound * prior
        mean = np.concatenate([result.state.r[p], result.state.v[p]])
        gain_error = bound * prior * (1 + np.linalg.norm(gain, 2)) / np.linalg.eigvalsh(variance)[0]
        remainder = (2 * fastest) ** 6 / 720 * TEMPERATURE**0.5
        assert np.abs(mean - x).max() < gain_error * np.linalg.norm(innovation) + remainder
        # d ln p = |d variance| (1 + z^2) / variance, with z^2 the squared innovation over its variance.
        z2 = float(innovation @ np.linalg.solve(variance, innovation))
        relative = bound * prior / np.linalg.eigvalsh(variance)[0]
        shift = remainder * np.linalg.norm(np.linalg.solve(variance, innovation))
        assert float(result.loglik[p]) == pytest.approx(expected, abs=relative * (1 + z2) + shift)
        checked += 1
    assert checked > 30


@pytest.mark.parametrize("times", [1, 10, 30])
def test_the_prediction_converges_where_friction_is_strong(times: float) -> None:
    """Two particles that are near each other lose their relative velocity within a part of a frame."""
    laws = isothermal_gas()
    with torch.no_grad():
        laws.amplitudes.A += np.log(times)
        laws.amplitudes.B += np.log(times)
    frame, particle = np.indices((3, 2)).reshape(2, -1)
    seen = pd.DataFrame(
        {"frame": frame, "particle": particle, "x": 50.0 + 0.1 * CUTOFF * particle, "y": 50.0}
    )
    side = np.full(2, 10 * CUTOFF)
    window = read_window(from_tracks(seen, None, box=side, sigma_px=SIGMA), 0, 3, CUTOFF)
    # What is seen next tells nothing, so that the filtered state is the predicted one.
    window = replace(window, sigma2=torch.full_like(window.sigma2, 1e12))
    start = Filter(laws, ConstantEntropy(), TEMPERATURE).step(fresh_state(window), window, 0).filtered
    v = torch.tensor([[1.0, 0.5], [-0.7, 0.2]], dtype=start.v.dtype)
    result = Filter(laws, ConstantEntropy(), TEMPERATURE).step(replace(start, v=v), window, 0)
    rate = response.LinearResponse(laws, result.evaluation).fastest_rate()
    assert {1: rate < 1, 10: 2 < rate < 10, 30: 10 < rate < 32}[times]
    r_true, v_true = linear_motion(laws, result.evaluation, start.r, v)
    scale = float((v[0] - v[1]).norm())
    assert float((result.state.r - r_true).norm()) < 0.01 * scale
    assert float((result.state.v - v_true).norm()) < 0.03 * scale


def test_covariances_stay_positive(recording: Recording) -> None:
    window = read_window(recording, 0, 60, CUTOFF)
    filter_, state = Filter(isothermal_gas(), ConstantEntropy(), TEMPERATURE), fresh_state(window)
    for k in range(59):
        state = filter_.step(state, window, k).state
        there = state.age > 0
        P = torch.cat(
            [
                torch.cat([state.rr, state.rv], dim=2),
                torch.cat([state.rv.transpose(1, 2), state.vv], dim=2),
            ],
            dim=1,
        )[there]
        assert torch.allclose(P, P.transpose(1, 2), rtol=1e-9, atol=1e-12)
        assert float(torch.linalg.eigvalsh(P)[:, 0].min()) > 0


# ---- against motion of known laws -----------------------------------------------------------


def innovations(laws: Laws, recording: Recording) -> np.ndarray:
    """Whitened innovations of all counted predictions, shape (n_frames - 1, n, 2), NaN elsewhere.

    From the log-likelihood alone: as a function of the observation y it is -|L^T (y - r)|^2 / 2 + const, so
    its gradient at y and at y + e_a give precision and innovation exactly.
    """
    window = read_window(recording, recording.first, recording.stop, CUTOFF)
    filter_, state = Filter(laws, ConstantEntropy(), TEMPERATURE), fresh_state(window)
    out = []
    for k in range(window.n_frames - 1):
        gradients = []
        for shift in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
            y = window.positions.clone()
            y[k + 1] += torch.tensor(shift, dtype=y.dtype)
            y.requires_grad_(True)
            result = filter_.step(state, replace(window, positions=y), k, training=True)
            if shift == (0.0, 0.0):
                following = result.state.detach()
            gradients.append(torch.autograd.grad(result.loglik.sum(), y)[0][k + 1])
        g, gx, gy = gradients
        m = result.counted
        precision = torch.stack([g - gx, g - gy], dim=2)[m]
        z = torch.full_like(g, float("nan"))
        z[m] = torch.linalg.solve(torch.linalg.cholesky(precision), -g[m][:, :, None])[:, :, 0]
        out.append(z.numpy())
        state = following
    return np.array(out)


def test_innovations_of_the_true_law_are_white_with_unit_variance(recording: Recording) -> None:
    z = innovations(isothermal_gas(), recording)
    good = np.isfinite(z)
    n = good.sum()
    assert n > 5000
    # Second-order terms left out: the simulation's 12 kicks a frame change second differences by 1/(2 * 12^2),
    # its drag by g/24; neighbours' errors and anisotropy of drag are of the order of (g sigma)^2.
    systematic = 0.03
    assert np.nanmean(z**2) == pytest.approx(1.0, abs=4 * (2 / n) ** 0.5 + systematic)
    assert abs(np.nanmean(z)) < 4 * n**-0.5
    for lag in (1, 2):
        product = z[lag:] * z[:-lag]
        assert abs(np.nanmean(product)) < 4 * np.isfinite(product).sum() ** -0.5 + systematic
    # Gaussian: the fourth moment is 3, with variance 96/n.
    assert np.nanmean(z**4) / np.nanmean(z**2) ** 2 == pytest.approx(
        3.0, abs=4 * (96 / n) ** 0.5 + 2 * systematic
    )


@pytest.mark.parametrize(
    "change",
    [
        {"noise": 0.8},
        {"noise": 1.25},
        {"friction": 0.24},
        {"friction": 0.36},
        {"stiffness": 0.4},
        {"stiffness": 1.8},
    ],
    ids=str,
)
def test_the_true_law_is_the_most_likely(
    recording: Recording, truth: tuple[np.ndarray, np.ndarray], change: dict[str, float]
) -> None:
    best, count = truth
    other, _ = loglik(isothermal_gas(**change), recording)
    lost = best - other
    standard = float(lost.std(ddof=1) * len(lost) ** 0.5)
    assert count.sum() > 2500
    assert lost.sum() > 2 * standard, f"{lost.sum():.1f} ± {standard:.1f} nats"


@pytest.mark.parametrize("sigma", [0.5 * SIGMA, 2 * SIGMA])
def test_the_true_localisation_error_is_the_most_likely(
    motion: Motion, truth: tuple[np.ndarray, np.ndarray], sigma: float
) -> None:
    other, _ = loglik(isothermal_gas(), record(watch(motion, SIGMA), motion.box, sigma_px=sigma))
    lost = truth[0] - other
    assert lost.sum() > 2 * lost.std(ddof=1) * len(lost) ** 0.5


def test_filtered_velocities_are_better_than_differences(motion: Motion) -> None:
    """At a localisation error of 0.2 px differences of positions carry an error of at least sigma * sqrt(2)."""
    sigma = 0.2
    tracks = watch(motion, sigma)
    window = read_window(record(tracks, motion.box), 0, 30, CUTOFF)
    filter_, state = Filter(isothermal_gas(), ConstantEntropy(), TEMPERATURE), fresh_state(window)
    for k in range(29):
        state = filter_.step(state, window, k).state
    now = tracks[tracks["frame"] == 29].sort_values("particle")
    inner = (window.interior[29] & (state.age > 10)).numpy()
    at = np.searchsorted(now["particle"], np.unique(tracks["particle"])[window.slot[inner]])
    truth = motion.v[29, now["body"].to_numpy()[at]]
    error = state.v.numpy()[inner] - truth
    rms = float(np.sqrt(np.mean(error**2)))
    assert rms < sigma * 2**0.5
    # The filter knows how good it is: chi^2 of its own covariance, as above.
    claimed = float(torch.sqrt(state.vv[inner].diagonal(dim1=1, dim2=2).mean()))
    assert rms == pytest.approx(claimed, rel=4 * (2 * error.size) ** -0.5 + 0.05)


def test_gaps_and_bad_frames_do_not_pull(motion: Motion) -> None:
    """Positions of a bad frame may be anything: the state after it must not depend on them."""
    states = []
    for nonsense in (0.0, 8.0):
        tracks = watch(motion, SIGMA)
        tracks.loc[tracks["frame"] == 10, ["x", "y"]] += nonsense
        recording = record(tracks[tracks["frame"] < 16], motion.box)
        recording = replace(recording, edge=np.full_like(recording.edge, 1e3))
        bad = (recording.position[:, 0] * 0).astype(bool)
        bad[recording.rows(10)] = True
        sigma = np.where(bad[:, None], 1e3, recording.sigma)
        recording = replace(recording, observed=~bad, sigma=sigma, bad_frames=frozenset({10}))
        window = read_window(recording, 0, 16, CUTOFF)
        state, _, _ = run_window(
            Filter(isothermal_gas(), ConstantEntropy(), TEMPERATURE), fresh_state(window), window
        )
        states.append(state)
    age = (states[0].age > 12) & (states[1].age > 12)
    difference = (states[0].r - states[1].r)[age].abs().max()
    # An observation of sigma 1000 px weighs P/10^6 with P < 1 px^2.
    assert float(difference) < 8 * 1e-5


# ---- localisation error is not temperature --------------------------------------------------


def test_varying_localisation_error_is_not_taken_for_temperature() -> None:
    """Uniform temperature, heat capacity so large that it stays uniform, sigma between 0.03 and 0.3 px.

    With the right sigma the inferred ln T must not follow sigma, and following it must not pay. The same data
    with one sigma for all show that the test can fail.
    """
    laws = thermal_gas(heat_capacity=2000.0)
    motion = simulate(laws, n=250, n_frames=80, seed=21)
    sigma = np.random.default_rng(5).uniform(0.03, 0.3, 250)
    tracks = watch(motion, sigma)
    correlation, gain, standard = [], [], []
    for assumed in (None, float(np.sqrt(np.mean(sigma**2)))):
        recording = record(tracks, motion.box, sigma_px=assumed)
        known = record(tracks, motion.box)
        windows = WindowSource(recording, CUTOFF)
        window = windows(recording.first, recording.stop)
        T0 = torch.tensor([TEMPERATURE], dtype=torch.float64)
        S0 = float(laws.energy.entropy(T0, laws.energy.log_reference_volume.exp().reshape(1))[0])
        sums = []
        for inference in (ConstantEntropy(S0), ScoreFilter(initial=S0)):
            filter_, state = Filter(laws, inference, TEMPERATURE), fresh_state(window)
            per_frame = []
            for k in range(window.n_frames - 1):
                result = filter_.step(state, window, k)
                state: FilterState = result.state.detach()
                if k > 20:
                    per_frame.append(float(result.loglik.detach()[result.counted].sum()))
            sums.append(np.array(per_frame))
        paired = sums[1] - sums[0]
        gain.append(float(paired.sum()))
        standard.append(float(paired.std(ddof=1) * len(paired) ** 0.5))
        mine = (result.counted & (state.age > 30)).numpy()
        volume = result.evaluation.volume.detach()
        lnT = torch.log(laws.energy(result.state.S.detach(), volume).T).numpy()[mine]
        last = known.rows(known.stop - 1)
        own = dict(zip(known.particle[last].tolist(), known.sigma[last, 0].tolist(), strict=True))
        correlation.append(float(np.corrcoef(lnT, [own[s] for s in window.slot[mine].tolist()])[0, 1]))
        count = int(mine.sum())
    assert count > 40
    assert abs(correlation[0]) < 3.5 * count**-0.5
    assert gain[0] < 3 * standard[0]
    # Without its sigma the same data give a false temperature, which pays.
    assert correlation[1] > 0.5
    assert gain[1] > 5 * standard[1]

"""Oscillation of the flow: a drive gives its period, amplitude and phase within the stated errors; nothing else does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated_tracks import table
from video_files import DATA

from colloidlab.errors import InputError
from colloidlab.indicators.deformation import strain_series
from colloidlab.indicators.oscillation import find_oscillation
from colloidlab.indicators.wave_fit import fit_wave
from colloidlab.tables import COLUMNS
from colloidlab.video import open_video

ROOT = Path(__file__).parents[2]

PERIOD, STRAIN, PHASE, SIDE = 37.3, 0.02, 0.7, 300.0


def driven(
    seed: int,
    *,
    n_frames: int = 160,
    strain: float = STRAIN,
    rate: float = 0.0,
    own: float = 0.0,
    diffusion: float = 0.02,
    sigma: float = 0.1,
    n_dim: int = 2,
    drop: float = 0.1,
) -> pd.DataFrame:
    """Simple shear, oscillating (and steady), with a uniform drift, diffusion, localisation error and gaps.

    `own`: standard deviation of the amplitude, along x and y, of waves in phase with the drive that are not shared.
    """
    rng = np.random.default_rng(seed)
    home = rng.uniform(0, SIDE, (120, n_dim))
    t = np.arange(n_frames)
    wave = np.cos(2 * np.pi * t / PERIOD + PHASE)
    positions = home + np.cumsum(rng.normal(0, np.sqrt(2 * diffusion), (n_frames, *home.shape)), axis=0)
    positions[..., 0] += (strain * wave + rate * t)[:, None] * (home[:, 1] - SIDE / 2)
    positions[..., :2] += wave[:, None, None] * own * rng.normal(size=(len(home), 2))
    positions += t[:, None, None] * np.array([0.03, -0.02, 0.01])[:n_dim]
    return table(positions + rng.normal(0, sigma, positions.shape), drop=drop, rng=rng)


@pytest.mark.parametrize(
    "noise",
    [{"sigma": 0.1, "diffusion": 0.02}, {"sigma": 0.3, "diffusion": 0.0}, {"sigma": 0.0, "diffusion": 0.1}],
    ids=["both", "localisation", "diffusion"],
)
def test_a_drive_is_found_within_its_errors(noise: dict[str, float]) -> None:
    pulls = []
    for seed in range(10):
        found = find_oscillation(driven(seed, **noise))
        assert found is not None and found.reference == "shear_xy"
        shear, turn = found.components.index("shear_xy"), found.components.index("rotation_xy")
        pulls.append(
            [
                (found.period.frames - PERIOD) / found.period_error,
                (found.amplitude[shear] - STRAIN) / found.amplitude_error[shear],
                (found.phase[shear] - PHASE) / found.phase_error[shear],
                (found.amplitude[turn] - STRAIN / 2) / found.amplitude_error[turn],
                # u_x = gamma y turns y towards x: the other way round.
                (found.phase[turn] - (PHASE - np.pi)) / found.phase_error[turn],
            ]
        )
        # Errors that are small enough to be worth stating.
        assert found.amplitude_error[shear] < 0.2 * STRAIN and found.phase_error[shear] < 0.3
    # 50 pulls, those of one recording dependent on each other.
    assert (np.abs(pulls) < 2).mean() >= 0.88
    assert 0.6 < np.sqrt(np.mean(np.square(pulls))) < 1.5


def test_components_without_a_wave_are_as_large_as_their_errors() -> None:
    found = [find_oscillation(driven(seed)) for seed in range(8)]
    pulls = np.array([f.amplitude[1:4] / f.amplitude_error[1:4] for f in found if f is not None])
    assert len(pulls) == 8 and 0.9 < np.sqrt((pulls**2).mean()) < 2.0  # of two normal numbers: the root of 2
    assert pulls.max() < 4.5


def test_what_particles_do_not_share_is_told_apart() -> None:
    own = 0.5
    for seed in range(3):
        found = find_oscillation(driven(seed, own=own, diffusion=0.005))
        assert found is not None
        # Two axes; and 120 particles sample it to 1/sqrt(2 n).
        assert found.nonaffine_px == pytest.approx(own * np.sqrt(2), rel=4 / np.sqrt(240))
        assert abs(found.nonaffine_px - own * np.sqrt(2)) < 4 * found.nonaffine_error_px
        assert found.in_phase_px > 0.95 * found.nonaffine_px and found.out_of_phase_px < 0.2
        assert found.affine_px == pytest.approx(STRAIN * SIDE / np.sqrt(12), rel=0.15)
        assert len(found.particles) == 120
        assert {*found.particles, *found.table()} <= set(COLUMNS)
    plain = [find_oscillation(driven(seed, diffusion=0.005)) for seed in range(3)]
    for found in plain:
        assert found is not None and found.nonaffine_px < 0.1
        # Each of them is noise, of the size that it says.
        parts = found.particles.filter(regex="phase_d").to_numpy() / found.particles[["error_px"]].to_numpy()
        assert np.sqrt((parts**2).mean()) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("kind", ["brownian", "steady", "few", "still"])
def test_motion_that_is_not_periodic_gives_none(kind: str) -> None:
    options = {
        "brownian": {"strain": 0.0},
        "steady": {"strain": 0.0, "rate": 0.001},
        "few": {"strain": 0.0, "n_frames": 12},
        "still": {"strain": 0.0, "diffusion": 0.0, "sigma": 0.0},
    }[kind]
    assert all(find_oscillation(driven(seed, **options)) is None for seed in range(8))  # type: ignore[arg-type]


def test_a_slow_drive_shows_under_localisation_error() -> None:
    tracks = driven(1, n_frames=400, strain=0.005, sigma=0.5, diffusion=1e-4)
    found = find_oscillation(tracks)
    assert found is not None and abs(found.period.frames - PERIOD) < 4 * found.period_error


def test_three_dimensions() -> None:
    found = find_oscillation(driven(2, n_dim=3))
    assert found is not None and len(found.components) == 12 and found.reference == "shear_xy"
    k = found.components.index("shear_xy")
    assert abs(found.amplitude[k] - STRAIN) < 3 * found.amplitude_error[k]
    assert {"z", "in_phase_dz_px"} <= set(found.particles)


def test_an_exact_wave_is_fitted_exactly_over_gaps() -> None:
    t = np.setdiff1d(np.arange(90), [5, 6, 40])
    path = np.column_stack([3 * np.cos(0.2 * t + 1) + 0.1 * t, np.sin(0.2 * t) + 0.2 * np.cos(0.4 * t)])
    fit = fit_wave(
        t[:-1], t[1:], np.diff(path, axis=0), 0.2 / (2 * np.pi) + 1e-4, harmonics=(1, 2), refine=True
    )
    assert fit.frequency == pytest.approx(0.2 / (2 * np.pi), rel=1e-9)
    assert np.allclose(fit.wave, [3 * np.exp(1j), -1j], rtol=0, atol=1e-7)


# ---- the series ------------------------------------------------------------------------------


def test_the_series_adds_up_the_common_motion() -> None:
    t = np.arange(40)
    home = np.random.default_rng(3).uniform(0, 100, (30, 2))
    gradient = np.array([[0.001, 0.002], [-0.0005, -0.001]])
    middle = home.mean(axis=0)
    # Positions that follow the velocity field exactly in every step.
    positions = [home]
    for _ in t[1:]:
        positions.append(positions[-1] + [0.2, -0.1] + (positions[-1] - middle) @ gradient.T)
    tracks = table(np.array(positions), drop=0.1, rng=np.random.default_rng(4))
    series = strain_series(tracks[tracks["frame"] != 20])
    last = series.iloc[-1]
    columns = ["gradient_xx", "gradient_xy", "gradient_yx", "gradient_yy"]
    # Over the missing frame one step is the product of two maps.
    assert np.allclose(last[columns], 39 * gradient.ravel(), rtol=0, atol=2e-5)
    assert last["shear_strain"] == pytest.approx(39 * 0.0015, abs=2e-5)
    assert last["rotation_rad"] == pytest.approx(39 * -0.00125, abs=2e-5)
    assert list(series["frame"]) == [k for k in range(40) if k != 20]
    assert series["n_particles"].iloc[1:].min() > 10 and set(series) <= set(COLUMNS)


def test_errors_of_the_series_are_the_scatter_of_its_steps() -> None:
    series = strain_series(driven(5, strain=0.0, sigma=0.0, drop=0.0, n_frames=300))
    for value, error in (("dx_px", "dx_error_px"), ("gradient_xy", "gradient_xy_error")):
        scatter = series[value].diff().std()
        assert scatter == pytest.approx(np.sqrt((series[error] ** 2).mean()), rel=0.15)


def test_a_lone_particle_shows_no_deformation() -> None:
    with pytest.raises(InputError, match="no common deformation"):
        strain_series(pd.DataFrame({"frame": [0, 1], "particle": [0, 0], "x": [0.0, 1], "y": [0.0, 1]}))


# ---- recordings ------------------------------------------------------------------------------


def test_the_needle_of_the_sample_is_found() -> None:
    """Its particles move by 40 sin(2 pi t/100), wherever they are in the view."""
    truth = pd.read_parquet(ROOT / "sample_videos" / "sheared_monolayer_truth.parquet")
    needle = truth[truth["prescribed"] & (truth["y"] < 100)]
    found = find_oscillation(needle[["frame", "particle", "x", "y"]])
    assert found is not None and found.reference == "dx_px"
    assert found.period.frames == pytest.approx(100, rel=1e-3)
    assert found.amplitude[0] == pytest.approx(40, rel=1e-3)
    assert found.phase[0] == pytest.approx(-np.pi / 2, abs=0.01)


def test_the_material_of_the_sample_follows_the_needle() -> None:
    truth = pd.read_parquet(ROOT / "sample_videos" / "sheared_monolayer_truth.parquet")
    free = truth[~truth["prescribed"]]
    found = find_oscillation(free[["frame", "particle", "x", "y"]])
    assert found is not None
    assert abs(found.period.frames - 100) < 3 * found.period_error < 3
    # What is at a small y goes with the needle and lags behind it: the shear has the other sign.
    shear = found.components.index("shear_xy")
    lag = (np.pi / 2 - found.phase[shear]) % (2 * np.pi)
    assert 0 < lag < 1


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not here")
def test_brownian_spheres_are_not_driven() -> None:
    trackpy = pytest.importorskip("trackpy")
    trackpy.quiet()
    with open_video(DATA / "bulk_water") as video:
        images = [video.frame(k).image for k in range(60)]
    located = [
        trackpy.locate(image, 11, invert=True, minmass=150, engine="numba").assign(frame=k)
        for k, image in enumerate(images)
        if image is not None
    ]
    tracks = trackpy.link(pd.concat(located, ignore_index=True), 8, memory=2)
    assert len(tracks) > 10_000
    assert find_oscillation(tracks[["frame", "particle", "x", "y"]]) is None

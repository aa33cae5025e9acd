"""The Brownian sample diffuses exactly as stated, and its truth is what a perfect tracker would see."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trackpy
from scipy import stats
from scipy.spatial import cKDTree

from colloidlab.files import sha256
from colloidlab.synthetic.brownian import FPS, UM_PER_PX, Brownian, make_sample, trajectories, truth_table
from colloidlab.tables import read_parquet
from colloidlab.video import open_video

FOLDER = Path(__file__).resolve().parents[2] / "sample_videos"
SETUP = Brownian(n_frames=120)


@pytest.fixture(scope="module")
def unwrapped() -> np.ndarray:
    return trajectories(SETUP, np.random.default_rng(5))


@pytest.fixture(scope="module")
def truth(unwrapped: np.ndarray) -> pd.DataFrame:
    return truth_table(unwrapped, np.full(SETUP.n_particles, 5.0), SETUP)


def test_steps_are_gaussian_with_variance_2_d(unwrapped: np.ndarray) -> None:
    steps = np.diff(unwrapped, axis=0).ravel() / math.sqrt(2 * SETUP.diffusion_px2)
    assert stats.kstest(steps, "norm").pvalue > 1e-3
    assert steps.var() == pytest.approx(1.0, abs=5 * math.sqrt(2 / steps.size))


@pytest.mark.parametrize("lag", [1, 5, 30])
def test_mean_squared_displacement_is_4_d_t(unwrapped: np.ndarray, lag: int) -> None:
    moves = unwrapped[lag::lag] - unwrapped[:-lag:lag]
    expected = 4 * SETUP.diffusion_px2 * lag
    # Independent intervals: each squared length is exponential, its deviation equals its mean.
    n = moves.shape[0] * moves.shape[1]
    assert (moves**2).sum(axis=-1).mean() == pytest.approx(expected, rel=5 / math.sqrt(n))


def test_successive_steps_are_independent(unwrapped: np.ndarray) -> None:
    steps = np.diff(unwrapped, axis=0)
    product = (steps[1:] * steps[:-1]).ravel() / (2 * SETUP.diffusion_px2)
    assert abs(product.mean()) < 5 / math.sqrt(product.size)


def test_the_truth_diffuses_likewise_although_spheres_come_and_go(truth: pd.DataFrame) -> None:
    ordered = truth.sort_values(["particle", "frame"])
    moves = ordered.groupby("particle")[["frame", "x", "y"]].diff()
    moves = moves[moves["frame"] == 1]
    squared = moves["x"] ** 2 + moves["y"] ** 2
    # No move reaches across the box: at 3.6 px^2 a frame, 25 px would be one in 10^37.
    assert squared.max() < 25**2
    assert squared.mean() == pytest.approx(4 * SETUP.diffusion_px2, rel=5 / math.sqrt(len(squared)))
    stays = truth.groupby("particle")["frame"].agg(["min", "max"])
    assert (stays["min"] > 0).sum() >= 5 and (stays["max"] < SETUP.n_frames - 1).sum() >= 5


def test_the_density_in_view_is_that_of_the_box(truth: pd.DataFrame) -> None:
    expected = SETUP.n_particles * (SETUP.size_px / SETUP.box_px) ** 2
    assert truth.groupby("frame").size().mean() == pytest.approx(expected, rel=0.12)
    assert truth[["x", "y"]].to_numpy().min() >= -0.5
    assert truth[["x", "y"]].to_numpy().max() < SETUP.size_px - 0.5


def test_rows_are_unique_and_sorted(truth: pd.DataFrame) -> None:
    keys = truth[["frame", "particle"]]
    assert not keys.duplicated().any()
    assert list(truth.columns) == ["frame", "particle", "x", "y", "radius_px"]
    assert keys.equals(keys.sort_values(["frame", "particle"]).reset_index(drop=True))


def test_the_nominal_numbers_are_stokes_einstein_of_one_micrometre_in_water() -> None:
    boltzmann, temperature, viscosity, radius = 1.380649e-23, 295.15, 0.9544e-3, 0.5e-6
    d = boltzmann * temperature / (6 * math.pi * viscosity * radius) * 1e12
    assert make_sample(setup=replace(SETUP, n_frames=1)).parameters["diffusion_um2_per_s"] == pytest.approx(
        d, rel=0.01
    )
    assert Brownian().diffusion_px2 * UM_PER_PX**2 * FPS == pytest.approx(0.45)
    assert Brownian().radius_px * UM_PER_PX == pytest.approx(0.5)


def test_frames_show_the_spheres_where_the_truth_says() -> None:
    sample = make_sample(setup=replace(SETUP, n_frames=2))
    frames = list(sample.frames)
    assert [f.shape for f in frames] == [(384, 384)] * 2
    for k, image in enumerate(frames):
        inner = sample.truth[(sample.truth["frame"] == k) & sample.truth[["x", "y"]].gt(8).all(axis=1)]
        inner = inner[inner[["x", "y"]].lt(375).all(axis=1)]
        at = image[inner["y"].round().astype(int), inner["x"].round().astype(int)]
        assert len(inner) > 50 and at.min() > 4 * np.median(image)


def test_one_seed_gives_one_film() -> None:
    one, two = (next(iter(make_sample(setup=replace(SETUP, n_frames=1)).frames)) for _ in range(2))
    other = next(iter(make_sample(setup=replace(SETUP, n_frames=1, seed=21)).frames))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_the_video_in_the_repository_is_the_one_that_its_record_describes() -> None:
    record = json.loads((FOLDER / "brownian.json").read_text())
    assert record["sha256"] == {name: sha256(FOLDER / name) for name in record["sha256"]}
    assert record["parameters"]["diffusion_px2"] == Brownian().diffusion_px2


@pytest.mark.filterwarnings("ignore")  # trackpy's, about coming versions of pandas
def test_a_peer_finds_the_spheres_in_the_compressed_video() -> None:
    truth = read_parquet(FOLDER / "brownian_truth.parquet")
    errors = []
    with open_video(FOLDER / "brownian.mp4") as video:
        for frame in video.frames(0, 200):
            if frame.index % 20:
                continue
            centres = truth.loc[truth["frame"] == frame.index, ["x", "y"]].to_numpy()
            apart = cKDTree(centres).query(centres, k=2)[0][:, 1] > 16
            inside = ((centres > 12) & (centres < SETUP.size_px - 13)).all(axis=1)
            wanted = centres[apart & inside]
            found = trackpy.locate(frame.image, 11, minmass=200, separation=6)[["x", "y"]].to_numpy()
            distance, index = cKDTree(found).query(wanted)
            assert distance.max() < 0.5, "every separate sphere is found"
            errors.append(found[index] - wanted)
    error = np.concatenate(errors)
    # The information in the light allows 0.019 px; a centroid and the codec make it 0.046 px.
    assert len(error) > 300 and 0.019 < error.std() < 0.06
    assert np.abs(error.mean(axis=0)).max() < 5 * 0.06 / math.sqrt(len(error))

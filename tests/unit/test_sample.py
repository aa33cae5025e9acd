"""Samples on disk: three files that agree with one another, whole or not there at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from colloidlab.errors import Cancelled, UsageError
from colloidlab.files import sha256
from colloidlab.progress import Monitor
from colloidlab.synthetic import sample as samples
from colloidlab.synthetic.brownian import Brownian, make_sample
from colloidlab.synthetic.optics import Optics, expected_electrons, localisation_limit_px
from colloidlab.tables import read_parquet
from colloidlab.video import open_video

SHORT = Brownian(n_frames=8, size_px=128, box_px=160.0, n_particles=20)


@pytest.fixture
def short_brownian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(samples.SAMPLES, "brownian", lambda monitor: make_sample(monitor, setup=SHORT))


@pytest.mark.usefixtures("short_brownian")
def test_the_three_files_agree(tmp_path: Path) -> None:
    reported: list[tuple[str, int, int]] = []
    monitor = Monitor(lambda label, done, total: reported.append((label, done, total)))
    files = samples.write_sample("brownian", tmp_path / "new" / "folder", monitor=monitor)
    video, truth, record = files
    assert [f.name for f in files] == ["brownian.mp4", "brownian_truth.parquet", "brownian.json"]
    assert sorted(p.name for p in video.parent.iterdir()) == sorted(f.name for f in files)
    content = json.loads(record.read_text())
    assert content["sha256"] == {video.name: sha256(video), truth.name: sha256(truth)}
    assert content["parameters"]["diffusion_px2"] == SHORT.diffusion_px2
    table = read_parquet(truth)
    exact_truth = make_sample(setup=SHORT).truth
    assert np.abs(table[["x", "y"]] - exact_truth[["x", "y"]]).to_numpy().max() < 1e-5
    assert table.attrs["colloidlab"]["units"]["radius_px"] == "px"
    assert table.attrs["colloidlab"]["calibration"]["um_per_px"] == 0.1
    with open_video(video) as opened:
        images = [frame.image for frame in opened.frames()]
    assert len(images) == SHORT.n_frames == table["frame"].nunique()
    assert reported[-1] == ("filming", SHORT.n_frames, SHORT.n_frames)
    exact = np.array(list(make_sample(setup=SHORT).frames), dtype=float)
    assert np.abs(np.array(images) - exact).mean() < 2, "the codec must not change what is seen"


@pytest.mark.usefixtures("short_brownian")
def test_two_writings_are_the_same(tmp_path: Path) -> None:
    one = samples.write_sample("brownian", tmp_path / "one")
    two = samples.write_sample("brownian", tmp_path / "two")
    assert [f.read_bytes() for f in one] == [f.read_bytes() for f in two]


@pytest.mark.usefixtures("short_brownian")
def test_stopping_leaves_no_half_file(tmp_path: Path) -> None:
    asked = iter([False, False, False, True])
    with pytest.raises(Cancelled, match="filming"):
        samples.write_sample("brownian", tmp_path, monitor=Monitor(cancelled=lambda: next(asked)))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_sample_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no sample 'browian'.*brownian, sheared_monolayer"):
        samples.write_sample("browian", tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UsageError, match="taken is a file"):
        samples.write_sample("brownian", tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("setup", "named"),
    [
        ({"box_px": 390.0}, "box_px"),
        ({"n_frames": 0}, "n_frames"),
        ({"diffusion_px2": -1.0}, "diffusion_px2"),
    ],
)
def test_an_impossible_setup_is_refused(setup: dict[str, float], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        replace(Brownian(), **setup)


@pytest.mark.parametrize(
    ("optics", "named"),
    [
        ({"psf_px": 0.0}, "psf_px"),
        ({"gain": float("nan")}, "gain"),
        ({"vignetting": 1.0}, "vignetting"),
        ({"bits": 17}, "bits"),
    ],
)
def test_impossible_optics_are_refused(optics: dict[str, float], named: str) -> None:
    with pytest.raises(UsageError, match=rf"Optics\.{named}"):
        replace(Optics(), **optics)


@pytest.mark.parametrize(
    ("positions", "radii", "sentence"),
    [
        (np.zeros((3, 3)), np.ones(3), r"shape \(n_particles, 2\)"),
        (np.zeros((3, 2)), np.ones(2), "3 positions need as many radii"),
        (np.array([[np.nan, 1.0]]), np.ones(1), "finite"),
        (np.zeros((1, 2)), np.zeros(1), "positive"),
    ],
)
def test_positions_that_make_no_picture_are_refused(
    positions: np.ndarray, radii: np.ndarray, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        expected_electrons(positions, radii, (16, 16), Optics())


def test_a_shadow_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="shadow"):
        expected_electrons(np.zeros((0, 2)), np.zeros(0), (16, 16), Optics(), shadow=np.ones((8, 8)))


def test_an_empty_view_is_background_only() -> None:
    light = expected_electrons(np.zeros((0, 2)), np.zeros(0), (16, 16), Optics(vignetting=0.0))
    assert np.all(light == Optics().background)
    assert localisation_limit_px(5.0, Optics()) > 0

"""Damaged recordings through the whole of `track`: no index shifts, every lost frame is on record."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import tifffile
from container_files import announce
from diffusing_film import D_PX2, DIAMETER_PX, write_film
from scipy.spatial import cKDTree
from video_files import cut, packet_at, zero

from colloidlab.config import load_config
from colloidlab.errors import UsageError
from colloidlab.pipeline import run_track
from colloidlab.progress import Monitor
from colloidlab.run import Run

N_FRAMES = 40


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A motion JPEG film with its truth."""
    folder = tmp_path_factory.mktemp("film")
    truth = write_film(folder / "film.tif", N_FRAMES)
    with av.open(str(folder / "film.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25, options={"qmin": "1", "qmax": "1"})
        stack = tifffile.imread(folder / "film.tif")
        stream.height, stream.width, stream.pix_fmt = *stack.shape[1:], "yuvj420p"
        for i, image in enumerate(stack):
            picture = av.VideoFrame.from_ndarray(image, format="gray")
            picture.pts = i
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return folder / "film.avi", truth


def copy(source: Path, folder: Path) -> Path:
    target = folder / source.name
    target.write_bytes(source.read_bytes())
    return target


def track(source: Path, folder: Path, monitor: Monitor | None = None, **video: object) -> Run:
    options = {"track": {"diameter_px": DIAMETER_PX, "polarity": "bright", "threads": 2}, "video": video}
    run_track(source, Run(folder), load_config(None, options), monitor or Monitor())
    return Run(folder)


def check_positions(run: Run, truth: pd.DataFrame, stride: int = 1) -> None:
    """Every feature is where a particle was in the frame that it claims; a shift by one frame would show."""
    features = run.read_table("features")
    for frame, here in features.groupby("frame"):
        true = truth.loc[truth["frame"] == frame * stride, ["x", "y"]]
        distance, _ = cKDTree(true).query(here[["x", "y"]])
        # A step is 0.24 px per axis, the error of a position a tenth of that.
        assert np.sqrt(np.mean(distance**2)) < 0.5 * np.sqrt(2 * D_PX2), frame


def test_a_film_that_was_cut_is_complete_to_its_end(film: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    path = copy(film[0], tmp_path)
    cut(path, 0.6)
    run = track(path, tmp_path / "run")
    frames = run.read_table("frames")
    assert list(frames["frame"]) == list(range(N_FRAMES)), "the container announces all of them"
    status = frames["status"]
    assert 20 <= (status == "ok").sum() <= 26
    assert set(status[(status == "ok").sum() :]) <= {"missing", "damaged"}
    assert run.summary["n_frames_damaged"] == (status != "ok").sum()
    check_positions(run, film[1])


def test_a_lost_packet_shifts_nothing(film: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    path = copy(film[0], tmp_path)
    zero(path, *packet_at(path, 17))
    run = track(path, tmp_path / "run")
    frames = run.read_table("frames")
    assert list(frames["frame"]) == list(range(N_FRAMES))
    assert list(frames.loc[frames["status"] != "ok", "frame"]) == [17]
    assert 17 not in set(run.read_table("features")["frame"])
    check_positions(run, film[1])


def test_every_third_frame_has_the_time_of_the_camera(
    film: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    path = copy(film[0], tmp_path)
    zero(path, *packet_at(path, 18))
    run = track(path, tmp_path / "run", stride=3, fps=30.0)
    frames = run.read_table("frames")
    assert list(frames["frame"]) == list(range(14))
    assert list(frames.loc[frames["status"] != "ok", "frame"]) == [6]
    check_positions(run, film[1], stride=3)
    tracks = run.read_table("tracks")
    np.testing.assert_allclose(tracks["t_s"], tracks["frame"] * 3 / 30.0)


def test_a_cut_film_that_was_located_is_not_located_again(
    film: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    path = copy(film[0], tmp_path)
    cut(path, 0.6)
    located = []

    def report(label: str, done: int, total: int) -> None:
        if label == "locate":
            located.append(done)
        if label == "link":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track(path, tmp_path / "run", Monitor(report))
    assert located[-1] == N_FRAMES
    located.clear()
    run = track(path, tmp_path / "run", Monitor(lambda label, done, n: located.append(label)))
    assert "locate" not in located and "link" in located
    assert len(run.read_table("frames")) == N_FRAMES


def test_a_film_that_announces_too_few_frames_is_tracked_to_its_end(
    film: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    path = copy(film[0], tmp_path)
    announce(path, 25)
    run = track(path, tmp_path / "run")
    frames = run.read_table("frames")
    assert list(frames["frame"]) == list(range(N_FRAMES)) and (frames["status"] == "ok").all()
    check_positions(run, film[1])


def test_another_recording_does_not_take_the_place_of_results(
    film: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    path, other = copy(film[0], tmp_path), tmp_path / "other.avi"
    track(path, tmp_path / "run")
    before = {entry.name: entry.read_bytes() for entry in (tmp_path / "run").iterdir()}
    other.write_bytes(path.read_bytes())
    cut(other, 0.9)
    with pytest.raises(
        UsageError, match=r"run holds the results of .*film\.avi, which would be lost; choose another"
    ):
        track(other, tmp_path / "run")
    assert before == {entry.name: entry.read_bytes() for entry in (tmp_path / "run").iterdir()}
    # A copy is the same recording; so is one that was exported again to the same place.
    other.write_bytes(path.read_bytes())
    track(other, tmp_path / "run")
    cut(path, 0.6)
    assert track(path, tmp_path / "run").summary["n_frames_damaged"] > 0

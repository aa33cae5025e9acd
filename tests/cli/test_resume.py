"""`track` from a film to tables: what it finds, and that a killed command goes on where it stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import contents
from diffusing_film import D_PX2, DIAMETER_PX, SIDE, write_film
from scipy.spatial import cKDTree

from colloidlab.config import load_config
from colloidlab.pipeline import checkpoint, run_track
from colloidlab.pipeline.checkpoint import FOLDER, Checkpoint
from colloidlab.pipeline.locating import locate_video
from colloidlab.progress import Monitor
from colloidlab.run import Run

N_FRAMES = 120
BLANK = (40, 41, 77)
OPTIONS = {"diameter_px": DIAMETER_PX, "polarity": "bright", "threads": 2}
FLAGS = ["--diameter-px", str(DIAMETER_PX), "--polarity", "bright", "--threads", "2"]

_SLOWLY = """
import sys, time
from colloidlab.cli import main
from colloidlab.pipeline import checkpoint
from colloidlab.progress import Monitor

checkpoint.FRAMES_PER_PART = 8
update = Monitor.update

def slow(self, label, done, total):
    if label == "locate" and done > 50:
        time.sleep(0.2)
    update(self, label, done, total)

Monitor.update = slow
main(sys.argv[1:])
"""
"""Small parts, and slow from frame 50 on, so that the signal comes while it locates."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    path = tmp_path_factory.mktemp("film") / "film.tif"
    return path, write_film(path, N_FRAMES, blank=BLANK)


def track(source: Path, folder: Path, **options: object) -> list[int]:
    """Run `track` in this process; returns the frames at which locating was reported."""
    located: list[int] = []

    def report(label: str, done: int, total: int) -> None:
        if label == "locate":
            located.append(done)

    config = load_config(None, {"track": OPTIONS | options})
    run_track(source, Run(folder), config, Monitor(report))
    return located


@pytest.fixture(scope="module")
def whole(film: tuple[Path, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a command that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert track(film[0], folder)[0] == 0
    return folder


def products(folder: Path) -> dict[str, str]:
    """Hashes of all that does not hold the time of day."""
    return {name: value for name, value in contents(folder).items() if name != "run.toml"}


def stop_while_locating(
    source: Path, folder: Path, number: signal.Signals
) -> subprocess.CompletedProcess[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOWLY, "track", str(source), "-o", str(folder), *FLAGS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and len(list((folder / FOLDER).glob("*.frames.parquet"))) < 4:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return subprocess.CompletedProcess([], process.returncode, out, err)


# ---- what it finds -----------------------------------------------------------------------------------------


def test_tracks_are_those_of_the_truth(film: tuple[Path, pd.DataFrame], whole: Path) -> None:
    _, truth = film
    truth = truth[~truth["frame"].isin(BLANK)]
    run = Run(whole)
    tracks = run.read_table("tracks")
    assert (
        truth[["x", "y"]].min(axis=None) > DIAMETER_PX
        and truth[["x", "y"]].max(axis=None) < SIDE - DIAMETER_PX
    )
    matched = []
    for frame, here in tracks.groupby("frame"):
        true = truth[truth["frame"] == frame]
        distance, which = cKDTree(true[["x", "y"]]).query(here[["x", "y"]])
        good = distance < 0.5
        matched.append(here[good].assign(true=true["particle"].to_numpy()[which[good]]))
    found = pd.concat(matched)
    assert len(found) > 0.999 * len(tracks)
    assert len(found) > 0.999 * len(truth)
    # One identity for each particle, over the blank frames too.
    assert (found.groupby("true")["particle"].nunique() == 1).mean() > 0.95
    assert run.summary["diffusion_px2_per_frame"] == pytest.approx(
        D_PX2, abs=4 * run.summary["diffusion_px2_per_frame_error"]
    )
    assert run.summary["diffusion_px2_per_frame_error"] < 0.05 * D_PX2


def test_damaged_frames_keep_their_index_and_no_step_bridges_them(whole: Path) -> None:
    run = Run(whole)
    frames = run.read_table("frames")
    assert list(frames["frame"]) == list(range(N_FRAMES))
    assert list(frames.loc[frames["status"] != "ok", "frame"]) == list(BLANK)
    assert list(frames.loc[frames["status"] == "damaged", "n_features"]) == [0, 0, 0]
    assert frames.loc[list(BLANK), "reason"].str.contains("blank").all()
    assert not set(run.read_table("tracks")["frame"]) & set(BLANK)
    counts = run.read_table("features").groupby("frame").size().reindex(range(N_FRAMES), fill_value=0)
    assert list(frames["n_features"]) == list(counts)
    # D2min compares frames that are the lag apart in time: none ends, and none begins, in a blank one.
    lag = run.summary["d2min_lag_frames"]
    known = run.read_table("indicators").dropna(subset="d2min_px2")["frame"].unique()
    assert set(known) == {k for k in range(lag, N_FRAMES) if not {k, k - lag} & set(BLANK)}
    quality = run.read_table("quality")
    through = quality[(quality["first_frame"] < 40) & (quality["last_frame"] > 77)]
    assert len(through) > 40 and (through["gaps"] >= len(BLANK)).all()


def test_threads_change_nothing(film: tuple[Path, pd.DataFrame], whole: Path, tmp_path: Path) -> None:
    track(film[0], tmp_path / "one", threads=1)
    track(film[0], tmp_path / "five", threads=5)
    assert products(tmp_path / "one") == products(tmp_path / "five") == products(whole)
    before = contents(whole)
    assert track(film[0], whole, threads=1) == [], "another number of threads is no reason to track again"
    assert contents(whole) == before


# ---- interrupted -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_command_goes_on_and_gives_the_same_tables(
    film: tuple[Path, pd.DataFrame], whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    done = stop_while_locating(film[0], folder, number)
    if number == signal.SIGINT:
        assert done.returncode == 130 and "goes on from there" in done.stderr
    assert {p.name for p in folder.iterdir() if not p.name.endswith(".part")} == {FOLDER}
    kept = sum(len(pd.read_parquet(part)) for part in (folder / FOLDER).glob("*.frames.parquet"))
    located = track(film[0], folder)
    assert located[0] == kept > 0 and located[-1] == N_FRAMES
    assert products(folder) == products(whole)


def interrupt(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave half of the film located."""

    def report(label: str, done: int, total: int) -> None:
        if label == "locate" and done == N_FRAMES // 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "FRAMES_PER_PART", 10)
    with pytest.raises(KeyboardInterrupt):
        run_track(source, Run(folder), load_config(None, {"track": OPTIONS}), Monitor(report))


def test_options_of_linking_keep_the_located_frames_and_others_do_not(
    film: tuple[Path, pd.DataFrame], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(film[0], tmp_path / "a", monkeypatch)
    assert track(film[0], tmp_path / "a", memory=0)[0] > N_FRAMES // 3
    interrupt(film[0], tmp_path / "b", monkeypatch)
    assert track(film[0], tmp_path / "b", minmass=300.0)[0] == 0
    assert Run(tmp_path / "b").summary["minmass"] == 300.0
    hashes = [contents(folder)["features.parquet"] for folder in (tmp_path / "a", whole)]
    assert hashes[0] == hashes[1]


def test_an_earlier_result_stays_while_another_is_being_made(
    film: tuple[Path, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    track(film[0], folder, minmass=300.0)
    before = contents(folder)
    interrupt(film[0], folder, monkeypatch)
    after = contents(folder)
    assert {k: v for k, v in after.items() if not k.startswith(FOLDER)} == before
    assert len(after) > len(before)


def test_a_film_without_particles_leaves_nothing(tmp_path: Path) -> None:
    import tifffile

    from colloidlab.errors import InputError

    noise = np.random.default_rng(0).integers(20, 30, (12, 64, 64), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "noise.tif", noise)
    with pytest.raises(InputError, match="no particle"):
        track(tmp_path / "noise.tif", tmp_path / "run", minmass=1e6)
    assert not (tmp_path / "run").exists()


# ---- memory ------------------------------------------------------------------------------------------------


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def peak(source: Path, folder: Path) -> tuple[float, int]:
    """Most memory held while locating, beyond what is there before, bytes; and the number of features."""
    config = load_config(None, {"track": OPTIONS})
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    found = locate_video(source, config, Checkpoint(folder, ""), Monitor())
    return tracemalloc.get_traced_memory()[1] - before, len(found.features)


def test_a_longer_film_needs_no_more_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, traced: None
) -> None:
    monkeypatch.setattr(checkpoint, "FRAMES_PER_PART", 10)
    for name, n in (("warm", 8), ("short", 20), ("long", 100)):
        write_film(tmp_path / f"{name}.tif", n)
    peak(tmp_path / "warm.tif", tmp_path / "warm")
    short, few = peak(tmp_path / "short.tif", tmp_path / "short")
    long, many = peak(tmp_path / "long.tif", tmp_path / "long")
    images = 80 * SIDE * SIDE
    # The table of features itself grows; the images, three megabytes more of them, do not stay.
    table = (many - few) * 15 * 8
    assert long - short < 3 * table + 0.2 * images

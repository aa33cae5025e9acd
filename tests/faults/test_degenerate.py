"""Degenerate tables of positions: each ends in a valid result or in one sentence, and nothing hangs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_fit

from colloidlab.config import load_config
from colloidlab.errors import FitRefused, InputError
from colloidlab.pipeline import run_fit, run_track
from colloidlab.pipeline.subject import _need_blocks
from colloidlab.run import Run

N_FRAMES, N_PARTICLES = 30, 12


def walk(n_frames: int = N_FRAMES, n_particles: int = N_PARTICLES, step: float = 0.7) -> pd.DataFrame:
    """Linked random walks in a view of about 100 px."""
    rng = np.random.default_rng(8)
    frame, particle = np.indices((n_frames, n_particles)).reshape(2, -1)
    start = rng.uniform(10, 90, (n_particles, 2))
    moves = rng.normal(0, step, (n_frames, n_particles, 2))
    x, y = (start + np.cumsum(moves, axis=0)).reshape(-1, 2).T
    return pd.DataFrame({"frame": frame, "particle": particle, "x": x, "y": y})


def one_place(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(x=50.0, y=50.0)


def one_line(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(y=50.0)


def at_rest(table: pd.DataFrame) -> pd.DataFrame:
    first = table[table["frame"] == 0].set_index("particle")
    return table.assign(x=table["particle"].map(first["x"]), y=table["particle"].map(first["y"]))


def singletons(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(particle=np.arange(len(table)))


def gap(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(frame=table["frame"] + 1000 * (table["frame"] >= 15))


def with_nan(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(x=table["x"].where(np.arange(len(table)) % 7 != 0))


def three_dimensional(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(z=np.random.default_rng(1).uniform(0, 50, len(table)))


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    return table.sample(frac=1, random_state=3)


USABLE: dict[str, Callable[[], pd.DataFrame]] = {
    "two frames": lambda: walk(n_frames=2),
    "three frames": lambda: walk(n_frames=3),
    "one particle": lambda: walk(n_particles=1),
    "two particles": lambda: walk(n_particles=2),
    "three particles": lambda: walk(n_particles=3),
    "one place": lambda: one_place(walk()),
    "one line": lambda: one_line(walk()),
    "at rest": lambda: at_rest(walk()),
    "tracks of length 1": lambda: singletons(walk()),
    "NaN positions": lambda: with_nan(walk()),
    "gap of 1000 frames": lambda: gap(walk()),
    "late start": lambda: walk().assign(frame=lambda t: t["frame"] + 10**9),
    "every tenth frame": lambda: walk().assign(frame=lambda t: t["frame"] * 10),
    "negative coordinates": lambda: walk().assign(x=lambda t: t["x"] - 500, y=lambda t: t["y"] - 500),
    "far from the origin": lambda: walk().assign(x=lambda t: t["x"] + 1e7),
    "tiny lengths": lambda: walk(step=1e-7).assign(x=lambda t: t["x"] * 1e-6, y=lambda t: t["y"] * 1e-6),
    "huge lengths": lambda: walk().assign(x=lambda t: t["x"] * 1e9, y=lambda t: t["y"] * 1e9),
    "three-dimensional": lambda: three_dimensional(walk()),
    "out of order": lambda: shuffled(walk()),
    "huge identities": lambda: walk().assign(particle=lambda t: t["particle"] + 2**40),
    "negative identities": lambda: walk().assign(particle=lambda t: -1 - t["particle"]),
}
"""Tables with little or odd content that are tables of positions nevertheless."""

REFUSED: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "one frame": (lambda: walk(n_frames=1), "two"),
    "no rows": (lambda: walk().head(0), "no rows"),
    "only NaN": (lambda: walk().assign(x=np.nan), "no row"),
    "string identities": (
        lambda: walk().assign(particle=lambda t: "P" + t["particle"].astype(str)),
        "numeric",
    ),
    "twice": (lambda: pd.concat([walk(), walk().tail(1)]), "twice"),
    "fractional frames": (lambda: walk().assign(frame=lambda t: t["frame"] / 2), "0.5"),
    "negative frames": (lambda: walk().assign(frame=lambda t: t["frame"] - 3), "negative"),
    "time stamps": (lambda: walk().assign(frame=lambda t: t["frame"] * 10**8), "time stamps"),
}


def tracked(tmp_path: Path, table: pd.DataFrame, *, linked: bool = True, suffix: str = "csv") -> Run:
    path = tmp_path / f"positions.{suffix}"
    table = table if linked else table.drop(columns="particle")
    if suffix == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    run = Run(tmp_path / "run")
    run_track(path, run, load_config(None))
    return run


def one_sentence(error: Exception) -> None:
    text = str(error)
    assert text and "\n" not in text and "Traceback" not in text, text


@pytest.mark.parametrize("linked", [True, False], ids=["linked", "unlinked"])
@pytest.mark.parametrize("name", USABLE)
def test_little_or_odd_content_gives_a_valid_result(tmp_path: Path, name: str, linked: bool) -> None:
    table = USABLE[name]()
    try:
        run = tracked(tmp_path, table, linked=linked)
    except InputError as error:
        assert not linked, f"a linked table needs no more than two frames: {error}"
        one_sentence(error)
        return
    tracks = run.read_table("tracks")
    whole = table.dropna()
    assert len(tracks) == len(whole), "no position is lost or made up"
    pd.testing.assert_series_equal(
        tracks["x"].sort_values(ignore_index=True), whole["x"].sort_values(ignore_index=True), rtol=1e-12
    )
    assert not tracks.duplicated(["frame", "particle"]).any()
    assert tracks["frame"].is_monotonic_increasing
    frames = run.read_table("frames")
    assert frames["n_features"].sum() == len(tracks)
    assert (frames["status"] == "missing").sum() == len(frames) - table["frame"].nunique()
    assert len(run.read_table("indicators")) == len(tracks)
    assert all(np.isfinite(v) for v in run.summary.values() if isinstance(v, float))


@pytest.mark.parametrize("name", USABLE)
def test_what_cannot_be_fitted_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    run = tracked(tmp_path, USABLE[name]())
    with pytest.raises(FitRefused) as error:
        run_fit(run, load_config(None))
    one_sentence(error.value)
    assert Run(run.path).facts("fit")["refused"] == str(error.value)
    assert not run.has("model")


@pytest.mark.parametrize("purpose", ["choose", "test"])
@pytest.mark.parametrize("what", ["nobody observed", "nobody inside", "tracks too short"])
def test_blocks_in_which_nobody_counts_are_refused(purpose: str, what: str) -> None:
    s = small_fit.subject()
    first, stop = s.split.validation if purpose == "choose" else s.split.test
    cutoff = 0.1 * s.guess.cutoff
    recording = replace(
        s.recording, **{name: getattr(s.recording, name).copy() for name in ("observed", "edge", "particle")}
    )
    _need_blocks(recording, s.split, cutoff)
    block = slice(int(recording.start[first]), int(recording.start[stop]))
    if what == "nobody observed":
        recording.observed[block] = False
    elif what == "nobody inside":
        recording.edge[block] = 0.0
    else:
        # Others from every third frame on.
        for frame in range(recording.first, recording.stop):
            recording.particle[recording.rows(frame)] += 1000 * (frame // 3)
    with pytest.raises(FitRefused) as error:
        _need_blocks(recording, s.split, cutoff)
    if what != "tracks too short":
        assert f"frames {first} to {stop - 1}, which were to {purpose} the fit" in str(error.value)
    one_sentence(error.value)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_of_positions_is_refused(tmp_path: Path, name: str, suffix: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(InputError) as error:
        tracked(tmp_path, make(), suffix=suffix)
    one_sentence(error.value)
    assert said in str(error.value) and "positions" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = tracked(tmp_path / "a", walk())
    second = tracked(tmp_path / "b", shuffled(walk()))
    pd.testing.assert_frame_equal(first.read_table("tracks"), second.read_table("tracks"))
    assert first.summary.keys() == second.summary.keys()
    for key, value in first.summary.items():
        assert second.summary[key] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)


def test_where_the_origin_lies_changes_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = tracked(tmp_path / "a", walk())
    second = tracked(tmp_path / "b", walk().assign(x=lambda t: t["x"] - 500, y=lambda t: t["y"] - 500))
    for key, value in first.summary.items():
        if isinstance(value, float):
            assert second.summary[key] == pytest.approx(value, rel=1e-6), key

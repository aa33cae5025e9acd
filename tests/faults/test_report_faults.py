"""Damaged, empty and degenerate run folders: the report says what is wrong, in place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_fixture import Layer, make_run

from colloidlab.errors import InputError
from colloidlab.report import overview_figure, write_report
from colloidlab.report.build import PARTS, make_piece
from colloidlab.report.results import Results
from colloidlab.report.style import house_style
from colloidlab.run import Run

ITEMS = {item.name: item for part in PARTS for item in part.items}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("original") / "run", layer=Layer(n_side=9, n_frames=30)).path


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Run:
    shutil.copytree(original, tmp_path / "run")
    return Run(tmp_path / "run")


def change(name: str, how: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Run], None]:
    def apply(run: Run) -> None:
        run.write_table(name, how(run.read_table(name)))

    return apply


def overwrite(name: str, content: bytes) -> Callable[[Run], None]:
    return lambda run: (run.path / name).write_bytes(content) and None


def cut(name: str) -> Callable[[Run], None]:
    def apply(run: Run) -> None:
        path = run.path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return apply


def remove_array(run: Run) -> None:
    shutil.rmtree(run.path / "rollout.zarr" / "velocities")


def remove_chunks(run: Run) -> None:
    shutil.rmtree(run.path / "rollout.zarr")
    (run.path / "rollout.zarr").mkdir()


def forget_split(run: Run) -> None:
    del run.record["stages"]["fit"]["facts"]["test"]


FAULTS = [
    ("health", change("frames", lambda t: t.drop(columns="status")), "frames.parquet has no column status"),
    ("health", change("frames", lambda t: t.iloc[:0]), "frames.parquet holds no rows"),
    ("health", overwrite("frames.parquet", b"not parquet"), "not a readable Parquet file"),
    ("detections", cut("preview.png"), "preview.png is damaged"),
    ("detections", overwrite("preview.png", b""), "preview.png is damaged"),
    ("detections", overwrite("preview.png", b"<html>"), "preview.png is damaged"),
    ("detections", lambda run: (run.path / "preview.png").unlink(), "run 'colloidlab track"),
    ("tracks", change("tracks", lambda t: t.iloc[:0]), "tracks.parquet holds no rows"),
    ("rearrangement", change("indicators", lambda t: t.assign(d2min_px2=np.nan)), "enough neighbours"),
    ("rearrangement", change("indicators", lambda t: t.assign(d2min_px2=0.0)), "is zero"),
    (
        "rearrangement",
        change("indicators", lambda t: t.assign(strain_xy=np.nan)),
        "No particle has a known local strain",
    ),
    ("hexatic", change("indicators", lambda t: t.assign(psi6=np.nan)), "No particle has a known psi6"),
    ("curves", change("curves", lambda t: t.assign(quantity="other")), "None of g(r), S(q), MSD and"),
    ("split", forget_split, "does not say how the frames were split"),
    ("temperature", change("state", lambda t: t[t["frame"] < 5]), "no frame of the test block"),
    ("temperature", change("state", lambda t: t.assign(temperature_px2=np.nan)), "known temperature"),
    ("heat", change("indicators", lambda t: t[t["frame"] < 10]), "Fewer than 50 particles"),
    ("likelihood", cut("likelihood.parquet"), "likelihood.parquet is not a readable"),
    ("functions", change("functions", lambda t: t.drop(columns="y_unit")), "no column y_unit"),
    ("comparison", change("comparison", lambda t: t.assign(quantity="other")), "holds none of"),
    ("snapshots", remove_array, "rollout.zarr is damaged"),
    ("snapshots", remove_chunks, "rollout.zarr is damaged"),
    ("snapshots", change("state", lambda t: t[t["frame"] < 10]), "No particle is there in frame 29"),
    ("energy", change("budget", lambda t: t.drop(columns="heat")), "budget.parquet has no column heat"),
]


@pytest.mark.parametrize(("name", "damage", "expected"), FAULTS, ids=[f"{n}-{e[:24]}" for n, _, e in FAULTS])
def test_fault_becomes_a_sentence_in_its_place(
    run: Run, name: str, damage: Callable[[Run], None], expected: str
) -> None:
    assert make_piece(ITEMS[name], Results(run)).absent == ""
    damage(run)
    assert expected in make_piece(ITEMS[name], Results(run)).absent


def one_frame(run: Run) -> None:
    for name in ("frames", "features", "tracks"):
        table = run.read_table(name)
        run.write_table(name, table[table["frame"] == 0])
    for name in ("indicators", "curves"):
        run.write_table(name, run.read_table(name).iloc[:0])


def one_particle(run: Run) -> None:
    for name in ("tracks", "indicators", "state"):
        table = run.read_table(name)
        run.write_table(name, table[table["particle"] == 14])


def no_spread(run: Run) -> None:
    for name, constant in (
        ("features", ["mass", "size", "radius_px"]),
        ("state", ["temperature_px2", "entropy"]),
    ):
        run.write_table(name, run.read_table(name).assign(**dict.fromkeys(constant, 1.0)))
    run.write_table("indicators", run.read_table("indicators").assign(d2min_px2=1.0, strain_xy=0.0, psi6=1.0))


def unknown_values(run: Run) -> None:
    for name in ("features", "tracks"):
        run.write_table(name, run.read_table(name).assign(radius_px=np.nan, mass=np.nan))
    for name in ("curves", "functions", "comparison"):
        run.write_table(name, run.read_table(name).assign(y_low=np.nan, y_high=np.nan))


def negative_curves(run: Run) -> None:
    table = run.read_table("comparison")
    run.write_table("comparison", table.assign(y=-table["y"].abs(), y_low=-1.0, y_high=-1.0))


DEGENERATE = [
    (one_frame, "health detections tracks rearrangement hexatic curves", "rearrangement hexatic curves"),
    (one_particle, "tracks rearrangement temperature snapshots heat", "heat"),
    (no_spread, "detections rearrangement heat", ""),
    (unknown_values, "detections tracks curves", ""),
    (negative_curves, "comparison", ""),
]


@pytest.mark.parametrize(("degrade", "pieces", "absent"), DEGENERATE, ids=[d[0].__name__ for d in DEGENERATE])
@pytest.mark.filterwarnings("error")
def test_degenerate_data_are_drawn_or_named(
    run: Run, degrade: Callable[[Run], None], pieces: str, absent: str
) -> None:
    degrade(run)
    results = Results(run)
    with house_style():
        made = [make_piece(ITEMS[name], results) for name in pieces.split()]
    assert {piece.name for piece in made if piece.absent} == set(absent.split())
    assert all(piece.figure for piece in made if not piece.absent)


@pytest.mark.filterwarnings("error")
def test_overview_of_one_frame_says_what_it_lacks(run: Run) -> None:
    one_frame(run)
    (run.path / "comparison.parquet").unlink()
    (run.path / "state.parquet").unlink()
    said = [" ".join(text.get_text().split()) for ax in overview_figure(run).axes for text in ax.texts]
    assert [s.split(":")[0] for s in said] == [
        "indicators.parquet holds no rows",
        "indicators.parquet holds no rows",
        "curves.parquet holds no rows",
    ]


def test_folder_without_a_run_is_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="colloidlab track"):
        write_report(Run(tmp_path / "nothing"))
    with pytest.raises(InputError, match="run 'colloidlab track' first"):
        overview_figure(Run(tmp_path / "nothing"))


def test_damaged_summary_is_refused(run: Run) -> None:
    (run.path / "summary.json").write_text('{"n_frames": ')
    with pytest.raises(InputError, match=r"summary\.json is damaged"):
        write_report(run)

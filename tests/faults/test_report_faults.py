"""Damaged, empty and degenerate run folders: the report says what is wrong, in place, and never fails on it."""

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
from colloidlab.run import Run

ITEMS = {item.name: item for part in PARTS for item in part.items}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("original") / "run", layer=Layer(n_side=6, n_frames=20)).path


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
    del run.record["stages"]["fit"]["facts"]["splits"]


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
    ("rearrangement", change("indicators", lambda t: t.assign(strain_xy=np.nan)), "No particle has a known local strain"),
    ("hexatic", change("indicators", lambda t: t.assign(psi6=np.nan)), "No particle has a known psi6"),
    ("curves", change("curves", lambda t: t.assign(quantity="other")), "None of g(r), MSD and VACF"),
    ("split", forget_split, "does not say how the frames were split"),
    ("temperature", change("state", lambda t: t[t["frame"] < 5]), "no frame of the test block"),
    ("temperature", change("state", lambda t: t.assign(temperature_px2=np.nan)), "known temperature"),
    ("heat", change("indicators", lambda t: t[t["frame"] < 10]), "Fewer than 50 particles"),
    ("likelihood", cut("likelihood.parquet"), "likelihood.parquet is not a readable"),
    ("functions", change("functions", lambda t: t.drop(columns="y_unit")), "no column y_unit"),
    ("comparison", change("comparison", lambda t: t.assign(quantity="other")), "holds none of"),
    ("snapshots", remove_array, "rollout.zarr is damaged"),
    ("snapshots", remove_chunks, "rollout.zarr is damaged"),
    ("snapshots", change("state", lambda t: t[t["frame"] < 10]), "No particle is there in frame 19"),
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
    for name, constant in (("features", ["mass", "size", "radius_px"]), ("state", ["temperature_px2", "entropy"])):
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


@pytest.mark.parametrize("degrade", [one_frame, one_particle, no_spread, unknown_values, negative_curves])
@pytest.mark.filterwarnings("error")
def test_degenerate_runs_still_have_a_page_and_an_overview(run: Run, degrade: Callable[[Run], None]) -> None:
    degrade(run)
    html = write_report(run).read_text(encoding="utf-8")
    assert html.rstrip().endswith("</html>")
    assert '<section id="tracking">' in html
    assert len(overview_figure(run).axes) >= 4


def test_folder_without_a_run_is_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="colloidlab track"):
        write_report(Run(tmp_path / "nothing"))
    with pytest.raises(InputError, match="run 'colloidlab track' first"):
        overview_figure(Run(tmp_path / "nothing"))


def test_damaged_summary_is_refused(run: Run) -> None:
    (run.path / "summary.json").write_text('{"n_frames": ')
    with pytest.raises(InputError, match=r"summary\.json is damaged"):
        write_report(run)

"""`colloidlab indicators`: quantities alone, beside those that are there, and what that does to the rest of the run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from commands import Command, contents

from colloidlab.config import QUANTITIES
from colloidlab.indicators.stage import CATALOGUE
from colloidlab.run import Run


@pytest.fixture
def tracked(command: Command, overdamped_csv: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "tracked"
    assert command("track", overdamped_csv, "-o", folder, "--only", "g_r,psi6").code == 0
    return folder


def test_names_of_the_option_are_those_of_the_catalogue() -> None:
    assert tuple(CATALOGUE) == QUANTITIES


def test_only_what_is_asked_for_is_measured(tracked: Path) -> None:
    run = Run(tracked)
    assert list(run.facts("indicators")["parts"]) == ["g_r", "psi6"]
    assert run.read_table("indicators").columns.tolist() == ["frame", "particle", "psi6", "psi6_angle_rad"]
    assert set(run.read_table("curves")["quantity"]) == {"g_r"}
    assert "diffusion_px2_per_frame" not in run.summary and "psi6_mean" in run.summary


def test_more_is_put_beside_it_and_equals_all_at_once(
    command: Command, tracked: Path, overdamped_csv: Path, tmp_path: Path
) -> None:
    psi6 = Run(tracked).read_table("indicators")["psi6"]
    asked = command("indicators", tracked, "--only", "msd, d2min")
    assert asked.code == 0 and "d2min_lag_frames" in asked.out and "psi6_mean" in asked.out
    run = Run(tracked)
    assert list(run.facts("indicators")["parts"]) == ["g_r", "psi6", "msd", "d2min"]
    pd.testing.assert_series_equal(run.read_table("indicators")["psi6"], psi6)
    # What was asked for once is not remembered as an option.
    assert command("indicators", tracked).code == 0
    whole = tmp_path / "whole"
    assert command("track", overdamped_csv, "-o", whole).code == 0
    for table in ("indicators", "curves"):
        pieces, once = (Run(folder).read_table(table) for folder in (tracked, whole))
        if table == "curves":
            # Curves stand in the order in which they were measured.
            pieces, once = (t.sort_values(["quantity", "x"], ignore_index=True) for t in (pieces, once))
        pd.testing.assert_frame_equal(pieces, once)
    assert Run(tracked).summary == Run(whole).summary
    again = command("indicators", tracked, "--only", "psi6")
    assert again.code == 0 and "nothing to do" in again.out


def test_other_options_leave_nothing_of_before(command: Command, tracked: Path) -> None:
    assert command("indicators", tracked, "--only", "d2min", "--lag-frames", "2").code == 0
    run = Run(tracked)
    assert list(run.facts("indicators")["parts"]) == ["d2min"]
    assert "psi6" not in run.read_table("indicators") and "psi6_mean" not in run.summary


def test_rollouts_stay_where_they_are_compared_over_the_same_lag(command: Command, copy_of_run: Path) -> None:
    run = Run(copy_of_run)
    lag = int(run.summary["d2min_lag_frames"])
    # Each as its own, with whatever the run had been asked for.
    assert command("indicators", copy_of_run, "--only", "psi6", "--lag-frames", str(lag)).code == 0
    assert run.has("rollout.zarr") and not run.has("report.html")
    assert command("indicators", copy_of_run, "--only", "d2min", "--lag-frames", str(lag + 1)).code == 0
    assert not run.has("rollout.zarr") and run.has("model")


def test_wrong_names_and_folders_are_refused(command: Command, tracked: Path, tmp_path: Path) -> None:
    before = contents(tracked)
    wrong = command("indicators", tracked, "--only", "psi7")
    assert wrong.code == 2 and "'psi7' is not known" in wrong.err and "psi6" in wrong.err
    nothing = command("indicators", tracked, "--only", ",")
    assert nothing.code == 2 and "names nothing" in nothing.err
    assert command("indicators", tmp_path / "absent").code == 2
    (tmp_path / "empty").mkdir()
    empty = command("indicators", tmp_path / "empty")
    assert empty.code == 4 and "colloidlab track" in empty.err
    assert contents(tracked) == before

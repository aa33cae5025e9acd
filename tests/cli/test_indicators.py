"""`colloidlab indicators`: quantities alone, beside those that are there, and what that does to the rest of the run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from commands import Command, contents

from colloidlab.config import QUANTITIES
from colloidlab.indicators.bond_order import PSI6_COLUMNS
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
    assert run.read_table("indicators").columns.tolist() == [*PSI6_COLUMNS]
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


def test_other_options_of_some_leave_the_others_as_they_are(command: Command, tracked: Path) -> None:
    psi6 = Run(tracked).read_table("indicators")["psi6"]
    assert command("indicators", tracked, "--only", "d2min", "--lag-frames", "2").code == 0
    run = Run(tracked)
    parts = run.facts("indicators")["parts"]
    assert list(parts) == ["g_r", "psi6", "d2min"]
    assert parts["d2min"]["options"]["lag_frames"] == 2 and "lag_frames" not in parts["psi6"]["options"]
    pd.testing.assert_series_equal(run.read_table("indicators")["psi6"], psi6)
    assert "psi6_mean" in run.summary and run.summary["d2min_lag_frames"] == 2
    # It was asked for once, and is no setting of the run: everything comes back with the run's own options.
    assert command("indicators", tracked, "--only", "d2min").code == 0
    assert "lag_frames" not in Run(tracked).facts("indicators")["parts"]["d2min"]["options"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--reference-frame", "9999"), "holds no particle"),
        (("--msd-origin-frame", "9999"), "holds no particle"),
        (("--lag-frames", "9999"), "does not fit a recording"),
        (("--hop-frames", "100000"), "does not fit a recording"),
        (("--lag-period",), "not periodic"),
    ],
)
def test_what_the_recording_does_not_have_is_refused_before_anything_is_written(
    command: Command, tracked: Path, options: tuple[str, ...], sentence: str
) -> None:
    before = contents(tracked)
    refused = command("indicators", tracked, *options)
    assert refused.code == 4 and sentence in refused.err
    assert contents(tracked) == before


def test_rollouts_stay_and_are_compared_anew_over_another_lag(command: Command, copy_of_run: Path) -> None:
    run = Run(copy_of_run)
    lag, old = int(run.summary["d2min_lag_frames"]), run.summary["d2min_entropy_correlation"]
    assert command("indicators", copy_of_run, "--only", "psi6").code == 0
    assert run.has("rollout.zarr")
    assert command("indicators", copy_of_run, "--only", "d2min", "--lag-frames", str(lag + 1)).code == 0
    assert run.has("rollout.zarr") and not run.has("report.html")
    # What the fit said of the old D2min is said of the new one.
    assert Run(copy_of_run).summary["d2min_entropy_correlation"] != old
    again = command("simulate", copy_of_run)
    assert again.code == 0 and "nothing to do" not in again.out


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

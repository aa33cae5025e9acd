"""`simulate` interrupted, stopped, prolonged, and driven by something else than the recording."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from commands import Command, contents

from colloidlab.config import load_config
from colloidlab.errors import Cancelled
from colloidlab.pipeline import run_simulate
from colloidlab.pipeline.rollout_store import FOLDER
from colloidlab.progress import Monitor
from colloidlab.rollout import driven, fused_graph
from colloidlab.run import Run

pytestmark = pytest.mark.slow

_SLOWLY = """
import sys, time
from pathlib import Path
from colloidlab.cli import main
from colloidlab.progress import Monitor
from colloidlab.rollout import driven

driven.FRAMES_A_STRETCH = 4
update = Monitor.update

def slow(self, label, done, total):
    if label == "roll out" and done == 10:
        Path(sys.argv[1]).touch()
        time.sleep(300)
    update(self, label, done, total)

Monitor.update = slow
main(sys.argv[2:])
"""
"""Writes stretches of four frames, and waits for the signal in the third."""

SHORT = ["--ensemble", "2", "--steps-per-frame", "4"]


def simulated(folder: Path) -> dict[str, str]:
    """Hashes of the rollouts, budgets and comparison."""
    names = ("rollout.zarr/", "budget.parquet", "comparison.parquet")
    return {name: value for name, value in contents(folder).items() if name.startswith(names)}


@pytest.fixture
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driven, "FRAMES_A_STRETCH", 4)


def test_a_simulation_killed_without_warning_goes_on_to_the_same_bits(
    command: Command,
    copy_of_run: Path,
    tmp_path: Path,
    short_stretches: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, marker = Path(shutil.copytree(copy_of_run, tmp_path / "whole")), tmp_path / "waiting"
    # Beyond the recording as well: the boundary's continuation is part of it.
    arguments = [*SHORT, "--frames", "20"]
    before = simulated(copy_of_run)
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOWLY, str(marker), "simulate", str(copy_of_run), *arguments]
    )
    try:
        deadline = time.monotonic() + 180
        while not marker.exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert len(list((copy_of_run / FOLDER).glob("*.budget.parquet"))) == 2
    assert simulated(copy_of_run) == before, "an earlier result stays while another is being made"
    steps: list[int] = []
    update = Monitor.update

    def told(self: Monitor, label: str, done: int, total: int) -> None:
        steps.extend([done] if label == "roll out" else [])
        update(self, label, done, total)

    monkeypatch.setattr(Monitor, "update", told)
    assert command("simulate", copy_of_run, *arguments).code == 0
    assert steps[0] == 7, "it goes on after the last complete stretch"
    assert not (copy_of_run / FOLDER).exists()
    assert command("simulate", whole, *arguments).code == 0
    assert simulated(copy_of_run) == simulated(whole) != before
    assert "nothing to do" in command("simulate", copy_of_run, *arguments).out


def test_a_cancelled_simulation_goes_on_and_other_options_begin_anew(
    copy_of_run: Path, short_stretches: None
) -> None:
    def options(seed: int) -> dict[str, dict[str, object]]:
        return {"simulate": {"ensemble": 1, "steps_per_frame": 4, "simulate_seed": seed}}

    def simulate(seed: int, stop: int | None) -> int:
        """First frame that was worked at."""
        seen: list[int] = []

        def told(label: str, k: int, total: int) -> None:
            seen.extend([k] if label == "roll out" else [])

        monitor = Monitor(told, lambda: stop is not None and bool(seen) and seen[-1] >= stop)
        config = load_config(copy_of_run / "run.toml", options(seed))
        if stop is None:
            run_simulate(Run(copy_of_run), config, monitor)
        else:
            with pytest.raises(Cancelled, match="run the command again"):
                run_simulate(Run(copy_of_run), config, monitor)
        return seen[0]

    assert simulate(7, stop=6) == 0
    assert simulate(7, stop=10) == 7
    assert simulate(8, stop=5) == 0
    assert simulate(8, stop=None) == 3
    assert not (copy_of_run / FOLDER).exists()


def test_frames_beyond_the_recording_are_named_and_not_compared(command: Command, copy_of_run: Path) -> None:
    done = command("simulate", copy_of_run, *SHORT, "--frames", "40", "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    group = zarr.open_group(copy_of_run / "rollout.zarr", mode="r")
    recorded = np.asarray(group["recorded"][:])
    last = int(pd.read_parquet(copy_of_run / "state.parquet")["frame"].max())
    assert len(recorded) == 40 and list(group["frame"][:][recorded])[-1] == last
    assert summary["rollout_frames_extrapolated"] == int((~recorded).sum()) > 20
    assert (
        f"up to frame {last}" in summary["rollout_boundary"] and "extrapolated" in summary["rollout_boundary"]
    )
    inside = np.asarray(group["positions"][:])[:, :, np.asarray(group["simulated"][:])]
    assert np.isfinite(inside).all()
    # Curves of the comparison end with the recording: lags up to half of the common frames.
    curves = pd.read_parquet(copy_of_run / "comparison.parquet")
    lags = curves[curves["quantity"] == "msd"].groupby("series")["x"].max()
    assert lags["rollout"] == lags["experiment"] <= recorded.sum() / 2


def test_frames_that_the_fit_has_seen_are_not_called_held_out(
    command: Command, copy_of_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = [*SHORT, "--forecast-starts", "2", "--forecast-members", "2"]
    done = command("simulate", copy_of_run, *arguments, "--from-frame", "6", "--frames", "6", "--json")
    assert done.code == 0, done.err
    summary = json.loads((copy_of_run / "summary.json").read_text(encoding="utf-8"))
    first = Run(copy_of_run).facts("fit")["test"][0]
    said = f"frames 6 to 11 are not held out (the fit has seen those before {first})"
    assert said in summary["rollout_unjudged"] and said in caplog.text
    judged = ("rollout_g_r", "rollout_msd", "d2min_ks", "coverage", "forecast")
    assert not [name for name in summary if name.startswith(judged)]
    assert {"comparison.parquet", "calibration.parquet"} <= {path.name for path in copy_of_run.iterdir()}
    # Options stay with the run; the word takes them back.
    kept = command("simulate", copy_of_run, "--json")
    assert "not held out" in json.loads(kept.out)["rollout_unjudged"]
    back = json.loads(
        command("simulate", copy_of_run, "--from-frame", "none", "--frames", "none", "--json").out
    )
    assert "rollout_unjudged" not in back and "rollout_g_r_error" in back and "coverage_80_first" in back
    assert min(zarr.open_group(copy_of_run / "rollout.zarr", mode="r")["frame"][:]) == first


def test_other_forecasts_keep_the_rollouts(
    command: Command, copy_of_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("simulate", copy_of_run, *SHORT, "--forecast-starts", "1").code == 0
    before = simulated(copy_of_run)

    def never(*arguments: object, **others: object) -> None:
        raise AssertionError("rollouts that are there were made again")

    with monkeypatch.context() as patched:
        patched.setattr("colloidlab.pipeline.simulate.roll_out", never)
        done = command("simulate", copy_of_run, "--forecast-starts", "2", "--json")
    assert done.code == 0, done.err
    assert "skipped" not in done.out or json.loads(done.out)["skipped"] is False
    assert simulated(copy_of_run) == before
    assert "nothing to do" in command("simulate", copy_of_run).out
    command("simulate", copy_of_run, "--simulate-seed", "1")
    assert simulated(copy_of_run) != before


def test_without_a_temperature_the_isothermal_laws_roll_out_and_it_is_said(
    command: Command, copy_of_run: Path
) -> None:
    model = copy_of_run / "model" / "model.json"
    facts = json.loads(model.read_text(encoding="utf-8"))
    model.write_text(json.dumps(facts | {"temperature_identified": False}), encoding="utf-8")
    summary = json.loads(
        command("simulate", copy_of_run, *SHORT, "--no-tables", "--simulate-seed", "2", "--json").out
    )
    assert "isothermal laws" in summary["rollout_notes"][0]
    # Nor is there a table that could have missed anything.
    assert "in torch on cpu" in summary["rollout_step"] and "rollout_table_misses" not in summary
    group = zarr.open_group(copy_of_run / "rollout.zarr", mode="r")
    T = np.asarray(group["temperature"][:])
    assert np.nanstd(T) < 1e-12 * np.nanmean(T)


def test_single_precision_and_body_force(command: Command, copy_of_run: Path) -> None:
    done = command(
        "simulate",
        copy_of_run,
        *SHORT,
        "--dtype",
        "float32",
        "--device",
        "cpu",
        "--body-force=-0.01,0",
        "--json",
    )
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert 1e-10 < summary["rollout_momentum_drift"] < 1e-3
    assert "rollout_msd_error" not in summary, "no experiment had that force"
    assert "no experiment had this drive or force" in summary["rollout_unjudged"]
    group = zarr.open_group(copy_of_run / "rollout.zarr", mode="r")
    assert group["positions"].dtype == np.float32
    budget = pd.read_parquet(copy_of_run / "budget.parquet")
    assert (budget.loc[budget["frame"] > budget["frame"].min(), "forcing"] != 0).all()
    change = budget.groupby("member")["energy"].diff()
    books = budget[["work", "heat", "energy_drift"]].sum(axis=1)
    assert np.allclose(
        change.dropna(), books[change.notna()], rtol=0, atol=1e-9 * budget["energy"].abs().max()
    )


def test_a_drive_signal_moves_the_boundary(command: Command, copy_of_run: Path, tmp_path: Path) -> None:
    signal = tmp_path / "signal.csv"
    signal.write_text("frame,dx_px\n0,0\n8,2\n")
    done = command("simulate", copy_of_run, *SHORT, "--drive", signal, "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary["rollout_frames"] == 9 and "signal.csv" in summary["rollout_boundary"]
    assert "rollout_g_r_error" not in summary
    group = zarr.open_group(copy_of_run / "rollout.zarr", mode="r")
    held = np.asarray(group["positions"][:])[:, :, ~np.asarray(group["simulated"][:])]
    assert np.allclose(held[:, -1] - held[:, 0], [2, 0], rtol=0, atol=1e-12)
    signal.write_text("frame,dx_px\n0,0\n8,3\n")
    assert "nothing to do" not in command("simulate", copy_of_run, *SHORT, "--drive", signal).out
    short = command("simulate", copy_of_run, *SHORT, "--drive", signal, "--frames", "12")
    assert short.code == 4 and "ends at 8" in short.err and short.err.strip().count("\n") <= 1
    # The record names the signal; 'none' goes back to the recording.
    back = command("simulate", copy_of_run, *SHORT, "--drive", "none", "--json")
    assert "rollout_g_r_error" in json.loads(back.out)


def test_a_rollout_that_runs_away_is_kept_as_far_as_it_is_good(
    command: Command, copy_of_run: Path, short_stretches: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = simulated(copy_of_run)
    advance = driven._Simulation.advance

    def kicked(self: driven._Simulation, k: int, n: int) -> None:
        if k == 5:
            self.state.v[self.prescription.simulated] *= 1e4
            self.motion.place(self.state)
        advance(self, k, n)

    monkeypatch.setattr(driven._Simulation, "advance", kicked)
    done = command("simulate", copy_of_run, *SHORT)
    assert done.code == 3
    first = int(np.asarray(zarr.open_group(copy_of_run / "rollout.zarr", mode="r")["frame"][:])[0])
    assert "ran away" in done.err and f"before frame {first + 6}" in done.err and "Traceback" not in done.err
    assert "rollout_stopped.zarr" in done.err and "particle" in done.err and "member" in done.err
    stopped = zarr.open_group(copy_of_run / "rollout_stopped.zarr", mode="r")
    assert stopped["positions"].shape[1] == 6 and "ran away" in stopped.attrs["stopped"]
    assert np.isfinite(np.asarray(stopped["positions"][:])[:, :, np.asarray(stopped["simulated"][:])]).all()
    assert pd.read_parquet(copy_of_run / "budget_stopped.parquet")["frame"].nunique() == 6
    assert simulated(copy_of_run) == before
    monkeypatch.undo()
    assert command("simulate", copy_of_run, *SHORT).code == 0
    assert not (copy_of_run / "rollout_stopped.zarr").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--device", "cuda"], "no CUDA device"),
        (["--body-force", "1"], "FX,FY"),
        (["--drive", "absent.csv"], "absent.csv does not exist"),
        (["--frames", "1"], "--frames: "),
        (["--from-frame", "5000"], "from_frame"),
    ],
)
def test_wrong_options_are_named_and_change_nothing(
    command: Command, copy_of_run: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], named: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = contents(copy_of_run)
    done = command("simulate", copy_of_run, *arguments)
    assert done.code in (2, 4) and named in done.err
    assert contents(copy_of_run) == before


def test_a_fused_step_is_named_and_rollouts_that_are_there_keep_its_name(
    command: Command,
    copy_of_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(fused_graph.torch, "compile", lambda graph, **_: graph)
    plain = json.loads(command("simulate", copy_of_run, *SHORT, "--no-tables", "--json").out)
    assert plain["rollout_step"] == "laws themselves, in torch on cpu"
    # Nothing is made anew by the option alone, nor by a shorter forecast.
    again = command(
        "simulate", copy_of_run, *SHORT, "--no-tables", "--fuse", "on", "--forecast-starts", "1", "--json"
    )
    assert json.loads(again.out)["rollout_step"] == "laws themselves, in torch on cpu"
    seed = ("--simulate-seed", "3", "--json")
    fused = json.loads(command("simulate", copy_of_run, *SHORT, "--no-tables", "--fuse", "on", *seed).out)
    assert fused["rollout_step"] == "laws themselves, in torch on cpu, fused"
    idle = command("simulate", copy_of_run, *SHORT, "--tables", "--fuse", "on", *seed)
    assert (
        json.loads(idle.out)["rollout_step"] == "tables, compiled"
        and "--fuse on has no effect" in caplog.text
    )

"""The command line as a whole: exit codes, what goes where, what is kept and what is repeated."""

from __future__ import annotations

import json
import re
import signal
import time
import tomllib
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recordings
from commands import Command, Done, contents, start

from colloidlab.config import Config
from colloidlab.model.checkpoint import FOLDER
from colloidlab.run import STAGES, Run
from colloidlab.video.write import write_mp4

COMMANDS = {
    "run": ("A.csv", "-o", "R"),
    "track": ("A.csv", "-o", "R"),
    "fit": ("R",),
    "simulate": ("R",),
    "report": ("R",),
    "export": ("R", "-o", "R.png"),
    "sample": ("brownian", "-o", "R"),
    "doctor": (),
}


def sentence(done: Done, code: int, said: str) -> None:
    """It ended with `code` and one line on standard error that has `said`; nothing for programs to read."""
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert done.code == code, done.err
    assert done.out == ""
    assert len(lines) == 1 and lines[0].startswith("colloidlab: "), done.err
    assert said in lines[0]


# ---- help and options ----------------------------------------------------------------------------------


def test_help_names_every_command(command: Command) -> None:
    done = command("--help")
    assert done.code == 0 and done.err == ""
    assert all(re.search(rf"^│ {name} ", done.out, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(command: Command, name: str) -> None:
    done = command(name, "--help")
    assert done.code == 0 and done.err == ""
    assert done.out.startswith("Usage: colloidlab " + name)
    assert "--json" in done.out


def test_every_option_has_a_flag_with_its_description(command: Command) -> None:
    done = command("run", "--help")
    for section in Config.model_fields.values():
        for name in section.annotation.model_fields:  # type: ignore[union-attr]
            assert "--" + name.removesuffix("_minutes").replace("_", "-") in done.out


def test_version(command: Command) -> None:
    import colloidlab

    assert command("--version").out.strip() == colloidlab.__version__


def test_printed_options_read_back_the_same(command: Command, tmp_path: Path) -> None:
    given = ["--fps", "12.5", "--frames", "3:40", "--memory", "5", "--filter-steps", "9", "--ensemble", "2"]
    first = command("run", "none.mp4", "-o", tmp_path / "none", "--print-config", *given)
    assert first.code == 0 and first.err == ""
    assert tomllib.loads(first.out)["video"].items() >= {"fps": 12.5, "frames": "3:40"}.items()
    file = tmp_path / "options.toml"
    file.write_text(first.out)
    again = command("run", "none.mp4", "-o", tmp_path / "none", "--print-config", "--config", file)
    assert again.out == first.out
    stronger = command("run", "none.mp4", "-o", "none", "--print-config", "--config", file, "--memory", "1")
    assert tomllib.loads(stronger.out)["track"]["memory"] == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--nonsense", "3"], "--nonsense"),
        (["--fps", "-3"], "fps"),
        (["--fps", "fast"], "fast"),
        (["--diameter-px", "8"], "7 or 9"),
        (["--frames", "9:3"], "9:3"),
        (["--roi", "1,2"], "1,2"),
        (["--polarity", "grey"], "grey"),
        (["--config", "absent.toml"], "absent.toml"),
        (["--mask", "mask.png"], "mask"),
    ],
)
def test_a_wrong_option_is_usage(
    command: Command, overdamped_csv: Path, tmp_path: Path, option: list[str], said: str
) -> None:
    sentence(command("track", overdamped_csv, "-o", tmp_path / "run", *option), 2, said)
    assert not (tmp_path / "run").exists()


def test_an_unknown_key_in_a_file_is_usage(command: Command, overdamped_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "o.toml").write_text("[track]\nspeed = 3\n")
    done = command("track", overdamped_csv, "-o", tmp_path / "run", "--config", tmp_path / "o.toml")
    sentence(done, 2, "track.speed")


def test_missing_arguments_are_usage(command: Command) -> None:
    sentence(command("track"), 2, "video")
    sentence(command("tarck", "a.mp4"), 2, "tarck")


# ---- inputs that cannot be worked on -----------------------------------------------------------------------


def write_black(path: Path, n_frames: int) -> Path:
    write_mp4(path, [np.zeros((64, 64), np.uint8)] * n_frames, fps=10)
    return path


def bad_input(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "text":
        path.write_text("this is not a video\n" * 50)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "single":
        write_black(path, 1)
    elif kind == "black":
        write_black(path, 12)
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "single", "black", "folder"])
@pytest.mark.parametrize("name", ["track", "run"])
def test_an_input_without_particles_is_refused(
    command: Command, tmp_path: Path, kind: str, name: str
) -> None:
    path = bad_input(kind, tmp_path)
    sentence(command(name, path, "-o", tmp_path / "run"), 4, path.name)
    assert not (tmp_path / "run").exists(), "a refused input leaves nothing"


def test_a_run_folder_that_is_a_file(command: Command, overdamped_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for arguments in (["track", overdamped_csv, "-o"], ["fit"], ["report"]):
        done = command(*arguments, tmp_path / "file")
        sentence(done, done.code, "file")
        assert done.code in (2, 4)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["fit", "simulate", "report"])
def test_a_stage_before_those_it_needs(command: Command, tmp_path: Path, name: str) -> None:
    sentence(command(name, tmp_path / "absent"), 2, "colloidlab track")
    sentence(command(name, tmp_path), 4, "colloidlab track" if name != "simulate" else "colloidlab fit")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["fit", "simulate", "report"])
def test_a_damaged_record_is_an_unreadable_input(command: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "run.toml").write_text("[stages")
    sentence(command(name, tmp_path), 4, "run.toml")


def test_a_folder_that_may_not_be_written(
    command: Command, overdamped_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    replace = os.replace

    def full(source: object, target: object) -> None:
        # Only the disk of the results is full: compiled code is cached elsewhere by the same call.
        if str(target).startswith(str(tmp_path)):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", full)
    done = command("track", overdamped_csv, "-o", tmp_path / "run")
    # Slow stages may have reported before it.
    last = done.err.strip().splitlines()[-1]
    assert done.code == 4 and "No space left on device" in last and done.out == ""
    assert list((tmp_path / "run").iterdir()) == []


# ---- an overdamped recording -----------------------------------------------------------------------------


def test_diffusion_is_reported_and_the_fit_refused(
    command: Command, overdamped_csv: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    # So short a table tells diffusion from inertia only where its localisation error is known.
    known = ("--fps", "10", "--um-per-px", "0.1", "--sigma-px", "0")
    done = command("run", overdamped_csv, "-o", folder, *known, "--json")
    assert done.code == 0
    result = json.loads(done.out)
    assert done.out.count("\n") == 1, "exactly one object"
    # D = 0.5 px^2/frame is 0.5 * 0.1^2 * 10 um^2/s.
    error = result["diffusion_um2_per_s_error"]
    assert abs(result["diffusion_um2_per_s"] - 0.05) < 4 * error < 0.02
    assert result["regime"] == "overdamped" and "overdamped" in result["refused"]
    assert Path(result["report"]).read_text(encoding="utf-8").count("overdamped") >= 1
    assert not (folder / "model").exists()
    for _ in range(2):  # asked again it says the same, without working
        sentence(command("fit", folder), 4, "overdamped")
    sentence(command("simulate", folder), 4, "fit was refused")
    before = contents(folder)
    again = command("run", overdamped_csv, "-o", folder, *known)
    assert again.code == 0 and contents(folder) == before
    assert again.out.rstrip().endswith("report.html")


# ---- an inertial recording ---------------------------------------------------------------------------------


def test_the_report_says_what_the_summary_says(complete_run: Path) -> None:
    summary = json.loads((complete_run / "summary.json").read_text())
    assert summary["regime"] == "inertial" and summary["n_frames"] == 72
    assert summary["sigma_px"] == recordings.SIGMA_PX
    likelihood = pd.read_parquet(complete_run / "likelihood.parquet").set_index("model")["loglik"]
    assert {f"loglik_{m}": v for m, v in likelihood.items()} == {
        k: v for k, v in summary.items() if k.startswith("loglik_")
    }
    assert summary["n_tracks"] == pd.read_parquet(complete_run / "tracks.parquet")["particle"].nunique()
    text = unescape(re.sub(r"<[^>]+>", " ", (complete_run / "report.html").read_text(encoding="utf-8")))
    text = text.replace("\u2212", "-")
    for key in ("entropy_gain", "rollout_msd_error", "rollout_g_r_error", "diffusion_px2_per_frame"):
        number = summary[key]
        found = re.findall(r"-?\d+\.\d+", text)
        assert any(f == f"{number:.{len(f.split('.')[1])}f}" and float(f) != 0 for f in found), key


def test_a_second_run_skips_every_stage(command: Command, inertial_csv: Path, copy_of_run: Path) -> None:
    before = contents(copy_of_run)
    options = ["--ensemble", "2", *recordings.QUICK_FIT]
    done = command("run", inertial_csv, "-o", copy_of_run, *options, "--json")
    assert done.code == 0
    assert contents(copy_of_run) == before
    summary = json.loads((copy_of_run / "summary.json").read_text())
    assert {k: v for k, v in json.loads(done.out).items() if k in summary} == summary


def finished(folder: Path) -> dict[str, tuple[str, float]]:
    stages = Run(folder).record["stages"]
    return {name: (entry["finished"], entry["seconds"]) for name, entry in stages.items()}


def test_an_option_repeats_its_stage_and_those_after_it(command: Command, copy_of_run: Path) -> None:
    before = finished(copy_of_run)
    done = command("simulate", copy_of_run, "--ensemble", "1", "--frames", "4")
    assert done.code == 0, done.err
    after = finished(copy_of_run)
    assert "report" not in after, "the page showed the earlier rollouts"
    assert {s for s in after if after[s] != before[s]} == {"simulate"}
    # The options of the fit are still those it was made with.
    assert Run(copy_of_run).record["config"]["fit"]["filter_steps"] == 8
    skipped = command("fit", copy_of_run, "--json")
    assert json.loads(skipped.out)["skipped"] is True
    assert finished(copy_of_run) == after


def test_an_option_of_the_indicators_does_not_track_again(
    command: Command, inertial_csv: Path, copy_of_run: Path
) -> None:
    before = finished(copy_of_run)
    assert command("track", inertial_csv, "-o", copy_of_run, "--lag-frames", "7").code == 0
    after = finished(copy_of_run)
    assert set(after) == {"track", "indicators", "fit", "simulate"}, "the page showed the earlier indicators"
    assert {s for s in after if after[s] != before[s]} == {"indicators"}
    assert Run(copy_of_run).summary["d2min_lag_frames"] == 7
    # The rollouts that are there were compared over another lag; the next simulation is not skipped.
    again = command("simulate", copy_of_run, "--ensemble", "1", "--frames", "4", "--json")
    assert json.loads(again.out)["skipped"] is False


def test_an_option_of_the_tracking_removes_everything_after_it(
    command: Command, inertial_csv: Path, copy_of_run: Path
) -> None:
    assert command("track", inertial_csv, "-o", copy_of_run, "--min-track-length", "72").code == 0
    run = Run(copy_of_run)
    assert set(run.record["stages"]) == {"track", "indicators"}
    assert not any(run.has(name) for stage in ("fit", "simulate", "report") for name in STAGES[stage])
    assert not any(k.startswith(("loglik", "rollout", "entropy", "regime")) for k in run.summary)


def test_an_earlier_result_is_untouched_when_the_next_command_fails(
    command: Command, inertial_csv: Path, copy_of_run: Path, tmp_path: Path
) -> None:
    before = contents(copy_of_run)
    failing = [
        ("track", tmp_path / "absent.mp4", "-o", copy_of_run),
        ("run", bad_input("black", tmp_path), "-o", copy_of_run),
        ("track", inertial_csv, "-o", copy_of_run, "--min-track-length", "5000"),
        ("simulate", copy_of_run, "--from-frame", "71"),
        ("simulate", copy_of_run, "--drive", tmp_path / "absent.csv"),
        ("fit", copy_of_run, "--train-fraction", "0.95"),
    ]
    for arguments in failing:
        done = command(*arguments)
        sentence(done, done.code, "")
        assert done.code in (2, 4)
        assert contents(copy_of_run) == before, arguments


@pytest.mark.parametrize("name", ["model/model.json", "model/model.safetensors", "state.parquet"])
def test_a_damaged_product_is_named(command: Command, copy_of_run: Path, name: str) -> None:
    path = copy_of_run / name
    path.write_bytes(path.read_bytes()[:40])
    done = command("simulate", copy_of_run, "--ensemble", "1")
    sentence(done, 4, "model" if "model" in name else name)


# ---- interrupted ---------------------------------------------------------------------------------------------


def test_ctrl_c_in_a_fit_keeps_what_was_complete(command: Command, copy_of_run: Path, tmp_path: Path) -> None:
    """SIGINT reaches a real process while it optimises; everything that was there stays, byte for byte.

    On a slow machine a checkpoint may have been written by then, which other options do not go on from.
    """
    before = contents(copy_of_run)
    marker = tmp_path / "optimising"
    # So many steps that it is still at them when the signal comes.
    process = start("fit", copy_of_run, "--isothermal-steps", "5000", marker=marker)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not marker.exists():
            time.sleep(0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    lines = [line for line in err.splitlines() if line.strip()]
    assert process.returncode == 130, err
    assert out == "" and len(lines) == 1 and "kept" in lines[0]
    after = contents(copy_of_run)
    assert {name: after[name] for name in after if not name.startswith(FOLDER)} == before
    done = command("fit", copy_of_run, *recordings.QUICK_FIT, "--fit-seed", "1")
    assert done.code == 0, done.err
    assert Run(copy_of_run).record["config"]["fit"]["fit_seed"] == 1
    assert (copy_of_run / "likelihood.parquet").exists()
    assert not (copy_of_run / FOLDER).exists()

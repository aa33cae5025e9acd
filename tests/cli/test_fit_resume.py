"""`fit` killed and resumed, watched, and started by torchrun."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import recordings
from commands import Command, contents

from colloidlab.model.checkpoint import FOLDER
from colloidlab.progress import Monitor

pytestmark = pytest.mark.slow

_SLOWLY = """
import sys, time
from pathlib import Path
from colloidlab.cli import main
from colloidlab.model import checkpoint
from colloidlab.progress import Monitor

checkpoint.SECONDS = 0.0
update = Monitor.update

def slow(self, label, done, total):
    if label == "fit, trial, noise falls with T" and done == 3:
        Path(sys.argv[1]).touch()
        time.sleep(300)
    update(self, label, done, total)

Monitor.update = slow
main(sys.argv[2:])
"""
"""Writes a checkpoint at every step, and waits for the signal in the middle of the second trial."""

RESULTS = ("model/", "state.parquet", "likelihood.parquet", "functions.parquet")


def fitted(folder: Path) -> dict[str, str]:
    """Hashes of what the fit has written, but for the times in its curves."""
    return {name: value for name, value in contents(folder).items() if name.startswith(RESULTS)}


def test_a_fit_killed_without_warning_goes_on_to_the_same_bits(
    command: Command,
    complete_run: Path,
    inertial_csv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, marker = tmp_path / "run", tmp_path / "waiting"
    assert command("track", inertial_csv, "-o", folder).code == 0
    arguments = ["fit", str(folder), *recordings.QUICK_FIT]
    process = subprocess.Popen([sys.executable, "-c", _SLOWLY, str(marker), *arguments])
    try:
        deadline = time.monotonic() + 180
        while not marker.exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert [p.name for p in (folder / FOLDER).iterdir()] == ["state.safetensors"]
    seen: list[tuple[str, int]] = []
    update = Monitor.update

    def told(self: Monitor, label: str, done: int, total: int) -> None:
        seen.append((label, done))
        update(self, label, done, total)

    monkeypatch.setattr(Monitor, "update", told)
    done = command(*arguments, "--tensorboard")
    assert done.code == 0, done.err
    steps = [(label, step) for label, step in seen if label.startswith("fit, ")]
    assert steps[0] == ("fit, trial, noise falls with T", 2)
    assert not (folder / FOLDER).exists()
    assert len(fitted(folder)) == 5 and fitted(folder) == fitted(complete_run)
    assert list((folder / "tensorboard").glob("events.*")), "a log changes no result"
    assert "nothing to do" in command(*arguments).out


@pytest.mark.parametrize(("rank", "speaks"), [("0", True), ("1", False)])
def test_of_several_processes_the_first_speaks(
    rank: str, speaks: bool, copy_of_run: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("RANK", rank)
    # Without WORLD_SIZE there is one process, for which the fit is there.
    done = command("fit", copy_of_run, "--json")
    assert done.code == 0 and bool(done.out) == speaks
    if speaks:
        assert json.loads(done.out)["skipped"] is True
    other = command("report", copy_of_run)
    assert other.code == 2 and "without torchrun" in other.err


def test_a_missing_gpu_is_named(command: Command, copy_of_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = contents(copy_of_run)
    done = command("fit", copy_of_run, "--device", "cuda")
    assert done.code == 2 and "no CUDA device" in done.err and "doctor" in done.err
    assert contents(copy_of_run) == before

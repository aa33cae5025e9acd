"""A run folder belongs to one process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from colloidlab.claim import claim
from colloidlab.config import Config
from colloidlab.errors import UsageError
from colloidlab.pipeline import run_report
from colloidlab.run import Run

HOLD = """
import sys
from pathlib import Path
from colloidlab.claim import claim
with claim(Path(sys.argv[1])):
    print("claimed", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "claimed\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_folder_in_which_another_process_works_is_refused(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path / "run"):
        with pytest.raises(
            UsageError, match=r"another colloidlab is working in .*run; wait until it is done"
        ):
            run_report(Run(tmp_path / "run"), Config())
        with claim(tmp_path / "other"):
            pass
    assert not (tmp_path / "run").exists(), "a claim leaves nothing in the folder"
    with claim(tmp_path / "run"):
        pass


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_process_that_was_killed_claims_nothing(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with claim(tmp_path):
            pass


def test_a_stage_within_a_stage_may_claim_again(tmp_path: Path) -> None:
    with claim(tmp_path):
        with claim(tmp_path):
            pass
        with pytest.raises(AssertionError), held_elsewhere(tmp_path):
            pytest.fail("still claimed")


def test_processes_of_one_training_work_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with held_elsewhere(tmp_path), claim(tmp_path):
        pass


def test_without_a_place_for_locks_nobody_is_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with held_elsewhere(tmp_path / "run"), claim(tmp_path / "run"):
        pass

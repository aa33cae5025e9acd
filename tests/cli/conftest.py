"""Runs of the command line that several tests look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import recordings
from commands import Command, Done

from colloidlab.cli import _main


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run one command in this process, which saves the seconds of the imports."""

    def run(*arguments: object) -> Done:
        capfd.readouterr()
        code = _main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Done(code, out, err)

    yield run


@pytest.fixture(scope="session")
def inertial_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recordings.inertial(tmp_path_factory.mktemp("inertial") / "monolayer.csv")


@pytest.fixture(scope="session")
def overdamped_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recordings.overdamped(tmp_path_factory.mktemp("overdamped") / "brownian.csv")


@pytest.fixture(scope="session")
def complete_run(inertial_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of `colloidlab run` on the monolayer; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("complete") / "run"
    arguments = ["run", inertial_csv, "-o", folder, "--ensemble", "2", *recordings.QUICK_FIT]
    assert _main([str(a) for a in arguments]) == 0
    return folder


@pytest.fixture
def copy_of_run(complete_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(complete_run, tmp_path / "run"))

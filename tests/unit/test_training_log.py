"""Event files for TensorBoard: what is in them, after an interruption too, and what is said where it is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from colloidlab.errors import UsageError
from colloidlab.model.training_log import FOLDER, TensorBoardLog


def events(folder: Path) -> list[tuple[str, int, float]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder / FOLDER))
    found.Reload()
    return [(tag, e.step, e.value) for tag in found.Tags()["scalars"] for e in found.Scalars(tag)]


def write(folder: Path, steps: range) -> None:
    log = TensorBoardLog(folder)
    log.begin(steps.start)
    for step in steps:
        log.add("isothermal/train_loglik", 0.5 * step, step + 1)
    log.close()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    write(tmp_path, range(3))
    assert events(tmp_path) == [("isothermal/train_loglik", k + 1, 0.5 * k) for k in range(3)]


def test_a_training_that_goes_on_replaces_what_it_repeats(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    write(tmp_path, range(6))
    write(tmp_path, range(4, 8))
    steps = [step for _, step, _ in events(tmp_path)]
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8]
    write(tmp_path, range(2))
    assert [step for _, step, _ in events(tmp_path)] == [1, 2], "a new training begins with an empty folder"


def test_a_missing_tensorboard_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"not installed.*colloidlab\[tensorboard\]"):
        TensorBoardLog(tmp_path)

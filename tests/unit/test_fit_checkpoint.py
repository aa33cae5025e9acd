"""State of a fit on disk: every bit comes back, from one file, and only to whom it belongs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from colloidlab.errors import InputError
from colloidlab.model.checkpoint import FOLDER, FitCheckpoint

STATE = {
    "step": 7,
    "best": -math.inf,
    "third": 1 / 3,
    "words": ["a", "b"],
    "generator": {"state": 2**127 - 1},
    "empty": {},
    "parts": {
        "laws.a/b": torch.tensor([1 / 3, math.nan, -0.0], dtype=torch.float64),
        "none": torch.zeros(0, 2, dtype=torch.float32),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "scalar": torch.tensor(4.5),
    },
}


def test_every_bit_comes_back(tmp_path: Path) -> None:
    FitCheckpoint(tmp_path, "key").write(STATE)
    found = FitCheckpoint(tmp_path, "key").load()
    assert {k: v for k, v in found.items() if k != "parts"} == {
        k: v for k, v in STATE.items() if k != "parts"
    }
    assert found["parts"].keys() == STATE["parts"].keys()
    for name, value in STATE["parts"].items():
        other = found["parts"][name]
        assert other.dtype == value.dtype and other.shape == value.shape
        assert other.numpy().tobytes() == value.numpy().tobytes(), name
    assert [p.name for p in (tmp_path / FOLDER).iterdir()] == ["state.safetensors"]


def test_views_of_one_memory_are_saved_apart(tmp_path: Path) -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    FitCheckpoint(tmp_path, "key").write({"a": whole.T, "b": whole[0], "c": whole})
    found = FitCheckpoint(tmp_path, "key").load()
    assert torch.equal(found["a"], whole.T) and torch.equal(found["b"], whole[0])


def test_another_key_or_version_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FitCheckpoint(tmp_path, "key").write(STATE)
    assert FitCheckpoint(tmp_path, "other").load() == {}
    assert FitCheckpoint(tmp_path / "elsewhere", "key").load() == {}
    monkeypatch.setattr("colloidlab.__version__", "0.0.0")
    assert FitCheckpoint(tmp_path, "key").load() == {}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    FitCheckpoint(tmp_path, "key").write(STATE)
    file = tmp_path / FOLDER / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"state.safetensors.*remove"):
        FitCheckpoint(tmp_path, "key").load()


def test_a_failed_write_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FitCheckpoint(tmp_path, "key").write(STATE)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("colloidlab.model.checkpoint.save_file", full)
    with pytest.raises(OSError, match="space"):
        FitCheckpoint(tmp_path, "key").write({"step": 8})
    assert FitCheckpoint(tmp_path, "key").load()["step"] == 7


def test_only_one_process_writes_and_removes(tmp_path: Path) -> None:
    silent = FitCheckpoint(tmp_path, "key", 0.0, writes=False)
    silent.write(STATE)
    assert not silent.due and not (tmp_path / FOLDER).exists()
    FitCheckpoint(tmp_path, "key").write(STATE)
    silent.remove()
    assert silent.load()["step"] == 7
    (tmp_path / "mine").write_text("kept")
    FitCheckpoint(tmp_path, "key").remove()
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_it_is_due_after_its_time(tmp_path: Path) -> None:
    assert FitCheckpoint(tmp_path, "key", 0.0).due
    assert not FitCheckpoint(tmp_path, "key", 1e6).due

"""Parts of located frames: whole after an interruption at any line, and only for the same recording and options."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import pytest

from colloidlab.errors import InputError
from colloidlab.pipeline import checkpoint as module
from colloidlab.pipeline.checkpoint import FOLDER, Checkpoint


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRAMES_PER_PART", 3)
    monkeypatch.setattr("colloidlab.files._flush", lambda path: None)  # the disk is not what is tested


def frame(k: int) -> tuple[dict[str, object], pd.DataFrame | None]:
    """Frame k has k % 3 features; every fifth is damaged."""
    if k % 5 == 4:
        return {"frame": k, "status": "damaged", "n_features": 0}, None
    table = pd.DataFrame({"x": [k + 0.25 * i for i in range(k % 3)]}, dtype=float).assign(frame=k)
    return {"frame": k, "status": "ok", "n_features": len(table)}, table


def fill(parts: Checkpoint, first: int, stop: int) -> None:
    for k in range(first, stop):
        parts.add(*frame(k))


def whole(folder: Path, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is there when the work goes on to n frames without a break."""
    parts = Checkpoint(folder, "key")
    fill(parts, parts.n_done, n)
    return parts.frames(), parts.features()


def same(found: tuple[pd.DataFrame, pd.DataFrame], expected: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for a, b in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_what_was_added_comes_back_in_order(tmp_path: Path) -> None:
    frames, features = whole(tmp_path / "run", 8)
    assert list(frames["frame"]) == list(range(8))
    assert list(features["frame"]) == [1, 2, 2, 5, 5, 7]
    assert list(features["x"]) == [1, 2, 2.25, 5, 5.25, 7]
    assert list(frames["status"]).count("damaged") == 1


class _Interrupting:
    """Raises KeyboardInterrupt at the n-th line that is executed in the module under test."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, code: FrameType, event: str, argument: Any) -> Any:
        if code.f_code.co_filename != module.__file__:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


def test_an_interruption_at_any_line_loses_and_doubles_nothing(tmp_path: Path) -> None:
    expected = whole(tmp_path / "whole", 10)
    interrupted = n = 0
    while True:
        n += 1
        folder = tmp_path / str(n)
        parts = Checkpoint(folder, "key")
        sys.settrace(_Interrupting(n))
        try:
            fill(parts, 0, 7)
            break
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            sys.settrace(None)
        if n % 2:  # every other command also has the time to write what it has in memory
            parts.flush()
        same(whole(folder, 10), expected)
    assert interrupted > 50


def test_parts_of_another_key_are_removed(tmp_path: Path) -> None:
    fill(Checkpoint(tmp_path, "one"), 0, 6)
    assert Checkpoint(tmp_path, "one").n_done == 6
    assert Checkpoint(tmp_path, "other").n_done == 0
    assert Checkpoint(tmp_path, "one").n_done == 0


def test_parts_of_another_version_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Checkpoint(tmp_path, "one"), 0, 6)
    monkeypatch.setattr("colloidlab.__version__", "0.0.0")
    assert Checkpoint(tmp_path, "one").n_done == 0


def test_many_features_make_a_part_of_few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEATURES_PER_PART", 2)
    fill(Checkpoint(tmp_path, "one"), 2, 3)
    assert Checkpoint(tmp_path, "one").n_done == 1


def test_a_removed_checkpoint_leaves_nothing_and_touches_nothing_else(tmp_path: Path) -> None:
    empty, used = Checkpoint(tmp_path / "empty", "key"), Checkpoint(tmp_path / "used", "key")
    for parts in (empty, used):
        fill(parts, 0, 4)
    (tmp_path / "used" / "mine").write_text("kept")
    for parts in (empty, used):
        parts.remove()
    assert not (tmp_path / "empty").exists()
    assert [p.name for p in (tmp_path / "used").iterdir()] == ["mine"]


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    fill(Checkpoint(tmp_path, "key"), 0, 6)
    part = tmp_path / FOLDER / "000001.frames.parquet"
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(InputError, match=r"000001.frames.parquet.*remove the folder"):
        _ = Checkpoint(tmp_path, "key").n_done

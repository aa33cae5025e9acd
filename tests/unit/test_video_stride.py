"""Time-lapse: every n-th frame keeps its number, its time and its health."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from container_files import announce
from PIL import Image
from video_files import code, coded, write_container

from colloidlab.errors import UsageError
from colloidlab.video import every, open_video, used_range


def stack(path: Path, n: int, finterval: float | None = None) -> Path:
    metadata = {"axes": "TYX"} | ({"finterval": finterval} if finterval else {})
    tifffile.imwrite(path, np.array([coded(i) for i in range(n)]), imagej=True, metadata=metadata)
    return path


@pytest.mark.parametrize("name", ["s.tif", "s.mp4"])
@pytest.mark.parametrize("n", [1, 3, 7])
def test_frame_k_is_frame_nk_of_the_file(name: str, n: int, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "s.tif":
        stack(path, 23)
    else:
        write_container(path, "libx264", "yuv420p", 23, g="5")
    with every(open_video(path), n) as video:
        walked = list(video.frames())
        assert video.n_frames == len(walked) == -(-23 // n)
        assert [f.index for f in walked] == list(range(len(walked)))
        assert [code(f.image) for f in walked] == list(range(0, 23, n))
        assert [code(video.frame(k).image) for k in (2, 0, 1)] == [2 * n, 0, n]
        assert [code(f.image) for f in video.frames(1, 3)] == [n, 2 * n]
        assert video.stride == n


def test_time_and_rate_follow_the_stride(tmp_path: Path) -> None:
    with every(open_video(stack(tmp_path / "s.tif", 20, finterval=0.1)), 4) as video:
        assert video.fps == pytest.approx(2.5)
        assert [f.time_s for f in video.frames()] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])
    write_container(tmp_path / "s.mp4", "libx264", "yuv420p", 20)
    with every(open_video(tmp_path / "s.mp4"), 5) as video:
        assert video.nominal_fps == pytest.approx(5.0)


def test_lost_frames_keep_their_place_and_repeats_are_judged_by_their_true_neighbours(tmp_path: Path) -> None:
    for i in range(20):
        if i not in (6, 7):
            Image.fromarray(coded(9 if i == 10 else i)).save(tmp_path / f"f{i:03d}.png")
    with every(open_video(tmp_path), 2) as video:
        found = list(video.frames())
    assert [f.status for f in found] == ["ok", "ok", "ok", "missing", "ok", "duplicate", *["ok"] * 4]
    assert [code(f.image) for f in found if f.status == "ok"] == [0, 2, 4, 8, 12, 14, 16, 18]


def test_announced_frames_that_are_not_there_are_missing_at_their_used_index(tmp_path: Path) -> None:
    path = write_container(tmp_path / "t.avi", "mjpeg", "yuvj420p", 40)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    with every(open_video(path), 5) as video:
        found = list(video.frames())
    assert len(found) == 8
    assert found[-1].status == "missing"
    assert all(code(f.image) == 5 * f.index for f in found if f.image is not None)


@pytest.mark.parametrize(
    ("n", "first", "stop", "expected"),
    [(1, 5, 9, (5, 9)), (4, 0, None, (0, 5)), (4, 1, 13, (1, 4)), (4, 4, 12, (1, 3)), (3, 1, 2, (1, 1))],
)
def test_range_of_the_files_frames_selects_the_used_ones_inside(
    n: int, first: int, stop: int | None, expected: tuple[int, int], tmp_path: Path
) -> None:
    with every(open_video(stack(tmp_path / "s.tif", 20)), n) as video:
        selected = used_range(video, first, stop)
        assert (selected.start, selected.stop) == expected
        end = 20 if stop is None else stop
        assert list(selected) == [k for k in range(video.n_frames) if first <= k * n < end]


def test_range_counts_the_frames_that_are_there_not_those_announced(tmp_path: Path) -> None:
    path = write_container(tmp_path / "few.avi", "mjpeg", "yuvj420p", 40)
    announce(path, 20)
    with open_video(path) as video:
        assert used_range(video, 0, None) == range(40)
    with every(open_video(path), 3) as video:
        assert used_range(video, 0, None) == range(14)


@pytest.mark.parametrize("n", [0, -2, 20, 1000])
def test_stride_that_leaves_nothing_to_track_is_refused(n: int, tmp_path: Path) -> None:
    with open_video(stack(tmp_path / "s.tif", 20)) as video, pytest.raises(UsageError, match="stride of"):
        every(video, n)

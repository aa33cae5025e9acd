"""Frames are decoded when they are looked at, a few beforehand, each once; what is spoilt is blank and known."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from gui.conftest import number_in

from colloidlab.errors import InputError
from colloidlab.video import open_video
from napari_plugin import images, recording
from napari_plugin.layers import video_layers
from napari_plugin.recording import AHEAD, BEHIND, Recording


def settle(opened: Recording) -> int:
    """Frames decoded once nothing more is being decoded beforehand."""
    thread = opened._ahead
    if thread is not None:
        thread.join(10)
        assert not thread.is_alive()
    return opened.n_decoded


def test_opening_decodes_nothing_and_a_layer_one_frame(clip: Path) -> None:
    opened = Recording.open(clip)
    assert (opened.shape, opened.dtype, opened.n_decoded) == ((120, 48, 64), np.uint8, 0)
    [(data, arguments, kind)] = video_layers(clip)
    assert kind == "image" and data.n_decoded == 1
    low, high = arguments["contrast_limits"]
    assert low < 60 and 110 < high <= 130  # the noise of the first picture


def test_every_frame_is_the_one_that_was_asked_for(clip: Path) -> None:
    opened = Recording.open(clip)
    order = np.random.default_rng(2).permutation(120)[:60]
    with open_video(clip) as video:
        for k in order.tolist():
            image = opened[k, :, :]
            exact = video.frame(k).image
            if exact is None:
                assert k == 30 and not image.any()
            else:
                np.testing.assert_array_equal(image, exact)
                assert number_in(image) == k


def test_indexing_is_numpys(clip: Path) -> None:
    opened = Recording.open(clip)
    whole = np.asarray(opened)
    assert whole.shape == opened.shape and opened.size == whole.size and len(opened) == 120
    for key in (
        5,
        -1,
        np.int64(7),
        (5, slice(3, 9)),
        slice(10, 20, 3),
        (slice(2, 4), 5),
        (..., 3),
        ([4, 90], 1),
    ):
        np.testing.assert_array_equal(opened[key], whole[key])
    with pytest.raises(IndexError):
        opened[120]


def test_the_following_frames_are_ready_beforehand_and_no_more(clip: Path) -> None:
    opened = Recording.open(clip)
    opened[0]
    assert settle(opened) == 1 + AHEAD
    for k in range(1, AHEAD):
        opened.frame(k)
        assert number_in(opened.frame(k)) == k or k == 30
    # Each of them once, whatever has been decoded ahead of the last.
    assert settle(opened) == min(120, 2 * AHEAD)


def test_stepping_backwards_decodes_a_stretch_once(clip: Path) -> None:
    opened = Recording.open(clip)
    opened[110]
    before = settle(opened)
    for k in range(109, 110 - BEHIND, -1):
        assert number_in(opened[k]) == k
    assert settle(opened) - before <= BEHIND + 1


def test_what_has_been_seen_is_not_decoded_again(clip: Path) -> None:
    opened = Recording.open(clip)
    for k in (3, 50, 100):
        opened[k]
    n = settle(opened)
    for k in (3, 50, 100, 50):
        opened[k]
    assert settle(opened) - n <= AHEAD  # ahead of the last one only


def test_memory_is_bounded(clip: Path) -> None:
    opened = Recording(open_video(clip), cache_bytes=10 * 48 * 64)
    for k in range(120):
        opened[k]
    settle(opened)
    assert len(opened._cache) == 10


def test_spoilt_frames_are_blank_and_listed(clip: Path) -> None:
    [(opened, arguments, _)] = video_layers(clip)
    health = arguments["metadata"]["colloidlab"]["health"]
    assert not opened[30].any() and opened[29].any() and opened[31].any()
    status, reason = health[30]
    assert status == "damaged" and "blank" in reason and set(health) == {30}


def test_spoilt_frames_of_floats_are_no_number(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    stack[2] = np.nan
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    [(opened, arguments, _)] = video_layers(tmp_path / "stack.tif")
    assert (
        np.isnan(opened[2]).all()
        and np.isfinite(opened[3]).all()
        and np.isfinite(arguments["contrast_limits"]).all()
    )


def test_a_stride_numbers_frames_as_the_run_does(clip: Path) -> None:
    opened = Recording.open(clip, stride=7)
    assert len(opened) == 18 and number_in(opened[5]) == 35


def test_all_frames_at_once_are_refused_with_a_sentence(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LARGEST_READ", 10 * 48 * 64)
    opened = Recording.open(clip)
    assert opened[:10].shape == (10, 48, 64)
    with pytest.raises(InputError, match="2D/3D button"):
        opened[:]


def test_whoever_asks_waits_for_one_frame_and_not_for_those_ahead(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding beforehand gives way: a slow decoder delays an answer by a frame or two."""
    opened = Recording.open(clip)
    exact = recording.Recording._decode

    def slow(self: Recording, index: int) -> np.ndarray:
        time.sleep(0.02)
        return exact(self, index)

    monkeypatch.setattr(recording.Recording, "_decode", slow)
    opened[0]
    time.sleep(0.05)
    started = time.perf_counter()
    opened[0]
    assert time.perf_counter() - started < 0.02 * AHEAD / 4


def test_closing_ends_the_work(clip: Path) -> None:
    opened = Recording.open(clip)
    opened[0]
    opened.close()
    settle(opened)
    assert not opened._cache

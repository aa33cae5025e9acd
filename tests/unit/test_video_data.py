"""Real recordings of every lab format: counts, shapes, depth, time and scale."""

from __future__ import annotations

from pathlib import Path

import cv2
import nd2
import numpy as np
import pims
import pytest
import tifffile
from video_files import DATA

from colloidlab.video import open_video

pytestmark = [pytest.mark.data, pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not here")]

RECORDINGS = {
    "formats/bulk-water.mov": (480, (424, 640), np.uint8),
    "formats/mjpeg.avi": (123, (164, 288), np.uint8),
    "formats/cine_legacy.cine": (97, (128, 128), np.uint16),
    "formats/sample_norpix6.seq": (6, (32, 36), np.uint8),
    "formats/cluster.nd2": (3, (31, 38), np.uint16),
    "formats/spestack_test.spe": (5, (128, 128), np.uint16),
    "formats/stuck.tif": (5, (512, 512), np.uint16),
    "discs/discs.mp4": (60, (960, 1280), np.uint8),
    "colloids/colloids.mp4": (51, (302, 324), np.uint8),
    "bacteria/bacteria.mp4": (214, (264, 232), np.uint8),
    "quasi2d_crystallites": (16, (1024, 1024), np.uint8),
    "bulk_water": (100, (424, 640), np.uint8),
    "foam": (9, (768, 768), np.uint8),
    "brightfield": (50, (500, 500), np.uint8),
    "interfacial_monolayer": (1, (1024, 1280), np.uint8),
}


@pytest.mark.parametrize("name", list(RECORDINGS))
def test_recording_is_read_whole_and_sound(name: str) -> None:
    count, shape, dtype = RECORDINGS[name]
    with open_video(DATA / name) as video:
        assert (video.n_frames, video.shape, video.dtype) == (count, shape, np.dtype(dtype))
        found = [(f.index, f.status, f.image.shape, f.image.dtype) for f in video.frames()]
    assert found == [(i, "ok", shape, np.dtype(dtype)) for i in range(count)]


@pytest.mark.parametrize("name", ["formats/bulk-water.mov", "bacteria/bacteria.mp4", "formats/mjpeg.avi"])
def test_random_access_and_grey_levels_agree_with_opencv(name: str) -> None:
    peer = cv2.VideoCapture(str(DATA / name))
    theirs = []
    while (answer := peer.read())[0]:
        theirs.append(cv2.cvtColor(answer[1], cv2.COLOR_BGR2GRAY))
    with open_video(DATA / name) as video:
        assert video.n_frames == len(theirs)
        for i in (len(theirs) - 1, 0, len(theirs) // 2, len(theirs) // 2 + 1, 7):
            difference = np.abs(video.frame(i).image.astype(int) - theirs[i])
            assert difference.mean() < 1.0


def test_cine_agrees_with_pims_and_keeps_the_camera_clock() -> None:
    path = DATA / "formats/cine_legacy.cine"
    peer = pims.Cine(str(path))
    with open_video(path) as video:
        assert video.fps == 35087
        for i in (96, 0, 40):
            np.testing.assert_array_equal(video.frame(i).image, peer.get_frame(i))
        assert video.frame(96).time_s == pytest.approx(96 / 35087, rel=1e-3)
        assert video.frame(0).image.max() > 4095  # 14 bits


def test_norpix_uses_the_time_stamps_and_only_proposes_the_header() -> None:
    path = DATA / "formats/sample_norpix6.seq"
    peer = pims.NorpixSeq(str(path))
    stamps = peer.dump_times_float()
    with open_video(path) as video:
        assert video.nominal_fps == 10
        assert video.fps == pytest.approx(5 / (stamps[5] - stamps[0]))
        np.testing.assert_allclose([f.time_s for f in video.frames()], stamps - stamps[0], atol=1e-6)
        np.testing.assert_array_equal(video.frame(4).image, peer.get_frame(4))


def test_nd2_is_projected_over_depth_in_its_first_channel() -> None:
    path = DATA / "formats/cluster.nd2"
    stack = nd2.imread(path)
    with open_video(path) as video:
        assert video.um_per_px == pytest.approx(0.1678, abs=1e-4)
        assert video.fps == pytest.approx(2 / 21.295, rel=1e-3)
        for frame in video.frames():
            np.testing.assert_array_equal(frame.image, stack[frame.index, :, 0].max(axis=0))


def test_tiff_agrees_with_tifffile() -> None:
    path = DATA / "formats/stuck.tif"
    stack = tifffile.imread(path)
    with open_video(path) as video:
        np.testing.assert_array_equal(video.frame(3).image, stack[3])


@pytest.mark.parametrize(
    "name", ["formats/cine_legacy.cine", "formats/sample_norpix6.seq", "formats/spestack_test.spe"]
)
def test_truncated_camera_file_reports_its_tail(name: str, tmp_path: Path) -> None:
    count = RECORDINGS[name][0]
    whole = (DATA / name).read_bytes()
    path = tmp_path / (DATA / name).name
    path.write_bytes(whole[: int(len(whole) * 0.7)])
    with open_video(path) as video:
        status = [f.status for f in video.frames()]
    n_ok = status.count("ok")
    assert len(status) == count
    assert 0.4 * count < n_ok < 0.8 * count
    assert status[:n_ok] == ["ok"] * n_ok

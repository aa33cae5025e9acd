"""What is written is what is read: pixels, counts, indices, scale, for every kind of recording."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from video_files import HEIGHT, WIDTH, code, coded, write_container

from colloidlab.errors import InputError
from colloidlab.video import open_video, write_mp4

N = 40
RANDOM = [0, 39, 17, 18, 19, 3, 38, 1, 25, 10, 9, 11, 0]

CONTAINERS = {
    "h264.mp4": ("libx264", "yuv420p", {"g": "10"}),
    "h264.mov": ("libx264", "yuv420p", {"g": "10"}),
    "h264_open_gop.mkv": ("libx264", "yuv420p", {"x264-params": "keyint=10:open-gop=1:bframes=3"}),
    "h264_one_keyframe.mp4": ("libx264", "yuv420p", {"g": "250"}),
    "b_frames.avi": ("libx264", "yuv420p", {"g": "10", "bf": "3"}),
    "no_b_frames.avi": ("libx264", "yuv420p", {"g": "10", "bf": "0"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"bf": "2", "b": "2000000"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {"q": "3"}),
    "raw_grey.avi": ("rawvideo", "gray", {}),
    "raw_bgr.avi": ("rawvideo", "bgr24", {}),
    "ffv1_12_bit.mkv": ("ffv1", "gray12le", {}),
}


@pytest.fixture(params=list(CONTAINERS))
def container(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    codec, pix_fmt, options = CONTAINERS[request.param]
    return write_container(tmp_path / request.param, codec, pix_fmt, N, **options)


def test_container_has_every_frame_at_its_index(container: Path) -> None:
    with open_video(container) as video:
        found = list(video.frames())
        assert video.shape == (HEIGHT, WIDTH)
        assert video.n_frames == N
        assert video.nominal_fps == pytest.approx(25)
        assert video.fps is None and found[5].time_s is None
    assert [f.index for f in found] == list(range(N))
    assert {f.status for f in found} == {"ok"}
    assert [code(f.image) for f in found] == list(range(N))


def test_container_random_access_equals_iteration(container: Path) -> None:
    with open_video(container) as video:
        walked = {f.index: f.image for f in video.frames()}
        for i in RANDOM:
            frame = video.frame(i)
            assert frame.index == code(frame.image) == i
            np.testing.assert_array_equal(frame.image, walked[i])


def test_container_range(container: Path) -> None:
    with open_video(container) as video:
        assert [(f.index, code(f.image)) for f in video.frames(13, 22)] == [(i, i) for i in range(13, 22)]
        assert [f.index for f in video.frames(35, 1000)] == [35, 36, 37, 38, 39]
        with pytest.raises(InputError, match="0 to 39"):
            video.frames(40)
        with pytest.raises(InputError, match="not -1"):
            video.frame(-1)


def test_two_walks_at_once_do_not_disturb_each_other(container: Path) -> None:
    with open_video(container) as video:
        pairs = list(zip(video.frames(0, 12), video.frames(20, 32), strict=True))
    assert [(code(a.image), code(b.image)) for a, b in pairs] == [(i, i + 20) for i in range(12)]


@pytest.mark.parametrize("name", ["raw_grey.avi", "raw_bgr.avi"])
def test_lossless_container_keeps_every_grey_level(name: str, tmp_path: Path) -> None:
    codec, pix_fmt, options = CONTAINERS[name]
    path = write_container(tmp_path / name, codec, pix_fmt, 3, **options)
    with open_video(path) as video:
        for frame in video.frames():
            np.testing.assert_array_equal(frame.image, coded(frame.index))


def test_twelve_bit_container_keeps_its_depth(tmp_path: Path) -> None:
    with open_video(write_container(tmp_path / "deep.mkv", "ffv1", "gray12le", 2)) as video:
        image = video.frame(1).image
        assert image is not None and image.dtype == video.dtype == np.uint16
        assert 3900 < image.max() <= 4095


@pytest.mark.parametrize("name", ["h264.mp4", "mjpeg.avi"])
def test_grey_levels_agree_with_opencv(name: str, tmp_path: Path) -> None:
    codec, pix_fmt, options = CONTAINERS[name]
    path = write_container(tmp_path / name, codec, pix_fmt, 3, **options)
    peer = cv2.VideoCapture(str(path))
    with open_video(path) as video:
        for frame in video.frames():
            theirs = cv2.cvtColor(peer.read()[1], cv2.COLOR_BGR2GRAY)
            assert np.abs(frame.image.astype(int) - theirs).max() <= 2


def test_write_mp4_reads_back_on_the_grey_level(tmp_path: Path) -> None:
    path = tmp_path / "sample.mp4"
    write_mp4(path, (coded(i) for i in range(12)), 30.0, crf=10)
    with open_video(path) as video:
        found = list(video.frames())
        assert video.nominal_fps == pytest.approx(30)
    assert [code(f.image) for f in found] == list(range(12))
    errors = np.array([f.image.astype(int) - coded(f.index) for f in found])
    assert abs(errors.mean()) < 0.2  # no offset, no gain: full range is kept
    assert errors.std() < 2
    assert found[3].image.max() > 245 and found[3].image.min() < 10


def test_write_mp4_is_deterministic(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, [coded(i) for i in range(8)], 25.0)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no frames"),
        ([np.zeros((31, 32), np.uint8)], "even sizes"),
        ([np.zeros((32, 32), np.uint16)], "8-bit"),
        ([np.zeros((32, 32), np.uint8), np.zeros((32, 34), np.uint8)], "frame 1"),
    ],
)
def test_write_mp4_refuses_what_would_change_the_images(frames: list, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        write_mp4(tmp_path / "out.mp4", frames, 25.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_stack_keeps_pixels_and_dtype(dtype: type, compression: str | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    stack = (rng.random((7, 20, 30)) * (60000 if dtype is np.uint16 else 250)).astype(dtype)
    tifffile.imwrite(tmp_path / "s.tif", stack, compression=compression, photometric="minisblack")
    with open_video(tmp_path / "s.tif") as video:
        assert (video.n_frames, video.shape, video.dtype) == (7, (20, 30), np.dtype(dtype))
        for i in (6, 0, 3):
            np.testing.assert_array_equal(video.frame(i).image, stack[i])


def test_lzw_tiff_without_optional_codecs(tmp_path: Path) -> None:
    pages = [Image.fromarray(coded(i)) for i in range(4)]
    pages[0].save(tmp_path / "s.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    with open_video(tmp_path / "s.tif") as video:
        for i in (3, 0, 2):
            np.testing.assert_array_equal(video.frame(i).image, coded(i))


def test_packed_twelve_bit_tiff(tmp_path: Path) -> None:
    image = np.random.default_rng(2).integers(0, 4096, (10, 15)).astype(np.uint16)
    rows = []
    for row in image:
        bits = "".join(f"{value:012b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        rows.append(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)))
    data = b"".join(rows)
    tags = [
        (256, 15),
        (257, 10),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 10),
        (279, len(data)),
    ]
    directory = len(tags).to_bytes(2, "little")
    for tag, value in tags:
        directory += tag.to_bytes(2, "little") + (4).to_bytes(2, "little") + (1).to_bytes(4, "little")
        directory += value.to_bytes(4, "little")
    header = b"II*\x00" + (8 + len(data)).to_bytes(4, "little")
    (tmp_path / "packed.tif").write_bytes(header + data + directory + bytes(4))
    with open_video(tmp_path / "packed.tif") as video:
        assert video.dtype == np.uint16
        frame = video.frame(0)
        assert frame.status == "ok", frame.reason
        np.testing.assert_array_equal(frame.image, image)


def test_ome_tiff_projects_depth_takes_first_channel_and_reads_the_scale(tmp_path: Path) -> None:
    stack = np.random.default_rng(3).integers(0, 4000, (5, 3, 2, 16, 24)).astype(np.uint16)
    metadata = {
        "axes": "TZCYX",
        "PhysicalSizeX": 160.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 160.0,
        "PhysicalSizeYUnit": "nm",
        "TimeIncrement": 20.0,
        "TimeIncrementUnit": "ms",
    }
    tifffile.imwrite(tmp_path / "s.ome.tif", stack, metadata=metadata)
    with open_video(tmp_path / "s.ome.tif") as video:
        assert video.n_frames == 5
        assert video.um_per_px == pytest.approx(0.16)
        assert video.fps == pytest.approx(50)
        for frame in video.frames():
            np.testing.assert_array_equal(frame.image, stack[frame.index, :, 0].max(axis=0))
            assert frame.time_s == pytest.approx(frame.index / 50)


def test_imagej_stack_of_slices_is_a_time_series_with_its_scale(tmp_path: Path) -> None:
    stack = np.random.default_rng(4).integers(0, 250, (6, 16, 24)).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "ij.tif",
        stack,
        imagej=True,
        resolution=(8.0, 8.0),
        metadata={"axes": "ZYX", "unit": "micron", "finterval": 0.1, "fps": 7.0},
    )
    with open_video(tmp_path / "ij.tif") as video:
        assert video.n_frames == 6
        assert video.um_per_px == pytest.approx(0.125)
        assert video.fps == pytest.approx(10)  # the interval, not ImageJ's speed of playback
        np.testing.assert_array_equal(video.frame(4).image, stack[4])


def test_untrusted_scale_of_print_resolution_is_not_used(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "p.tif", coded(0), resolution=(300, 300), resolutionunit="inch")
    with open_video(tmp_path / "p.tif") as video:
        assert video.um_per_px is None and video.fps is None


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_folder_in_natural_order(suffix: str, tmp_path: Path) -> None:
    for i in range(12):
        Image.fromarray(coded(i)).save(tmp_path / f"frame{i}.{suffix}")
    (tmp_path / "notes.txt").write_text("exposure 3 ms")
    (tmp_path / f"._frame0.{suffix}").write_bytes(b"left by a file manager")
    with open_video(tmp_path) as video:
        assert video.n_frames == 12
        for frame in video.frames():
            np.testing.assert_array_equal(frame.image, coded(frame.index))


def test_folder_with_a_gap_in_the_numbers_has_a_missing_frame(tmp_path: Path) -> None:
    for i in (0, 10, 20, 30, 50, 60, 70, 80):
        Image.fromarray(coded(i)).save(tmp_path / f"t_{i:04d}.png")
    with open_video(tmp_path) as video:
        found = list(video.frames())
    assert [f.status for f in found] == ["ok"] * 4 + ["missing"] + ["ok"] * 4
    assert [code(f.image) for f in found if f.image is not None] == [0, 10, 20, 30, 50, 60, 70, 80]


def test_jpeg_folder(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(coded(i)).save(tmp_path / f"f{i}.jpg", quality=95)
    with open_video(tmp_path) as video:
        assert [code(f.image) for f in video.frames()] == [0, 1, 2]


def test_colour_becomes_luminance_and_alpha_is_ignored(tmp_path: Path) -> None:
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[:, :2, 0], rgba[:, 2:4, 1], rgba[:, 4:, 2] = 200, 200, 200
    rgba[::2, :, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "c.png")
    with open_video(tmp_path / "c.png") as video:
        image = video.frame(0).image
    np.testing.assert_allclose(image[0, ::2], np.array([0.299, 0.587, 0.114]) * 200, atol=0.51)
    np.testing.assert_array_equal(image[0], image[1])


def test_sixteen_bit_png_keeps_its_depth_in_grey_and_in_colour(tmp_path: Path) -> None:
    grey = np.random.default_rng(5).integers(0, 65536, (8, 10)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "g.png"), grey)
    cv2.imwrite(str(tmp_path / "c.png"), np.repeat(grey[..., None], 3, axis=2))
    for name in ("g.png", "c.png"):
        with open_video(tmp_path / name) as video:
            np.testing.assert_array_equal(video.frame(0).image, grey)


def test_a_still_image_is_a_recording_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray(coded(5)).save(tmp_path / "still.png")
    with open_video(tmp_path / "still.png") as video:
        assert video.n_frames == 1 and video.name == "still.png"
        np.testing.assert_array_equal(next(video.frames()).image, coded(5))

"""Broken recordings: no silent loss, no shifted index, and one sentence where nothing can be read."""

from __future__ import annotations

import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import tifffile
from PIL import Image
from video_files import code, coded, cut, packet_at, write_container, zero

from colloidlab.errors import InputError
from colloidlab.video import Frame, open_video, write_mp4

N = 40


def walk(path: Path) -> list[Frame]:
    """All frames; every image that is given must show its own number."""
    with open_video(path) as video:
        found = list(video.frames())
    assert [f.index for f in found] == list(range(len(found)))
    for frame in found:
        assert (frame.image is None) == (frame.status in ("missing", "damaged"))
        assert (frame.status == "ok") or frame.reason
        if frame.image is not None:
            assert code(frame.image) == frame.index
    return found


def lost(found: list[Frame]) -> list[int]:
    return [f.index for f in found if f.status != "ok"]


def test_zeroed_block_in_h264_spoils_up_to_the_next_key_frame_only(tmp_path: Path) -> None:
    path = write_container(tmp_path / "h.mp4", "libx264", "yuv420p", N, g="10")
    position, size = packet_at(path, 15)
    zero(path, position + size // 3, 300)
    found = walk(path)
    assert len(found) == N and lost(found)
    assert set(lost(found)) <= set(range(11, 30))
    assert {f.status for f in found if f.index in lost(found)} == {"damaged"}


def test_damage_looks_the_same_however_a_frame_is_reached(tmp_path: Path) -> None:
    path = write_container(tmp_path / "h.mp4", "libx264", "yuv420p", N, g="5")
    zero(path, packet_at(path, 22)[0], 120)
    with open_video(path) as video:
        walked = [f.status for f in video.frames()]
        assert "damaged" in walked
        assert [video.frame(i).status for i in range(N - 1, -1, -1)] == walked[::-1]


def test_zeroed_block_in_mjpeg_costs_one_frame(tmp_path: Path) -> None:
    path = write_container(tmp_path / "j.avi", "mjpeg", "yuvj420p", N)
    position, size = packet_at(path, 15)
    zero(path, position + size // 3, 300)
    assert lost(walk(path)) == [15]


@pytest.mark.parametrize(("codec", "pix_fmt"), [("mjpeg", "yuvj420p"), ("rawvideo", "gray")])
def test_lost_avi_chunk_does_not_shift_the_frames_after_it(codec: str, pix_fmt: str, tmp_path: Path) -> None:
    path = write_container(tmp_path / "lost.avi", codec, pix_fmt, N)
    position, size = packet_at(path, 15)
    zero(path, position - 8, size // 2)
    found = walk(path)
    assert len(found) == N
    assert lost(found) == [15]
    assert found[15].status == "missing"


def test_damaged_avi_with_b_frames_gives_no_frame_of_uncertain_number(tmp_path: Path) -> None:
    path = write_container(tmp_path / "b.avi", "libx264", "yuv420p", N, g="10", bf="3")
    position, size = packet_at(path, 15)
    zero(path, position - 100, size // 2 + 100)
    found = walk(path)
    assert len(found) == N
    assert 5 <= len([f for f in found if f.status == "ok"]) < 20


@pytest.mark.parametrize(("codec", "pix_fmt"), [("mjpeg", "yuvj420p"), ("rawvideo", "gray")])
def test_truncated_avi_reports_its_tail_missing(codec: str, pix_fmt: str, tmp_path: Path) -> None:
    path = write_container(tmp_path / "t.avi", codec, pix_fmt, N)
    cut(path, 0.6)
    found = walk(path)
    assert len(found) == N
    ends = lost(found)
    assert 15 < ends[0] < 30 and ends == list(range(ends[0], N))
    assert found[-1].status == "missing"
    assert found[ends[0]].status in ("damaged", "missing")


def test_truncated_mp4_with_its_index_in_front_reports_its_tail(tmp_path: Path) -> None:
    path = write_container(tmp_path / "plain.mp4", "libx264", "yuv420p", N, g="10")

    front = tmp_path / "front.mp4"
    with av.open(str(path)) as old, av.open(str(front), "w", options={"movflags": "+faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    assert lost(walk(front)) == []
    cut(front, 0.7)
    found = walk(front)
    assert len(found) == N
    assert lost(found) and found[0].status == "ok" and found[-1].status == "missing"


def test_truncated_mp4_without_its_index_is_one_sentence(tmp_path: Path) -> None:
    path = write_container(tmp_path / "h.mp4", "libx264", "yuv420p", N)
    cut(path, 0.6)
    with pytest.raises(InputError, match=r"h\.mp4 cannot be read as a video .*cut short") as caught:
        open_video(path)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", ["gap.mp4", "gap.mov", "gap.mkv"])
def test_gap_in_the_time_stamps_becomes_missing_frames(name: str, tmp_path: Path) -> None:
    path = write_container(tmp_path / name, "libx264", "yuv420p", N, skip=(7, 20, 21), g="10")
    found = walk(path)
    assert len(found) == N
    assert lost(found) == [7, 20, 21]
    assert {found[i].status for i in (7, 20, 21)} == {"missing"}


def test_blank_frames_carry_nothing_and_repeated_ones_are_flagged(tmp_path: Path) -> None:
    stack = np.array([coded(i) for i in range(6)])
    stack[2] = 0
    stack[4] = stack[3]
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    with open_video(tmp_path / "s.tif") as video:
        found = list(video.frames())
        again = [video.frame(i) for i in (4, 2, 3)]
    assert [f.status for f in found] == ["ok", "ok", "damaged", "ok", "duplicate", "ok"]
    assert found[2].image is None and "blank" in found[2].reason
    assert found[4].image is not None
    assert [f.status for f in again] == ["duplicate", "damaged", "ok"]


def test_equal_frames_of_a_lossy_codec_are_legitimate(tmp_path: Path) -> None:
    write_mp4(tmp_path / "still.mp4", [coded(3)] * 6, 25.0)
    with open_video(tmp_path / "still.mp4") as video:
        assert {f.status for f in video.frames()} == {"ok"}


def test_few_nan_pixels_are_repaired_and_many_are_damage(tmp_path: Path) -> None:
    stack = np.array([coded(i) for i in range(4)]).astype(np.float32)
    stack[1, 50, 60] = np.nan
    stack[2, 40:] = np.inf
    stack[3] = np.nan
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    with open_video(tmp_path / "s.tif") as video:
        found = list(video.frames())
    assert [f.status for f in found] == ["ok", "ok", "damaged", "damaged"]
    assert found[1].image[50, 60] == np.median(coded(1)) and "1 NaN" in found[1].reason
    assert "58 %" in found[2].reason


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncated_tiff_never_gives_invented_pixels(compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as writer:  # directories in front of the data of each page
        for i in range(10):
            writer.write(coded(i), compression=compression, metadata=None, photometric="minisblack")
    cut(path, 0.55)
    found = walk(path)
    assert 4 <= sum(f.status == "ok" for f in found) <= 6
    assert found[-1].status in ("missing", "damaged")


def test_pages_written_one_by_one_are_frames(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as writer:
        for i in range(6):
            writer.write(coded(i), compression="zlib")
    assert [f.status for f in walk(tmp_path / "s.tif")] == ["ok"] * 6


def test_truncated_contiguous_stack_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.array([coded(i) for i in range(10)]), imagej=True)
    assert len(walk(path)) == 10
    cut(path, 0.55)
    found = walk(path)
    assert [f.status for f in found] == ["ok"] * 5 + ["damaged"] * 5


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"ome": True}])
def test_truncated_stack_is_never_taken_for_a_short_one(options: dict, tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.array([coded(i) for i in range(10)]), photometric="minisblack", **options)
    assert len(lost(walk(path))) == 0
    cut(path, 0.55)
    assert len(lost(walk(path))) >= 1


def test_hostile_tiff_header_allocates_nothing(tmp_path: Path) -> None:
    image = np.zeros((8, 8), np.uint8)
    path = tmp_path / "giant.tif"
    tifffile.imwrite(path, image)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages[0].tags
        places = [(tags[name].offset, tags[name].valueoffset) for name in ("ImageWidth", "ImageLength")]
    for entry, value in places:
        data[entry + 2 : entry + 4] = (4).to_bytes(2, "little")
        data[value : value + 4] = (200_000).to_bytes(4, "little")
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(InputError, match="GiB"):
        open_video(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_tiff_that_announces_more_than_the_file_could_hold_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, coded(0), compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages[0].tags
        places = [tags[name].offset for name in ("ImageWidth", "ImageLength", "RowsPerStrip")]
        positions = [tags[name].valueoffset for name in ("ImageWidth", "ImageLength", "RowsPerStrip")]
    for entry, value in zip(places, positions, strict=True):
        data[entry + 2 : entry + 4] = (4).to_bytes(2, "little")
        data[value : value + 4] = (30_000).to_bytes(4, "little")
    path.write_bytes(data)
    tracemalloc.start()
    with open_video(path) as video:
        frame = video.frame(0)
    assert frame.status == "damaged"
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_damaged_image_in_a_folder_costs_its_own_frame(tmp_path: Path) -> None:
    for i in range(6):
        Image.fromarray(coded(i)).save(tmp_path / f"f{i}.png")
    cut(tmp_path / "f2.png", 0.5)
    (tmp_path / "f4.png").write_bytes(b"")
    found = walk(tmp_path)
    assert [f.status for f in found] == ["ok", "ok", "damaged", "ok", "damaged", "ok"]
    assert "f2.png" in found[2].reason


def _mixed_sizes(folder: Path) -> Path:
    for i in range(4):
        Image.fromarray(coded(i)[: 90 if i == 2 else 96]).save(folder / f"f{i}.png")
    return folder


def _mixed_pages(folder: Path) -> Path:
    with tifffile.TiffWriter(folder / "pages.tif") as writer:
        for i in range(4):
            writer.write(coded(i)[: 90 if i == 2 else 96], metadata=None)
    return folder / "pages.tif"


def _mixed_kinds(folder: Path) -> Path:
    Image.fromarray(coded(0)).save(folder / "a.png")
    Image.fromarray(coded(0)).save(folder / "b.tif")
    return folder


def _stacks_in_folder(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", np.array([coded(0), coded(1)]), photometric="minisblack")
    return folder


def _written(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def _folder_with(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(b"something")
        return folder

    return write


JUNK = np.random.default_rng(0).integers(0, 256, 20000).astype(np.uint8).tobytes()
CINE_OF_A_BILLION = b"CI" + struct.pack("<HHHiIiI", 44, 0, 1, 0, 10**9, 0, 10**9) + bytes(200)

UNREADABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "absent": (lambda folder: folder / "none.mp4", "does not exist"),
    "empty file": (_written("empty.mp4", b""), "is empty"),
    "text named mp4": (_written("notes.mp4", b"Monday: no particles.\n" * 200), "cannot be read as a video"),
    "text": (_written("notes.txt", b"Monday"), "not a recording"),
    "playlist named avi": (
        _written("p.avi", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n"),
        "cannot be read",
    ),
    "concat script": (_written("p.mkv", b"ffconcat version 1.0\nfile /etc/hostname\n"), "cannot be read"),
    "table": (_written("tracks.csv", b"frame,x,y\n0,1,2\n"), "not a recording"),
    "empty folder": (lambda folder: folder, "it is empty"),
    "folder without images": (_folder_with("run.dat"), "holds no images.*run.dat"),
    "folder of images of two sizes": (_mixed_sizes, r"f2\.png is 128 x 90 px"),
    "folder of two kinds": (_mixed_kinds, r"1 \.png and 1 \.tif"),
    "folder of stacks": (_stacks_in_folder, "stack of 2 frames"),
    "pages of two sizes": (_mixed_pages, "different sizes"),
    "giant cine": (_written("a.cine", CINE_OF_A_BILLION), "announces 1000000000 frames"),
    **{
        f"junk named {suffix}": (_written(f"junk.{suffix}", JUNK), f"junk.{suffix}")
        for suffix in ("mp4", "avi", "mov", "tif", "png", "jpg", "nd2", "seq", "cine", "spe", "dat")
    },
    **{
        f"short header {suffix}": (_written(f"short.{suffix}", start), f"short.{suffix}")
        for suffix, start in [
            ("tif", b"II*\x00\x08\x00\x00\x00"),
            ("png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"),
            ("avi", b"RIFF\x00\x00\x10\x00AVI LIST"),
            ("seq", struct.pack("<L", 0xFEED) + bytes(100)),
            ("seq", struct.pack("<L", 0xFEED) + bytes(9000)),
            ("cine", b"CI" + bytes(100)),
            ("nd2", b"\xda\xce\xbe\n" + bytes(100)),
        ]
    },
}


@pytest.mark.parametrize("case", list(UNREADABLE))
def test_unreadable_input_is_one_sentence(case: str, tmp_path: Path) -> None:
    make, message = UNREADABLE[case]
    path = make(tmp_path)
    with pytest.raises(InputError, match=message) as caught, open_video(path) as video:
        list(video.frames())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_unreadable_permissions(tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        open_video(path)


@pytest.mark.parametrize("name", ["h.mp4", "j.avi", "r.avi"])
def test_random_bit_damage_never_shifts_an_index(name: str, tmp_path: Path) -> None:
    codec, pix_fmt = {"h": ("libx264", "yuv420p"), "j": ("mjpeg", "yuvj420p"), "r": ("rawvideo", "gray")}[
        name[0]
    ]
    rng = np.random.default_rng(7)
    path = write_container(tmp_path / name, codec, pix_fmt, N, g="8")
    first, (last, _) = packet_at(path, 1)[0], packet_at(path, N - 1)
    sound = path.read_bytes()
    for _ in range(8):
        path.write_bytes(sound)
        zero(path, int(rng.integers(first, last - 400)), int(rng.integers(20, 400)))
        with open_video(path) as video:
            found = list(video.frames())
        assert [f.index for f in found] == list(range(N))
        # Raw and MJPEG images have no checksum: zeros may spoil the bars of one, but shift nothing.
        wrong = [f.index for f in found if f.image is not None and code(f.image) != f.index]
        assert len(wrong) <= (0 if codec == "libx264" else 1)

"""The same faults in every kind of container: no silent loss, no shifted index, a reason for whatever is not sound."""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from container_files import SEQ_BLOCK, SEQ_HEADER, WRITERS, Images, announce, place_of, write_folder
from video_files import DATA, HEIGHT, WIDTH, code, coded, cut, zero

from colloidlab.errors import InputError
from colloidlab.video import Frame, open_video, statistics

N, K = 40, 15
SOUND = [coded(i) for i in range(N)]

EVERY = tuple(WRITERS)
FILES = tuple(name for name in EVERY if name != "folder")
STAMPED = ("raw avi", "mjpeg avi", "h264 mp4", "ffv1 mkv", "folder", "seq")
"""A frame that was lost leaves a gap in the numbers or times of these; plain TIFF pages have neither."""
PLAIN_PIXELS = ("raw avi", "tiff", "seq")
CHECKED = ("mjpeg avi", "h264 mp4", "ffv1 mkv", "zlib tiff", "folder")
COUNTED = ("raw avi", "mjpeg avi", "tiff", "seq")
"""A number of frames stands in one place of the header of these."""


@dataclass(frozen=True)
class Expected:
    """What must be told of a faulty recording.

    Parameters
    ----------
    n : int
        Frames delivered, lost ones included.
    surely, perhaps : set of int
        Frames that must, and that may beyond, be anything but ok.
    status : set of str
        What may be said of them.
    """

    n: int
    surely: frozenset[int] = frozenset()
    perhaps: frozenset[int] = frozenset()
    status: tuple[str, ...] = ("damaged", "missing")


def one(status: str) -> Callable[[str], Expected]:
    return lambda name: Expected(N, frozenset({K}), status=(status,))


def sound(name: str) -> Expected:
    return Expected(N)


def block(name: str) -> Expected:
    """One frame, or everything up to the next key frame, also what is shown before it and refers to it."""
    further = range(K - 3, 30) if name == "h264 mp4" else ()
    surely = frozenset() if name == "h264 mp4" else frozenset({K})
    return Expected(N, surely, frozenset(further), ("damaged",))


def unseen_in_plain_pixels(name: str) -> Expected:
    """Other bytes in place of pixels leave no trace that is one in every image: only a hash tells."""
    return Expected(N) if name in PLAIN_PIXELS else block(name)


def three_frames(name: str) -> Expected:
    spoilt = frozenset(range(K, K + 3))
    return Expected(N, frozenset() if name == "h264 mp4" else spoilt, frozenset(range(K - 3, 30)))


def tail(name: str) -> Expected:
    if (
        name == "zlib tiff"
    ):  # its directory of pages is cut off too: one more frame stands for all that were lost
        return Expected(25, frozenset({24}), frozenset({22, 23}))
    return Expected(N, frozenset(range(25, N)), frozenset(range(21, 25)))


def twenty_too_many(name: str) -> Expected:
    return Expected(N + 20, frozenset(range(N, N + 20)))


def images(change: Callable[[list[np.ndarray | None]], None]) -> Callable[[str, Path], Path]:
    """A fault of the camera: other images go into a sound file."""

    def make(name: str, folder: Path) -> Path:
        changed: list[np.ndarray | None] = list(SOUND)
        change(changed)
        return WRITERS[name](folder / "recording", changed)

    return make


def file(change: Callable[[Path], None]) -> Callable[[str, Path], Path]:
    """A fault of the disk: sound images, whose file is spoilt afterwards."""

    def make(name: str, folder: Path) -> Path:
        path = WRITERS[name](folder / "recording", SOUND)
        change(path)
        return path

    return make


def _put(value: object) -> Callable[[list], None]:
    return lambda stack: stack.__setitem__(K, value)


def _repeat(stack: list) -> None:
    stack[K] = stack[K - 1]


def _saturate(stack: list) -> None:
    stack[K] = stack[K].copy()
    stack[K][40:60, 40:80] = 255


def _zeroed(path: Path) -> None:
    target, start, size = place_of(path, K)
    zero(target, start + size // 3, min(2048, size // 3))


def _overwritten(path: Path) -> None:
    target, start, size = place_of(path, K)
    with target.open("r+b") as stream:
        stream.seek(start + size // 3)
        stream.write(np.random.default_rng(0).integers(0, 256, min(2048, size // 3), np.uint8).tobytes())


def _zeroed_across_frames(path: Path) -> None:
    target, start, size = place_of(path, K)
    _, last, last_size = place_of(path, K + 2)
    begin, end = start + size // 3, last + last_size // 2
    zero(target, begin, end - begin)


def _cut(path: Path) -> None:
    cut(path, 0.6)


def _longer(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(np.random.default_rng(1).integers(0, 256, 5000, np.uint8).tobytes())


FAULTS: dict[str, tuple[Callable[[str, Path], Path], Callable[[str], Expected], tuple[str, ...]]] = {
    "none": (images(lambda stack: None), sound, EVERY),
    "blank frame": (images(_put(np.full((HEIGHT, WIDTH), 90, np.uint8))), one("damaged"), EVERY),
    "black frame": (images(_put(np.zeros((HEIGHT, WIDTH), np.uint8))), one("damaged"), EVERY),
    "white frame": (images(_put(np.full((HEIGHT, WIDTH), 255, np.uint8))), one("damaged"), EVERY),
    "saturated pixels": (images(_saturate), sound, EVERY),
    "repeated frame": (images(_repeat), one("duplicate"), tuple(n for n in EVERY if n != "h264 mp4")),
    "lost frame": (images(_put(None)), one("missing"), STAMPED),
    "zeroed block": (file(_zeroed), block, EVERY),
    "overwritten block": (file(_overwritten), unseen_in_plain_pixels, EVERY),
    "zeroed over three frames": (
        file(_zeroed_across_frames),
        three_frames,
        ("raw avi", "tiff", "seq", "h264 mp4"),
    ),
    "cut to 60 %": (file(_cut), tail, FILES),
    "bytes behind its end": (file(_longer), sound, FILES),
    "announces 20 too many": (file(lambda path: announce(path, N + 20)), twenty_too_many, COUNTED),
    "announces 20 too few": (file(lambda path: announce(path, N - 20)), sound, COUNTED),
}

CASES = [(fault, name) for fault, (_, _, names) in FAULTS.items() for name in names]


def walk(path: Path) -> list[Frame]:
    """All frames in order, each checked against the number that its own bars show."""
    with open_video(path) as video:
        found = list(video.frames())
        assert video.n_frames == len(found)
    assert [f.index for f in found] == list(range(len(found)))
    for frame in found:
        assert (frame.image is None) == (frame.status in ("missing", "damaged"))
        assert frame.status == "ok" or len(frame.reason) > 10
        if frame.image is not None:
            assert code(frame.image) == frame.index - (frame.status == "duplicate")
    return found


@pytest.mark.parametrize(("fault", "name"), CASES, ids=lambda part: part.replace(" ", "-"))
def test_fault_is_told_and_shifts_nothing(fault: str, name: str, tmp_path: Path) -> None:
    make, expect, _ = FAULTS[fault]
    expected = expect(name)
    found = walk(make(name, tmp_path))
    assert len(found) == expected.n
    not_ok = {f.index for f in found if f.status != "ok"}
    assert expected.surely <= not_ok <= expected.surely | expected.perhaps
    if expected.surely or expected.perhaps:
        assert not_ok
    assert {f.status for f in found if f.status != "ok"} <= set(expected.status)


def test_the_corpus_is_as_large_as_it_says() -> None:
    per_container = {name: sum(c == name for _, c in CASES) for name in EVERY}
    assert len(per_container) >= 5 and min(per_container.values()) >= 8


@pytest.mark.parametrize("name", FILES)
def test_lost_header_is_one_sentence_or_no_loss(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / "recording", SOUND)
    zero(path, 0, 64)
    if name == "mjpeg avi":  # a stream of JPEG images is recognised without any header
        found = walk(path)
        assert len(found) == N and {f.index for f in found if f.status != "ok"} <= {0}
        return
    with pytest.raises(InputError, match="cannot be read") as caught:
        open_video(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["raw avi", "mjpeg avi"])
def test_avi_without_the_header_of_its_frames_is_numbered_by_the_table_at_its_end(
    name: str, tmp_path: Path
) -> None:
    path = WRITERS[name](tmp_path / "recording", SOUND)
    _, first, size = place_of(path, 0)
    zero(path, first - 40, 40 + size // 2)
    found = walk(path)
    assert [f.index for f in found if f.status != "ok"] == [0] and len(found) == N


def test_tiff_whose_chain_of_pages_breaks_is_not_taken_for_a_short_one(tmp_path: Path) -> None:
    path = WRITERS["zlib tiff"](tmp_path / "recording", SOUND)
    with tifffile.TiffFile(path) as tiff:
        directory = tiff.pages[K].offset
    zero(path, directory, 200)
    found = walk(path)
    assert [f.index for f in found if f.status == "ok"] == list(range(K))
    assert found[-1].status == "missing"


@pytest.mark.parametrize(("first", "second"), [(15, 16), (15, 22), (0, 1), (38, 39)])
def test_images_written_out_of_order_belong_where_their_time_says(
    first: int, second: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = WRITERS["seq"](tmp_path / "recording", SOUND)
    data = bytearray(path.read_bytes())
    a, b = (slice(SEQ_HEADER + k * SEQ_BLOCK, SEQ_HEADER + (k + 1) * SEQ_BLOCK) for k in (first, second))
    data[a], data[b] = data[b], data[a]
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        found = walk(path)
    assert [f.status for f in found] == ["ok"] * N
    assert [f.time_s for f in found] == pytest.approx([i / 100 for i in range(N)])
    assert "out of order" in caplog.text


def test_clock_that_was_set_back_shifts_nothing_and_gives_no_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = WRITERS["seq"](tmp_path / "recording", SOUND)
    data = bytearray(path.read_bytes())
    for k in range(20, N):
        stamp = SEQ_HEADER + k * SEQ_BLOCK + HEIGHT * WIDTH
        data[stamp : stamp + 4] = (1_600_000_000 - 3600).to_bytes(4, "little")
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        found = walk(path)
        with open_video(path) as video:
            assert video.fps is None and video.timestamps_s is None
    assert [f.status for f in found] == ["ok"] * N
    assert {f.time_s for f in found} == {None}
    assert "set back" in caplog.text


@pytest.mark.parametrize(("n_bad", "status"), [(100, "ok"), (HEIGHT * WIDTH // 2, "damaged")])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers(n_bad: int, status: str, value: float, tmp_path: Path) -> None:
    stack = [image.astype(np.float32) for image in SOUND]
    where = np.random.default_rng(2).permutation(np.arange(12 * WIDTH, HEIGHT * WIDTH))[:n_bad]
    stack[K].ravel()[where] = value
    found = walk(WRITERS["tiff"](tmp_path / "recording", stack))
    assert [f.status for f in found] == ["ok"] * K + [status] + ["ok"] * (N - K - 1)
    assert "NaN or infinite" in found[K].reason
    if status == "ok":
        assert np.isfinite(found[K].image).all()


def test_image_of_another_size_is_named(tmp_path: Path) -> None:
    stack: Images = [image[:90] if i == K else image for i, image in enumerate(SOUND)]
    with pytest.raises(InputError, match=r"frame_0015\.png is 128 x 90 px"):
        open_video(write_folder(tmp_path / "recording", stack))


# ---- opening and reading cost -----------------------------------------------------------------------------


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not count the bytes read")
@pytest.mark.parametrize("name", ["raw avi", "mjpeg avi", "h264 mp4", "tiff", "seq"])
def test_opening_reads_no_more_of_a_long_recording_than_of_a_short_one(name: str, tmp_path: Path) -> None:
    long = [SOUND[i % N] for i in range(600 if name == "h264 mp4" else 1600)]
    cost = {}
    for label, stack in (("short", SOUND), ("long", long)):
        path = WRITERS[name](tmp_path / label, stack)
        before = _bytes_read()
        open_video(path).close()
        cost[label] = _bytes_read() - before
    # An index that stands in one piece grows by a few dozen bytes a frame; a decoder probes a fixed amount.
    assert cost["long"] < cost["short"] + 0.25 * path.stat().st_size + 200_000


@pytest.mark.parametrize("name", ["raw avi", "tiff", "seq"])
def test_memory_does_not_grow_with_the_recording(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / "long", [SOUND[i % N] for i in range(600)])
    tracemalloc.start()
    with open_video(path) as video:
        n = sum(1 for _ in video.frames())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 600
    assert peak < 100 * HEIGHT * WIDTH  # of 600 images


# ---- real recordings --------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not here")
def test_no_false_alarm_on_real_recordings() -> None:
    sources = [p for p in sorted((DATA / "formats").iterdir()) if p.suffix != ".md"]
    sources += [
        DATA / name for name in ("quasi2d_crystallites", "foam", "brightfield", "interfacial_monolayer")
    ]
    for source in sources:
        with open_video(source) as video:
            for frame in video.frames(0, min(video.n_frames, 60)):
                assert (frame.status, frame.reason) == ("ok", ""), f"{source} frame {frame.index}"
                assert 0 <= statistics(frame.image).saturated < 0.5

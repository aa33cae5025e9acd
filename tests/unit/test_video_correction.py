"""Background and flat field: what is left is the particle, on the same grey level everywhere and in any order."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pydantic import ValidationError
from scipy import ndimage

from colloidlab.config import VideoConfig
from colloidlab.errors import InputError
from colloidlab.video import Correction, every, open_video
from colloidlab.video.median import SAMPLES, TemporalMedian, median_over_time
from colloidlab.video.rolling_ball import ball_heights, rolling_ball

SHAPE = (80, 100)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
LIGHT = 0.6 + 0.6 * X / SHAPE[1]
DUST = 60 * np.exp(-((X - 70) ** 2 + (Y - 20) ** 2) / 18)


def particle(i: int) -> np.ndarray:
    return 50 * np.exp(-((X - 10 - i) ** 2 + (Y - 50 - 10 * np.sin(i)) ** 2) / 8)


def scene(i: int, dtype: type = np.uint8, scale: float = 1.0) -> np.ndarray:
    """A particle that moves, dust that stands still, light from one side."""
    return np.rint(scale * (100 * LIGHT + DUST + particle(i))).astype(dtype)


def recording(path: Path, n: int = 60, dtype: type = np.uint8, scale: float = 1.0) -> Path:
    tifffile.imwrite(path, np.array([scene(i, dtype, scale) for i in range(n)]), photometric="minisblack")
    return path


def image(path: Path, values: np.ndarray) -> Path:
    tifffile.imwrite(path, values)
    return path


@pytest.mark.parametrize(
    ("dtype", "scale", "corrected"),
    [(np.uint8, 1, np.uint16), (np.uint16, 100, np.uint16), (np.float32, 1, np.float32)],
)
def test_median_leaves_the_moving_particle_alone(
    dtype: type, scale: float, corrected: type, tmp_path: Path
) -> None:
    path = recording(tmp_path / "s.tif", dtype=dtype, scale=scale)
    with (
        open_video(path) as video,
        Correction.from_options(VideoConfig(background="median"), video) as correction,
    ):
        found = correction.apply(20, video.frame(20).image)
    assert found.dtype == corrected == correction.dtype
    rest = found.astype(float) - correction.offset - scale * particle(20)
    assert np.abs(rest).max() <= 1.01  # two roundings of the scene
    assert correction.offset >= 1


def test_reference_image_and_flat_field_are_inverted_exactly(tmp_path: Path) -> None:
    path = recording(tmp_path / "s.tif")
    options = VideoConfig(
        background="image",
        background_image=image(tmp_path / "b.tif", (100 * LIGHT + DUST).astype(np.float32)),
        flat_field=image(tmp_path / "f.tif", (7 * LIGHT).astype(np.float32)),
    )
    with open_video(path) as video, Correction.from_options(options, video) as correction:
        found = correction.apply(5, video.frame(5).image)
    assert correction.gain.mean() == pytest.approx(1, abs=1e-6)
    exact = (scene(5) - 100 * LIGHT - DUST) / (LIGHT / LIGHT.mean()) + correction.offset
    np.testing.assert_allclose(found, exact, atol=0.51)


def test_flat_field_alone_makes_even_light_even_and_keeps_the_mean(tmp_path: Path) -> None:
    stack = np.array([np.rint(100 * LIGHT)] * 2).astype(np.uint8)
    stack[1, 0, 0] += 1
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    options = VideoConfig(flat_field=image(tmp_path / "f.tif", (50 * LIGHT).astype(np.float32)))
    with open_video(tmp_path / "s.tif") as video, Correction.from_options(options, video) as correction:
        found = correction.apply(0, video.frame(0).image)
    assert found.dtype == np.uint16
    assert np.ptp(found.astype(float)) <= 3  # 0.5/0.6 of a rounded level on either side, and the rounding
    assert found.mean() == pytest.approx(100 * LIGHT.mean(), rel=0.005)


def test_no_option_changes_nothing(tmp_path: Path) -> None:
    with open_video(recording(tmp_path / "s.tif", 4)) as video:
        correction = Correction.from_options(VideoConfig(), video)
        given = video.frame(2).image
        assert correction.apply(2, given) is given
        assert correction.dtype == video.dtype


@pytest.mark.parametrize("background", ["median", "rolling_ball", "rolling_ball_dark"])
def test_nothing_is_cut_off_at_either_end_of_eight_bits(background: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stack = rng.choice(np.array([0, 255], np.uint8), size=(9, *SHAPE))
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    flat = image(tmp_path / "f.tif", LIGHT.astype(np.float32))
    options = VideoConfig(background=background, flat_field=flat, background_radius_px=5)
    with open_video(tmp_path / "s.tif") as video, Correction.from_options(options, video) as correction:
        for i in range(9):
            found = correction.apply(i, stack[i]).astype(float)
            flattened = stack[i] / correction.gain
            exact = flattened - correction.background.at(i, flattened.astype(np.float32)) + correction.offset
            np.testing.assert_allclose(found, exact, atol=0.6)
            assert found.max() < 65535


def test_noise_keeps_its_variance_under_subtraction(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    stack = np.clip(np.rint(rng.normal(100 * LIGHT, 4, size=(60, *SHAPE))), 0, 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    with open_video(tmp_path / "s.tif") as video:
        correction = Correction.from_options(VideoConfig(background="median"), video)
        corrected = np.array([correction.apply(i, stack[i]) for i in range(60)], dtype=float)
    per_pixel = corrected.std(axis=0, ddof=1)
    assert np.sqrt((per_pixel**2).mean()) == pytest.approx(np.sqrt(16 + 2 / 12), rel=0.03)


# ---- the same for every way to a frame --------------------------------------------------------------


@pytest.mark.parametrize("window", [None, 10])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_frame_is_corrected_alike_in_any_order_and_on_any_number_of_threads(
    window: int | None, stride: int, tmp_path: Path
) -> None:
    path = recording(tmp_path / "s.tif", 60)
    options = VideoConfig(background="median", background_window=window, stride=stride)

    def corrected(indices: list[int], workers: int) -> dict[int, np.ndarray]:
        with every(open_video(path), stride) as video:
            images = {i: video.frame(i).image for i in indices}
            with Correction.from_options(options, video) as correction, ThreadPoolExecutor(workers) as pool:
                jobs = {i: pool.submit(correction.apply, i, images[i]) for i in indices}
                return {i: job.result() for i, job in jobs.items()}

    whole = corrected(list(range(60 // stride)), 1)
    resumed = corrected(list(range(60 // stride - 1, 12, -1)), 4)
    for i, found in resumed.items():
        np.testing.assert_array_equal(found, whole[i])


def test_running_median_follows_light_that_changes_where_one_median_cannot(tmp_path: Path) -> None:
    lamp = np.linspace(1.0, 1.5, 80)
    stack = np.array([np.rint(lamp[i] * (80 * LIGHT + DUST) + particle(i)) for i in range(80)])
    tifffile.imwrite(tmp_path / "s.tif", stack.astype(np.uint8), photometric="minisblack")
    left = {}
    for window in (None, 10):
        options = VideoConfig(background="median", background_window=window)
        with open_video(tmp_path / "s.tif") as video, Correction.from_options(options, video) as correction:
            found = [correction.apply(i, video.frame(i).image).astype(float) for i in (10, 40, 70)]
        rest = [f - correction.offset - particle(i) for f, i in zip(found, (10, 40, 70), strict=True)]
        left[window] = np.sqrt(np.mean(np.square(rest)))
    assert left[10] < 1.0 < 5.0 < left[None]


def test_median_is_numpys_and_its_samples_are_bounded(tmp_path: Path) -> None:
    stack = np.array([scene(i) for i in range(60)])
    np.testing.assert_array_equal(median_over_time(list(stack[:9])), np.median(stack[:9], axis=0))
    read: list[int] = []
    with open_video(recording(tmp_path / "s.tif", 60)) as video:
        deliveries = video._deliveries
        video._deliveries = lambda a, b: (read.append(d.index) or d for d in deliveries(a, b))  # type: ignore[method-assign]
        median = TemporalMedian(video, range(60), None)
        median.at(0)
    assert len(set(read)) <= 2 * SAMPLES  # each with the frame before it


def test_damaged_frames_do_not_enter_the_median(tmp_path: Path) -> None:
    stack = np.array([scene(i) for i in range(40)])
    stack[10:20] = 255
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    options = VideoConfig(background="median", background_window=10)
    with open_video(tmp_path / "s.tif") as video, Correction.from_options(options, video) as correction:
        for i in (5, 9, 20, 35):
            rest = correction.apply(i, stack[i]).astype(float) - correction.offset - particle(i)
            assert (
                np.abs(rest).max() < 12
            )  # the particle crosses few pixels of a block of ten frames more than once


def test_background_is_of_the_selected_frames_only(tmp_path: Path) -> None:
    stack = np.array([scene(i) if i < 30 else 255 - scene(i) for i in range(60)])
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    options = VideoConfig(background="median", frames="30:")
    with open_video(tmp_path / "s.tif") as video, Correction.from_options(options, video) as correction:
        rest = correction.apply(45, stack[45]).astype(float) - correction.offset + particle(45)
    assert np.abs(rest).max() <= 1.01


# ---- the rolling ball ---------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [4.0, 7.5])
def test_ball_that_needs_no_shrinking_is_the_grey_opening_by_a_ball(radius: float) -> None:
    surface = np.random.default_rng(3).normal(100, 20, (40, 50)).astype(np.float32)
    heights = ball_heights(radius) * 2.5
    smooth = ndimage.uniform_filter(surface, 3, mode="nearest")
    inside = np.isfinite(heights)
    heights = np.where(inside, heights, 0)
    rows, columns = np.mgrid[:40, :50].reshape(2, -1)
    design = np.column_stack([np.ones(2000), rows, columns])
    plane = (design @ np.linalg.lstsq(design, smooth.ravel(), rcond=None)[0]).reshape(40, 50)
    level = smooth - plane
    opened = plane + ndimage.grey_opening(
        level, footprint=inside, structure=heights, mode="constant", cval=np.inf
    )
    reach = len(heights)  # scipy pads the second step with infinity too, so its rim means nothing
    inner = (slice(reach, -reach), slice(reach, -reach))
    np.testing.assert_allclose(rolling_ball(surface, radius, 2.5)[inner], opened[inner], atol=1e-3)


@pytest.mark.parametrize(("background", "sign"), [("rolling_ball", 1), ("rolling_ball_dark", -1)])
def test_ball_takes_uneven_light_and_leaves_particles(background: str, sign: int, tmp_path: Path) -> None:
    spots = sum(50 * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / 8) for x, y in ((20, 20), (50, 55), (80, 40)))
    stack = np.rint([100 * LIGHT + sign * spots] * 2).astype(np.uint8)
    stack[1, 0, 0] += 1
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    options = VideoConfig(background=background, background_radius_px=20)
    with open_video(tmp_path / "s.tif") as video, Correction.from_options(options, video) as correction:
        found = correction.apply(0, stack[0]).astype(float) - correction.offset
    away = spots < 0.5
    assert np.ptp(found[away]) < 5 < np.ptp((100 * LIGHT)[away])
    heights = [sign * (found[y, x] - np.median(found[away])) for x, y in ((20, 20), (50, 55), (80, 40))]
    assert heights == pytest.approx([50] * 3, abs=5)


# ---- references that cannot be used ---------------------------------------------------------------------


def test_flat_field_may_be_black_only_where_nothing_is_used(tmp_path: Path) -> None:
    flat = LIGHT.astype(np.float32)
    flat[:, :10] = 0
    path = recording(tmp_path / "s.tif", 4)
    flat_path = image(tmp_path / "f.tif", flat)
    with open_video(path) as video:
        with pytest.raises(InputError, match=r"f\.tif is not positive in 800 pixel.*x = 0, y = 0"):
            Correction.from_options(VideoConfig(flat_field=flat_path), video)
        correction = Correction.from_options(VideoConfig(flat_field=flat_path, roi="10,0,100,80"), video)
    assert correction.gain[:, 10:].mean() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((10, 12), np.uint8) + np.eye(10, 12, dtype=np.uint8), "12 x 10 px, the video 100 x 80"),
        (np.full(SHAPE, 4000, np.uint16) + np.eye(*SHAPE, dtype=np.uint16), "reaches grey level 4001"),
    ],
)
def test_background_of_another_camera_is_refused(values: np.ndarray, message: str, tmp_path: Path) -> None:
    options = VideoConfig(background="image", background_image=image(tmp_path / "b.tif", values))
    with (
        open_video(recording(tmp_path / "s.tif", 3)) as video,
        pytest.raises(InputError, match=message) as caught,
    ):
        Correction.from_options(options, video)
    assert "b.tif" in str(caught.value)


def test_references_that_are_no_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "junk.png").write_bytes(b"junk")
    with open_video(recording(tmp_path / "s.tif", 3)) as video:
        for path, message in ((tmp_path / "junk.png", "cannot be read"), (tmp_path / "no.png", "not exist")):
            with pytest.raises(InputError, match=message):
                Correction.from_options(VideoConfig(flat_field=path), video)
            with pytest.raises(InputError, match=message):
                Correction.from_options(VideoConfig(background="image", background_image=path), video)


def test_recording_without_a_readable_frame_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", np.full((5, *SHAPE), 7, np.uint8), photometric="minisblack")
    with open_video(tmp_path / "s.tif") as video, pytest.raises(InputError, match="no readable frame"):
        Correction.from_options(VideoConfig(background="median"), video)


@pytest.mark.parametrize("options", [{"background": "image"}, {"background_image": "b.tif"}])
def test_background_image_and_its_option_go_together(options: dict) -> None:
    with pytest.raises(ValidationError, match="go together"):
        VideoConfig(**options)


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    with open_video(recording(tmp_path / "s.tif", 6)) as video:
        Correction.from_options(VideoConfig(background="median"), video).close()
    assert threading.active_count() == before

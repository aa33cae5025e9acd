"""What a preview shows of a frame is what a run writes for it, whatever the options; nothing is estimated twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from diffusing_film import N_PARTICLES, SIDE, write_film

from colloidlab import features
from colloidlab.config import TrackConfig, VideoConfig, load_config
from colloidlab.errors import Cancelled, InputError, UsageError
from colloidlab.features.preview import Preview
from colloidlab.features.selection import wishes
from colloidlab.pipeline import run_track
from colloidlab.progress import Monitor
from colloidlab.run import Run

N_FRAMES, BLANK = 14, 6


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright spots; one frame carries nothing. Beside it a mask and a negative of the film."""
    path = tmp_path_factory.mktemp("film") / "film.tif"
    write_film(path, N_FRAMES, blank=(BLANK,))
    tifffile.imwrite(path.with_name("dark.tif"), 255 - tifffile.imread(path))
    y, x = np.mgrid[:SIDE, :SIDE]
    cv2.imwrite(str(path.with_name("mask.png")), np.where(np.hypot(x - 90, y - 100) < 70, 255, 0))
    return path


@pytest.fixture
def preview(film: Path) -> Iterator[Preview]:
    opened = Preview(film, VideoConfig())
    yield opened
    opened.close()


WAYS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "everything is estimated": ("film.tif", {}, {}),
    "dark, prepared and cut": (
        "dark.tif",
        {"background": "median", "frames": "2:13", "stride": 2, "roi": "10,20,190,170", "mask": "mask.png"},
        {"method": "centroid"},
    ),
    "every value is given": (
        "film.tif",
        {"background": "rolling_ball", "background_radius_px": 20.0},
        {"method": "centroid", "polarity": "bright", "diameter_px": 9, "minmass": 900.0, "minsignal": 10.0}
        | {"separation_px": 7.0},
    ),
    "joint with a given mass": ("film.tif", {"roi": "0,0,150,200"}, {"method": "joint", "minmass": 1200.0}),
}


@pytest.mark.parametrize("way", WAYS)
def test_positions_are_those_of_the_run(way: str, film: Path, tmp_path: Path) -> None:
    name, video, track = WAYS[way]
    if "mask" in video:
        video = video | {"mask": str(film.with_name(video["mask"]))}
    config = load_config(None, {"video": video, "track": track, "indicators": {"only": "msd"}})
    run = Run(tmp_path / "run")
    run_track(film.with_name(name), run, config)
    written, frames = run.read_table("features"), run.read_table("frames")
    opened = Preview(film.with_name(name), config.video)
    # Not in their order: a frame does not depend on what was looked at before.
    for frame in frames["frame"].sample(frac=1, random_state=1):
        found = opened.locate(int(frame), config.track)
        here = written[written["frame"] == frame].reset_index(drop=True)
        assert found.status == frames.set_index("frame")["status"][frame]
        if found.status != "ok":
            assert found.features.empty and "blank" in found.reason
            continue
        assert len(found.features) == len(here) > 10
        pd.testing.assert_frame_equal(found.features[here.columns], here, check_exact=True)
        assert found.parameters.reasons == run.facts("track")["reasons"] or way == "every value is given"
    opened.close()


def test_frames_that_a_run_leaves_out_have_no_number(film: Path) -> None:
    opened = Preview(film, VideoConfig(frames="3:11", stride=3))
    assert [opened.number(k) for k in range(N_FRAMES)] == [
        *(None,) * 3,
        *(1, None, None),
        *(2, None, None),
        *(3, None, None),
        *(None,) * 2,
    ]
    opened.close()


def test_what_was_estimated_and_then_given_is_the_same(preview: Preview) -> None:
    """The short way, without a look at the recording, leads to the same features."""
    estimated = preview.locate(3, TrackConfig(method="centroid"))
    p = estimated.parameters
    options = TrackConfig(
        method="centroid",
        diameter_px=p.diameter_px,
        minmass=p.minmass,
        separation_px=p.separation_px,
        polarity="bright",
        minsignal=p.minsignal,
    )
    fresh = preview.locate(3, options)
    assert set(fresh.parameters.reasons.values()) == {"given by the user"}
    pd.testing.assert_frame_equal(fresh.features, estimated.features, check_exact=True)


def test_an_estimator_says_the_same_whatever_it_was_asked_before(film: Path) -> None:
    images = list(tifffile.imread(film)[[0, 4, 8]])
    asked = [
        TrackConfig(),
        TrackConfig(diameter_px=11, method="centroid"),
        TrackConfig(diameter_px=11, minmass=500.0, method="centroid"),
        TrackConfig(diameter_px=11, polarity="dark", minmass=0.0, method="centroid"),
        TrackConfig(separation_px=12.0),
    ]
    one = features.Estimator(images)
    for options in [*asked, *asked[::-1]]:
        again, anew = one.estimate(**wishes(options)), features.estimate(images, **wishes(options))
        assert vars(again) | {"template": None} == vars(anew) | {"template": None}
        if anew.template is not None:
            assert again.template is not None
            np.testing.assert_array_equal(again.template.profile, anew.template.profile)


def test_nothing_is_estimated_twice(preview: Preview, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    exact = features.Estimator.estimate
    monkeypatch.setattr(features.Estimator, "estimate", lambda self, **k: calls.append(k) or exact(self, **k))
    for memory in (2, 5):  # an option of linking
        for frame in (0, 9):
            preview.locate(frame, TrackConfig(memory=memory))
    assert len(calls) == 1
    preview.locate(0, TrackConfig(minmass=700.0))
    assert len(calls) == 2


def test_candidates_hold_what_the_thresholds_leave_out(preview: Preview) -> None:
    found = preview.locate(0, TrackConfig(method="centroid", diameter_px=9))
    everything = preview.candidates(found)
    faint = everything["mass"] <= found.parameters.minmass
    assert len(found.features) == N_PARTICLES and faint.sum() > 5
    kept = everything[~faint].sort_values(["y", "x"])
    np.testing.assert_allclose(kept[["x", "y"]], found.features[["x", "y"]])


def test_an_estimation_stops_when_told_to(preview: Preview) -> None:
    seen: list[str] = []
    monitor = Monitor(lambda label, *_: seen.append(label), lambda: "features" in seen)
    with pytest.raises(Cancelled):
        preview.locate(0, TrackConfig(), monitor)
    assert seen[-1] == "features" and "read" in seen and "blobs" in seen


def test_what_cannot_be_previewed_is_refused_with_a_sentence(film: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("frame,x,y\n0,1,1\n")
    with pytest.raises(InputError, match="table of positions"):
        Preview(tmp_path / "table.csv", VideoConfig())
    with pytest.raises(InputError, match="does not exist"):
        Preview(tmp_path / "gone.tif", VideoConfig())
    with pytest.raises(UsageError, match="does not lie in the view"):
        Preview(film, VideoConfig(roi="0,0,900,900"))

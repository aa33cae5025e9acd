"""The benchmark of tracking measures what it says: known errors, lost and false particles, wrong links, memory."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from commands import Command

from colloidlab.benchmarks.cost import in_fresh_process, peak_growth_mb
from colloidlab.benchmarks.matching import match
from colloidlab.benchmarks.rows import Row, at_most, between
from colloidlab.benchmarks.tracking_accuracy import Accuracy
from colloidlab.benchmarks.tracking_folders import folder_rows, found_in_folders
from colloidlab.benchmarks.tracking_links import _in_order, _wrong_share, detections, links
from colloidlab.benchmarks.tracking_speed import same_features
from colloidlab.errors import InputError
from colloidlab.synthetic.crowded import SCENES, film

SIZE = 200


@pytest.fixture
def truth() -> pd.DataFrame:
    x, y = np.meshgrid(np.arange(10, 200, 12.0), np.arange(10, 200, 12.0))
    return pd.DataFrame({"x": x.ravel(), "y": y.ravel()})


def test_lost_and_false_particles_are_counted_inside_the_margin_only(truth: pd.DataFrame) -> None:
    inner = truth[(truth > 30).all(axis=1) & (truth < 169).all(axis=1)]
    lost = inner.index[:3]
    false = pd.DataFrame({"x": [52.0, 5.0], "y": [52.0, 5.0]})  # the second lies outside the margin
    found = pd.concat([truth.drop(lost) + 0.1, false], ignore_index=True)
    result = match(found, truth, SIZE, margin_px=30, reach_px=3)
    assert result.recall == pytest.approx(1 - 3 / len(inner))
    assert result.precision == pytest.approx(1 - 1 / (len(inner) - 2))
    assert np.allclose(result.error, 0.1)


def test_a_particle_found_twice_is_found_once(truth: pd.DataFrame) -> None:
    found = pd.concat([truth, truth.iloc[[100]] + 0.5], ignore_index=True)
    result = match(found, truth, SIZE, margin_px=0, reach_px=3)
    assert result.recall == 1.0 and result.n_false == 1
    assert np.allclose(result.error, 0)


def test_errors_at_the_bound_have_ratio_one() -> None:
    rng = np.random.default_rng(0)
    error = 0.02 * rng.standard_normal((40_000, 2))
    accuracy = Accuracy(1.0, 1.0, error, np.full((40_000, 2), 0.025), 0.02)
    assert accuracy.median_ratio == pytest.approx(1.0, abs=0.02)
    assert accuracy.rms_ratio == pytest.approx(1.0, abs=0.02)
    # Without the 1 % of lengths beyond 3.03 standard deviations: 1 - 0.01 (1 + ln 100) of the variance over 0.99.
    assert accuracy.best_rms_ratio == pytest.approx(np.sqrt((1 - 0.01 * (1 + np.log(100))) / 0.99), abs=0.01)
    assert accuracy.spread == pytest.approx(0.8, abs=0.01)


def test_wrong_links_are_counted() -> None:
    table = pd.DataFrame({"frame": [0, 0, 1, 1, 2, 2], "true_particle": [7, 8, 7, 8, 7, 8]})
    assert links(table, np.array([0, 1, 0, 1, 0, 1])).tolist() == [2, 3, 4, 5, -1, -1]
    assert _wrong_share(table, np.array([0, 1, 0, 1, 0, 1])) == 0
    # The identities are exchanged after frame 0, and one track ends early.
    assert _wrong_share(table, np.array([0, 1, 1, 0, 1, 2])) == pytest.approx(2 / 3)


def test_identities_return_to_the_order_of_the_detections() -> None:
    plain = pd.DataFrame({"frame": [1, 0, 0], "x": [3.0, 2.0, 1.0], "y": 0.0})
    linked = plain.sort_values(["frame", "x"]).assign(particle=[5, 6, 5])
    assert _in_order(plain, linked).tolist() == [5, 6, 5]


def test_some_particles_are_missed() -> None:
    scene = replace(SCENES["c"], size_px=200, n_particles=190)
    table = detections(scene, 4, seed=0)
    whole = table.groupby("true_particle")["frame"].nunique()
    assert 0.8 < whole.mean() / 4 < 0.995


def test_growth_of_memory_is_seen() -> None:
    # In a process whose heap no other test has widened.
    growth = in_fresh_process(peak_growth_mb, partial(np.ones, 8_000_000))
    if growth is None:
        pytest.skip("the system tells no high-water mark of memory")
    assert 50 < growth < 80  # 61 MiB


def test_centroids_are_trackpys_on_a_corner_of_scene_a() -> None:
    scene = replace(SCENES["a"], size_px=200, n_particles=137)
    image, _ = next(film(scene, 1, seed=1))
    for row in same_features("scene a", [image], 15):
        assert row.holds, row


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bulk_water"):
        folder_rows(tmp_path)


def test_the_rows_are_printed_and_saved(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [at_most("error", 0.5, 1.0, "px"), between("spread", 1.2, 0.9, 1.1), Row("cost", 3.0, "s")]
    monkeypatch.setattr("colloidlab.benchmarks.tracking.benchmark_tracking", lambda **_: rows)
    target = tmp_path / "rows.json"
    done = command("benchmark", "tracking", "-o", target, "--json")
    assert done.code == 1 and "1 of 2 bars do not hold: spread" in done.err
    printed = json.loads(done.out)
    assert printed[0] == {"name": "error", "value": 0.5, "unit": "px", "bar": "<= 1", "holds": True}
    assert [row["holds"] for row in printed] == [True, False, None]
    saved = json.loads(target.read_text())
    assert saved["rows"] == printed and saved["environment"]["packages"]["trackpy"]
    shown = command("benchmark", "tracking", "-o", target).out
    assert "FAILS" in shown and "0.9 to 1.1" in shown
    del rows[1]
    assert command("benchmark", "tracking", "-o", target).code == 0


def test_the_picture_shows_what_is_found(command: Command, tmp_path: Path) -> None:
    """Eight bright spots of a recording named as a known one, in an image with orange circles around them."""
    folder = tmp_path / "data" / "brightfield"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:160, :200].astype(float)
    for k in range(3):
        image = 40 + rng.normal(0, 2, x.shape)
        for spot in range(8):
            a, b = 30 + 40 * (spot % 4) + k, 40 + 70 * (spot // 4)
            image += 150 * np.exp(-0.5 * ((x - a) ** 2 + (y - b) ** 2) / 3.5**2)
        cv2.imwrite(str(folder / f"{k}.png"), np.clip(image, 0, 255).astype(np.uint8))
    found = found_in_folders(tmp_path / "data")
    assert [one.name for one in found] == ["brightfield"] and len(found[0].ours) == 8
    assert len(found[0].theirs) == 8
    picture = tmp_path / "found.png"
    done = command("benchmark", "tracking", "--data", str(tmp_path / "data"), "--picture", str(picture))
    assert done.code == 0 and str(picture) in done.out
    drawn = cv2.imread(str(picture)).astype(int)
    orange = (drawn[..., 2] > 180) & (drawn[..., 1] > 60) & (drawn[..., 1] < 140) & (drawn[..., 0] < 80)
    assert orange.sum() > 8 * 20


def test_a_picture_needs_recordings(command: Command, tmp_path: Path) -> None:
    done = command("benchmark", "tracking", "--picture", str(tmp_path / "found.png"))
    assert done.code == 2 and "--data" in done.err and not list(tmp_path.iterdir())

"""Drive signals from files: units, motion, and one sentence for what is wrong with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from colloidlab.config import Config, SimulateConfig, to_toml_dict
from colloidlab.errors import InputError, UsageError
from colloidlab.pipeline.simulate import _signal
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.drive import follow, read_drive
from colloidlab.units import Calibration

SCALED = Calibration(um_per_px=0.5, fps=100.0)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_frames_and_pixels(tmp_path: Path) -> None:
    drive = read_drive(written(tmp_path / "a.csv", "frame, dx_px\n0,1\n2.5,3\n10,4\n"), Calibration())
    assert list(drive.frame) == [0, 2.5, 10] and drive.n_frames == 11
    assert np.array_equal(drive.displacement, [[1, 0], [3, 0], [4, 0]])
    assert not drive.gradient.any()


def test_seconds_and_micrometres(tmp_path: Path) -> None:
    text = "time_s,dy_um,gradient_xy\n0,0,0\n0.3,2,0.25\n"
    drive = read_drive(written(tmp_path / "a.csv", text), SCALED)
    assert np.allclose(drive.frame, [0, 30]) and drive.n_frames == 31
    assert np.allclose(drive.displacement, [[0, 0], [0, 4]])
    assert np.array_equal(drive.gradient[1], [[0, 0.25], [0, 0]])


@pytest.mark.parametrize(
    ("text", "calibration", "named"),
    [
        ("", Calibration(), "not readable CSV"),
        ("frame,dx_px\n0,1\n", Calibration(), "two rows"),
        ("frame,dx_px\n0,1\n1,\n", Calibration(), "two rows"),
        ("frame,dx_px\n0,1\n1,far\n", Calibration(), "dx_px that holds no numbers"),
        ("frame,dx\n0,1\n1,2\n", Calibration(), "column 'dx'"),
        ("frame\n0\n1\n", Calibration(), "lacks"),
        ("dx_px\n0\n1\n", Calibration(), "lacks"),
        ("frame,dx_px,dx_um\n0,0,0\n1,1,1\n", SCALED, "dx_px and dx_um"),
        ("frame,time_s,dx_px\n0,0,0\n1,1,1\n", SCALED, "frame and time_s"),
        ("time_s,dx_px\n0,0\n1,1\n", Calibration(), "no frame rate"),
        ("frame,dx_um\n0,0\n1,1\n", Calibration(), "no scale"),
        ("frame,dx_px\n0,0\n2,1\n1,3\n", Calibration(), "must ascend"),
        ("frame,dx_px\n3,0\n9,1\n", Calibration(), "reach from 0"),
        ("frame,gradient_xy\n0,0\n9,30\n", Calibration(), "per cent"),
        ("frame,gradient_xx\n0,0\n5,-0.5\n9,-4\n", Calibration(), "between rows 2 and 3"),
        ("frame,gradient_xx\n0,0\n8,-1\n", Calibration(), "inside out in row 2 (frame 8)"),
        ("frame,gradient_xx,gradient_yy\n0,0,0\n9,-2,-2\n", Calibration(), "between rows 1 and 2"),
        # What counts is the change since the start.
        ("frame,gradient_xx\n0,1\n9,-0.5\n", Calibration(), "inside out"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(
    tmp_path: Path, text: str, calibration: Calibration, named: str
) -> None:
    with pytest.raises(InputError) as error:
        read_drive(written(tmp_path / "a.csv", text), calibration)
    assert named in str(error.value) and "a.csv" in str(error.value) and "\n" not in str(error.value)


def test_a_relative_path_means_the_same_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = to_toml_dict(Config(simulate=SimulateConfig(drive=Path("a.csv"))))["simulate"]["drive"]
    assert kept == str(tmp_path / "a.csv")
    assert SimulateConfig.model_validate({"drive": "none"}).drive is None


@pytest.mark.parametrize("recorded", ["gone.csv", None])
def test_a_path_from_the_record_of_the_run_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {} if recorded is None else {"drive": recorded}
    run: Any = SimpleNamespace(record={"config": {"simulate": options}}, calibration=Calibration())
    with pytest.raises(InputError, match="does not exist") as error:
        _signal(run, tmp_path / "gone.csv")
    assert ("--drive none" in str(error.value)) == (recorded is not None)
    # What is there and no signal has nothing to do with that.
    written(tmp_path / "gone.csv", "frame\n0\n")
    with pytest.raises(InputError, match="lacks") as error:
        _signal(run, tmp_path / "gone.csv")
    assert "--drive none" not in str(error.value)


def test_an_absent_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_drive(tmp_path / "none.csv", Calibration())
    with pytest.raises(InputError, match="not readable"):
        read_drive(tmp_path, Calibration())


def plan() -> Plan:
    """Four prescribed particles on a square, one of which enters late, and a simulated one in the middle."""
    r = np.full((3, 6, 2), np.nan)
    r[0] = [[0, 0], [10, 0], [0, 10], [10, 10], [5, 5], [np.nan, np.nan]]
    r[1:, :4], r[1:, 5] = r[0, :4] + 7.0, 3.0
    v, S = np.zeros_like(r), np.ones((3, 6))
    S[0, 5], S[1:, 4] = np.nan, np.nan
    return Plan(40, np.arange(6) + 10, np.arange(6) == 4, r, v, S, np.ones(6))


def test_the_boundary_follows_the_signal_instead_of_the_recording(tmp_path: Path) -> None:
    t = np.arange(31.0)
    rows = "\n".join(f"{k},{2 + 0.1 * k},{0.02 * k}" for k in t)
    drive = read_drive(written(tmp_path / "a.csv", f"frame,dx_px,gradient_xy\n{rows}\n"), Calibration())
    before, after = plan(), follow(replace(plan(), species=np.arange(6) % 2), drive, 21)
    assert after.first == 40 and after.n_frames == 21
    # Who was to enter never does.
    assert list(after.particles) == [10, 11, 12, 13, 14]
    assert after.species is not None and list(after.species) == [0, 1, 0, 1, 0]
    start = before.r[0, :4]
    for k in (0, 1, 20):
        shift = 0.1 * k + 0.02 * k * (start[:, 1] - 5)
        assert np.allclose(after.r[k, :4] - start, np.column_stack([shift, 0 * shift]), rtol=0, atol=1e-12)
        assert np.allclose(after.v[k, :4, 0], 0.1 + 0.02 * (start[:, 1] - 5), rtol=0, atol=1e-12)
    assert np.all(after.S[:, :4] == 1)
    assert np.array_equal(after.r[0, 4], [5, 5]) and np.isnan(after.r[1:, 4]).all()


def test_a_large_shear_and_a_compression_are_none_of_these(tmp_path: Path) -> None:
    text = "frame,gradient_xx,gradient_xy\n0,0,0\n5,-0.5,2\n9,-0.9,-2\n"
    assert read_drive(written(tmp_path / "a.csv", text), Calibration()).n_frames == 10


def test_stretches_of_frames_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "frame,dx_px,gradient_xy\n0,1,0.1\n10.5,30,0\n50,-7,1\n"
    drive = read_drive(written(tmp_path / "a.csv", text), Calibration())
    whole = follow(plan(), drive, 51)
    monkeypatch.setattr("colloidlab.rollout.drive.STRETCH", 7)
    for name in ("r", "v", "S"):
        one, other = getattr(whole, name), getattr(follow(plan(), drive, 51), name)
        assert np.array_equal(one, other, equal_nan=True)


def test_a_signal_that_fits_into_no_memory_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    drive = read_drive(written(tmp_path / "a.csv", "frame,dx_px\n0,0\n1e12,1\n"), Calibration())
    with pytest.raises(UsageError, match=r"1e\+12 frames .* GiB of memory.*at most \d+ --frames"):
        follow(plan(), drive, drive.n_frames)


def test_a_signal_that_is_too_short_is_named(tmp_path: Path) -> None:
    drive = read_drive(written(tmp_path / "a.csv", "frame,dx_px\n0,0\n5,1\n"), Calibration())
    with pytest.raises(InputError, match="ends at 5"):
        follow(plan(), drive, 7)

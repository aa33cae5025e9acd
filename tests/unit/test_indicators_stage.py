"""The whole stage: tables, curves and summary for rich and for poor recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated_tracks import brownian, ornstein_uhlenbeck, relaxed, table, triangular

from colloidlab.config import IndicatorsConfig
from colloidlab.errors import Cancelled
from colloidlab.indicators import compute, default_lag
from colloidlab.indicators.curve import CURVE_COLUMNS
from colloidlab.indicators.displacement import choose_lags
from colloidlab.indicators.scene import observed_region
from colloidlab.indicators.stage import CATALOGUE
from colloidlab.progress import Monitor
from colloidlab.tables import COLUMNS as TABLE
from colloidlab.tables import read_parquet, write_parquet
from colloidlab.units import Calibration

FLAGS = {"rearranged", "hopped", "edge_cell"}
COUNTS = {"n_neighbours", "coordination", "neighbours_lost", "neighbours_gained"}
COLUMNS = {"frame", "particle", *(column for quantity in CATALOGUE.values() for column in quantity.columns)}
CALIBRATED = Calibration(um_per_px=0.5, fps=10.0)


@pytest.fixture(scope="module")
def gas() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    start = relaxed(rng, 150, 200.0, 18.0)
    positions = brownian(rng, 60, 150, d=0.02, sigma=0.05, side=0.0) + start
    return table(positions, drop=0.05, rng=rng)


def test_a_full_recording_has_everything_in_calibrated_units(gas: pd.DataFrame) -> None:
    labels: list[str] = []
    monitor = Monitor(report=lambda label, done, total: labels.append(label))
    result = compute(gas, CALIBRATED, IndicatorsConfig(), view=(200, 200), monitor=monitor)
    assert set(result.table.columns) == COLUMNS
    assert len(result.table) == len(gas)
    assert not result.table.duplicated(["frame", "particle"]).any()
    assert result.table[["frame", "particle"]].dtypes.unique().tolist() == [np.dtype("int64")]
    assert tuple(result.curves.columns) == CURVE_COLUMNS
    units = result.curves.groupby("quantity")[["x_unit", "y_unit"]].first()
    assert units.loc["g_r"].tolist() == ["um", "1"]
    assert units.loc["msd"].tolist() == ["s", "um^2"]
    assert units.loc["vacf"].tolist() == ["s", "um^2/s^2"]
    summary = result.summary
    # D = 0.02 px²/frame is 0.02 · 0.25 µm² · 10/s.
    error = summary["diffusion_um2_per_s_error"]
    assert summary["diffusion_um2_per_s"] == pytest.approx(0.05, abs=4 * error) and 0 < error < 0.005
    assert summary["localisation_error_px"] == pytest.approx(0.05, abs=0.02)
    assert 18 < summary["neighbour_cutoff_px"] < 32
    assert not any("no minimum" in note for note in summary["notes"])
    assert 0.3 < summary["psi6_mean"] < 1
    first_msd = result.curves[result.curves.quantity == "msd"].iloc[0]
    assert first_msd.x == pytest.approx(0.1)
    assert first_msd.y == pytest.approx((4 * 0.02 + 4 * 0.05**2) * 0.25, rel=0.05)
    assert {"D2min", "p_hop", "g(r)", "indicators"} <= set(labels)


def test_frames_before_the_lag_have_no_rearrangement(gas: pd.DataFrame) -> None:
    config = IndicatorsConfig(lag_frames=7, neighbour_cutoff_px=27.0)
    result = compute(gas, Calibration(), config, view=(200, 200))
    assert result.summary["d2min_lag_frames"] == 7 and result.summary["neighbour_cutoff_px"] == 27.0
    early = result.table[result.table.frame < 7]
    # Nobody has counted neighbours there, nor judged whether they have moved: that is not 0, and not "no".
    assert early[["d2min_px2", "n_neighbours", "rearranged", "neighbours_lost"]].isna().all(axis=None)
    late = result.table[result.table.frame >= 7]
    assert late.d2min_px2.notna().mean() > 0.8
    assert "diffusion_px2_per_frame" in result.summary and "diffusion_um2_per_s" not in result.summary
    assert set(result.curves.x_unit) == {"px", "1/px", "frame"}


def test_a_flag_that_was_not_judged_is_missing_and_stays_so_in_the_file(
    gas: pd.DataFrame, tmp_path: Path
) -> None:
    sigma = np.where(gas.particle < 147, 0.05, np.nan)
    known = gas.assign(sigma_x_px=sigma, sigma_y_px=sigma)
    config = IndicatorsConfig(only="voronoi,d2min,hop,neighbours", lag_frames=5, hop_frames=5)
    result = compute(known, Calibration(), config, view=(200, 200))
    found = result.table
    kinds = {name: TABLE[name].dtype for name in found if TABLE[name].dtype}
    assert set(kinds) == FLAGS | COUNTS and all(
        str(found[name].dtype) == kind for name, kind in kinds.items()
    )
    for flag, error in (("rearranged", "d2min_error_px2"), ("hopped", "hop_error_px2")):
        assert found[flag].isna().equals(found[error].isna()), flag
        assert 0.01 < found[flag].isna().mean() < 0.99 and (found[flag] == False).any(), flag  # noqa: E712
    assert result.summary["rearranged_fraction"] == found["rearranged"].dropna().astype(float).mean()
    assert found["coordination"].isna().equals(found["edge_cell"].astype(bool))
    assert found["coordination"].isna().equals(found["voronoi_area_px2"].isna())
    write_parquet(tmp_path / "table.parquet", found)
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "table.parquet"), found, check_flags=False)


def test_flags_and_counts_of_the_plane_are_missing_in_space() -> None:
    rng = np.random.default_rng(5)
    walk = brownian(rng, 8, 40, d=0.02, side=40.0)
    tracks = table(walk).assign(z=rng.uniform(0, 40, 320))
    found = compute(tracks, Calibration(), IndicatorsConfig(only="voronoi,neighbours"), view=(40, 40)).table
    flat = ["coordination", "edge_cell", "neighbours_lost", "neighbours_gained"]
    assert found[flat].isna().all(axis=None)
    assert found[flat].dtypes.astype(str).tolist() == ["Int64", "boolean", "Int64", "Int64"]


def test_same_tracks_same_result_in_any_order(gas: pd.DataFrame) -> None:
    again = gas.sample(frac=1.0, random_state=3).reset_index(drop=True)
    one = compute(gas, Calibration(), IndicatorsConfig(), view=(200, 200))
    two = compute(again, Calibration(), IndicatorsConfig(), view=(200, 200))
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.curves, two.curves)
    assert one.summary == two.summary


def test_what_is_left_open_is_estimated_and_what_is_given_is_used(gas: pd.DataFrame) -> None:
    only = "psi6,s_q,f_s,overlap"
    usual = compute(gas, CALIBRATED, IndicatorsConfig(only=only), view=(200, 200))
    q = usual.summary["indicator_q_per_px"]
    assert usual.summary["psi_fold"] == 6 and "psi4" not in usual.table
    assert usual.summary["sq_max_per_px"] == pytest.approx(3.5 * q)
    assert usual.summary["overlap_radius_px"] == pytest.approx(0.3 * 2 * np.pi / q)
    config = IndicatorsConfig(
        only=only, psi_fold=4, fs_q_per_px=4.0, sq_max_per_px=0.6, overlap_radius_px=0.02
    )
    given = compute(gas, CALIBRATED, config, view=(200, 200))
    assert given.summary["psi_fold"] == 4 and given.summary["indicator_q_per_px"] == 4.0
    assert given.summary["psi_fold_mean"] == given.table["psi4"].mean() < given.table["psi6"].mean()
    curves = given.curves.set_index("quantity")
    assert 1.1 < curves.loc["s_q", "x"].max() <= 1.2  # 0.6/px is 1.2/µm
    # Free diffusion with noise: F_s is exp(−q²(Dτ + σ²)), and the step of variance 2(D + σ²) an axis leaves radius a.
    variance = 2 * (0.02 + 0.05**2)
    first = curves.loc[["f_s", "overlap"]].groupby("quantity")["y"].first()
    assert first["f_s"] == pytest.approx(np.exp(-(4.0**2) * variance / 2), rel=0.03)
    assert first["overlap"] == pytest.approx(1 - np.exp(-(0.02**2) / (2 * variance)), rel=0.2)


def test_stated_errors_that_the_motion_contradicts_are_told(gas: pd.DataFrame) -> None:
    def notes(sigma: float) -> list[str]:
        known = gas.assign(sigma_x_px=sigma, sigma_y_px=sigma)
        config = IndicatorsConfig(only="d2min", lag_frames=1)
        return [
            n
            for n in compute(known, Calibration(), config, view=(200, 200)).summary["notes"]
            if "errors" in n
        ]

    # A step is 2 (D + σ²) = 2 (0.02 + 0.0025) px² an axis: all of it noise is σ = 0.15, and less than half of it 0.3.
    assert notes(0.05) == notes(0.15) == []
    assert len(notes(0.3)) == 1 and "too large" in notes(0.3)[0]
    assert "rearranged is empty" in notes(np.nan)[0]


def test_a_thin_slab_shows_its_first_shell() -> None:
    rng = np.random.default_rng(10)
    i, j, k = np.mgrid[:12, :12, :2]
    sites = 10.0 * np.column_stack([i.ravel(), j.ravel(), k.ravel()])
    frames = sites + rng.normal(0, 0.4, (5, *sites.shape))
    tracks = table(frames[..., :2]).assign(z=frames[..., 2].ravel())
    summary = compute(tracks, Calibration(), IndicatorsConfig(only="g_r"), view=(120, 120)).summary
    # Sites are 10 and 14.1 px apart; half of the depth of 11 px would see neither.
    assert summary["spacing_px"] == pytest.approx(10, abs=0.5)


def test_every_particle_has_its_diffusion_and_one_moment_its_msd(gas: pd.DataFrame) -> None:
    config = IndicatorsConfig(only="msd,diffusion", msd_origin_frame=10)
    result = compute(gas, CALIBRATED, config, view=(200, 200))
    each = result.tables["particles"]
    assert each.particle.tolist() == sorted(gas.particle.unique())
    mean = each.diffusion_px2_per_frame.mean() * 0.25 * 10
    error = result.summary["diffusion_um2_per_s_error"]
    assert mean == pytest.approx(result.summary["diffusion_um2_per_s"], abs=3 * error)
    since = result.curves[result.curves.quantity == "msd_since_10"]
    # 49 frames are left, each of 4 · 0.02 px² and 0.1 s, beyond the 4 σ² of the localisation error.
    assert since.x.iloc[-1] == pytest.approx(4.9) and since.y_unit.iloc[0] == "um^2"
    assert since.y.iloc[-1] == pytest.approx((49 * 0.08 + 0.01) * 0.25, rel=0.3)


def test_a_stack_has_a_density_per_volume() -> None:
    rng = np.random.default_rng(9)
    frames = rng.uniform(0, 1, (30, 300, 3)) * [60.0, 60.0, 20.0]
    tracks = table(frames[..., :2]).assign(z=frames[..., 2].ravel())
    config = IndicatorsConfig(only="density", neighbour_cutoff_px=5.0)
    result = compute(tracks, CALIBRATED, config, view=(60, 60))
    assert list(result.table.columns) == ["frame", "particle", "local_density_per_px3"]
    # Everybody counts himself, one in a ball of radius 10, of which a part is in the view.
    own = 1 / (4 / 3 * np.pi * 10.0**3 * 0.6)
    assert result.table["local_density_per_px3"].mean() == pytest.approx(300 / 72_000 + own, rel=0.1)
    assert result.summary["density_radius_px"] == 10.0


def test_the_radius_of_the_density_is_told_and_its_limit_too(gas: pd.DataFrame) -> None:
    def of(config: IndicatorsConfig, tracks: pd.DataFrame = gas) -> tuple[float, list[str]]:
        summary = compute(tracks, Calibration(), config, view=(200, 200)).summary
        return summary["density_radius_px"], [n for n in summary["notes"] if "local density" in n]

    assert of(IndicatorsConfig(only="density", neighbour_cutoff_px=27.0)) == (54.0, [])
    radius, notes = of(IndicatorsConfig(only="density", neighbour_cutoff_px=80.0))
    assert 90 < radius <= 100 and len(notes) == 1 and "160 px" in notes[0]
    # In a channel the disc is cut by the walls, exactly, and is not made smaller.
    channel = gas[gas.y < 30]
    assert of(IndicatorsConfig(only="density", neighbour_cutoff_px=27.0), channel) == (54.0, [])


def test_velocities_of_the_flow_are_in_px_a_frame_whatever_the_calibration(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    flowing = table(
        relaxed(rng, 150, 200.0, 18.0) + 0.3 * np.arange(20)[:, None, None] * np.array([1.0, 0.0])
    )
    found = compute(flowing, CALIBRATED, IndicatorsConfig(only="flow"), view=(210, 200)).tables["flow"]
    np.testing.assert_allclose(found[["vx_px", "vy_px"]], [[0.3, 0.0]] * len(found), atol=1e-9)
    write_parquet(tmp_path / "flow.parquet", found, calibration=CALIBRATED)
    units = read_parquet(tmp_path / "flow.parquet").attrs["colloidlab"]["units"]
    assert {units[name] for name in ("vx_px", "vy_px", "vx_error_px", "vy_error_px")} == {"px/frame"}


def _poor_recordings() -> dict[str, tuple[pd.DataFrame, str]]:
    rng = np.random.default_rng(2)
    walk = brownian(rng, 30, 5, d=0.1)
    line = np.stack([np.arange(6.0), np.zeros(6)], axis=1)[None] + np.zeros((5, 1, 1))
    columns = ["frame", "particle", "x", "y"]
    return {
        "empty": (pd.DataFrame({c: pd.Series(dtype="float64") for c in columns}), "g(r)"),
        "one particle": (table(walk[:, :1]), "one particle alone"),
        "two particles": (table(walk[:, :2]), "D2min"),
        "one frame": (table(walk[:1]), "the MSD was not computed"),
        "two frames": (table(walk[:2]), "three consecutive frames"),
        "every third frame": (table(walk)[lambda t: t.frame % 3 == 0], "the VACF was not computed"),
        "on a line": (table(line * 20), "psi6"),
        "on one point": (table(np.full((4, 3, 2), 50.0)), "psi6"),
        "particles that live for a frame": (
            table(walk).assign(particle=np.arange(150)),
            "the MSD was not computed",
        ),
        "NaN positions": (table(walk).assign(x=np.nan), "g(r)"),
    }


@pytest.mark.parametrize("name", list(_poor_recordings()))
def test_poor_recordings_skip_with_a_reason_and_never_fail(name: str) -> None:
    tracks, reason = _poor_recordings()[name]
    result = compute(tracks, CALIBRATED, IndicatorsConfig(), view=(200, 200))
    assert any(reason in note for note in result.summary["notes"]), result.summary["notes"]
    assert set(result.table.columns) == COLUMNS
    assert tuple(result.curves.columns) == CURVE_COLUMNS
    assert len(result.table) == np.isfinite(tracks[["x", "y"]].astype(float)).all(axis=1).sum()
    numbers = [v for v in result.summary.values() if isinstance(v, float)]
    assert np.isfinite(numbers).all()  # summary.json holds no NaN


def test_the_user_can_stop_it(gas: pd.DataFrame) -> None:
    asked = iter(range(1000))
    with pytest.raises(Cancelled):
        compute(
            gas,
            Calibration(),
            IndicatorsConfig(),
            view=(200, 200),
            monitor=Monitor(cancelled=lambda: next(asked) > 90),
        )


def test_detection_margin_is_not_counted_as_empty_space() -> None:
    rng = np.random.default_rng(3)
    positions = rng.uniform(12, 488, (40, 300, 2))
    tracks = table(positions)
    assert observed_region(tracks, (-0.5, -0.5, 499.5, 499.5)) == pytest.approx((12, 12, 488, 488), abs=1)
    g = compute(tracks, Calibration(), IndicatorsConfig(), view=(500, 500)).curves.query("quantity == 'g_r'")
    # Counting the margin would raise these bins by 10 %; the scatter of the average is 0.6 %.
    assert np.average(g.y[10:60], weights=g.x[10:60]) == pytest.approx(1, abs=0.02)
    # A cluster in an empty view is dense compared with the view, not with itself.
    assert observed_region(table(positions / 4), (0, 0, 500, 500))[2] > 450


def test_motion_that_is_not_free_diffusion_is_said_so(gas: pd.DataFrame) -> None:
    def warned(tracks: pd.DataFrame) -> bool:
        notes = compute(tracks, Calibration(), IndicatorsConfig(), view=(200, 200)).summary["notes"]
        return any("not free diffusion" in note for note in notes)

    rng = np.random.default_rng(6)
    assert warned(table(ornstein_uhlenbeck(rng, 60, 100, gamma=0.3, speed=0.5)))
    assert not warned(gas)
    relaxing = np.zeros((60, 100, 2))  # an overdamped particle in a harmonic cage
    for k in range(1, 60):
        relaxing[k] = 0.6 * relaxing[k - 1] + rng.normal(0, 0.5, (100, 2))
    assert warned(table(relaxing + rng.uniform(0, 200, (100, 2))))


def test_lags_are_all_integers_then_sparse() -> None:
    assert choose_lags(1).tolist() == [1]
    assert choose_lags(40)[:32].tolist() == list(range(1, 33)) and choose_lags(40)[-1] == 40
    long = choose_lags(1000)
    assert long[-1] == 1000 and long.size < 100 and (np.diff(long) > 0).all()


def test_lag_is_when_cages_give_way_not_when_the_sample_flows() -> None:
    rng = np.random.default_rng(4)
    lattice = triangular(12, 12, spacing=10.0)
    flow = np.arange(80)[:, None, None] * np.array([3.0, 0.0])
    steps = rng.normal(0, np.sqrt(0.01), (80, 144, 2))
    walk = np.cumsum(steps, axis=0) + lattice
    # Relative to six neighbours the variance is 7/6 of 4 D t = 0.02 t; a tenth of 10 px squared is 1 px².
    inner = default_lag(table(walk + flow), spacing_px=10.0, cutoff_px=13.0)
    assert inner.lag_frames == 20 and "in that time particles move less" in inner.reason
    fast = default_lag(table(np.cumsum(3 * steps, axis=0) + lattice + flow), spacing_px=10.0, cutoff_px=13.0)
    assert fast.lag_frames == pytest.approx(1 / (0.18 * 7 / 6), abs=1.1) and "shortest" in fast.reason
    inertial = ornstein_uhlenbeck(rng, 60, 100, gamma=0.1, speed=2.0)
    assert default_lag(table(inertial), spacing_px=15.0, cutoff_px=22.0).lag_frames == 1
    assert default_lag(table(walk[:1]), spacing_px=10.0, cutoff_px=13.0).lag_frames == 1

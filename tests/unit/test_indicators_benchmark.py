"""The benchmark of indicators: that its bars can fail, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from colloidlab.benchmarks.indicators import What, benchmark_indicators
from colloidlab.benchmarks.indicators_truth import crystal_rows, event_rows
from colloidlab.errors import UsageError
from colloidlab.synthetic.crystal import lattice, noisy_crystal
from colloidlab.tables import read_parquet

SAMPLES = Path(__file__).parents[2] / "sample_videos"


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    table = read_parquet(SAMPLES / "sheared_monolayer_truth.parquet")
    inner = table["x"].between(100, 300) & table["y"].between(100, 300) & (table["frame"] < 70)
    return table[inner].reset_index(drop=True)


def test_events_of_the_truth_itself_are_all_found_and_those_of_noise_are_not(truth: pd.DataFrame) -> None:
    region = (110.0, 110.0, 290.0, 290.0)
    same = {row.name: row for row in event_rows(truth, truth, region)}
    assert same["sample: T1 events of the true positions"].value > 20
    for name, row in same.items():
        if "recall" in name or "precision" in name:
            assert row.value == 1.0 and row.holds
    blurred = truth.copy()
    blurred[["x", "y"]] += np.random.default_rng(0).normal(0, 2.0, (len(truth), 2))
    noisy = {row.name: row for row in event_rows(blurred, truth, region)}
    assert noisy["sample: recall of T1 events, the same four particles"].holds is False


def test_a_crystal_with_understated_errors_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def understated(*arguments, **options) -> pd.DataFrame:
        table = noisy_crystal(*arguments, **{**options, "n_frames": 20, "n": 300})
        return table.assign(sigma_x_px=table["sigma_x_px"] / 2, sigma_y_px=table["sigma_y_px"] / 2)

    monkeypatch.setattr("colloidlab.benchmarks.indicators_truth.noisy_crystal", understated)
    rows = {row.name: row for row in crystal_rows(1)}
    assert rows["rigid crystal: D2min flags over the stated rate"].holds is False
    assert rows["rigid crystal: D2min over what noise is said to make"].value == pytest.approx(4, rel=0.1)


def test_a_lattice_fills_its_box() -> None:
    positions, box = lattice(400, 2.0)
    assert (
        len(positions) == 400 and (positions < box).all() and np.prod(box) / 400 == pytest.approx(2 * 3**0.5)
    )


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="choose from peers, crystal"):
        benchmark_indicators(["speed"], What())

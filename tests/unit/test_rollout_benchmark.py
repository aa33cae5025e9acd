"""The benchmark of rollouts, in small."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from colloidlab.benchmarks import rollout, rollout_run
from colloidlab.benchmarks.rollout import Rollouts, benchmark_rollout
from colloidlab.benchmarks.rollout_conservation import agreement_rows, drift_rows, equilibrium_rows
from colloidlab.benchmarks.rollout_speed import scaling_rows
from colloidlab.benchmarks.rollout_systems import gas_system
from colloidlab.benchmarks.rows import Row
from colloidlab.errors import UsageError


def named(rows: Any) -> dict[str, Row]:
    return {row.name: row for row in rows}


def test_energy_drifts_a_thousand_times_less_than_in_the_published_scheme() -> None:
    rows = named(drift_rows("gas", gas_system(64), 60, 1000.0))
    assert rows["gas: Euler-Maruyama's drift / the conserving step's"].holds
    assert rows["gas: change of the total momentum / sum of |m v|"].holds
    assert rows["gas: energy drift in 1000 steps, Euler-Maruyama"].value > 0.1
    assert rows["gas: questions that the tables did not hold"].value == 0


def test_trajectories_agree() -> None:
    rows = named(agreement_rows(gas_system(64), steps=20))
    assert len(rows) == 3 and all(row.holds for row in rows.values())


@pytest.mark.slow
def test_the_laws_of_equilibrium_hold() -> None:
    rows = named(equilibrium_rows(copies=24, steps=600))
    assert all(row.holds for row in rows.values() if row.bar)
    kinetic = rows["equilibrium: share of kinetic energy / exact"].value
    assert kinetic == pytest.approx(1.0, abs=0.03)


def test_the_speed_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "speed.png"
    rows = named(scaling_rows(200, picture, threads=1))
    assert rows["200 particles, 1 threads: speed"].value > 0
    # Some neighbours, by density: 4 pi/3 (28/17)^3 / 2 pairs a particle.
    assert rows["200 particles: pairs within the cutoff, a particle"].value == pytest.approx(9.36, rel=0.2)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_rollouts_of_a_run() -> None:
    summary = {
        "rollout_g_r_error": 0.03,
        "d2min_ks_distance": 0.06,
        "d2min_ks_floor": 0.05,
        "coverage_80_first_high": 0.81,
        "coverage_80_last_high": 0.7,
        "rollout_frames": 40,
        "rollout_frames_extrapolated": 0,
        "rollout_energy_drift": 1e-3,
        "rollout_momentum_drift": 1e-14,
        "rollout_table_misses": 0,
    }
    frame = np.arange(40)
    budget = pd.DataFrame({"frame": frame, "energy": np.where(frame < 36, 1.0, 60.0)})
    run: Any = SimpleNamespace(require=lambda stage: None, summary=summary, read_table=lambda name: budget)
    rows = named(rollout_run.run_rows(run))
    assert rows["run: g(r), relative error"].holds
    assert rows["run: D2min, distance of Kolmogorov and Smirnov"].holds is False
    assert rows["run: energy in the last tenth / in the first"].holds is False
    assert rows["run: 80 % intervals, upper end, first horizon"].holds
    assert rows["run: 80 % intervals, upper end, last horizon"].holds is False
    del summary["rollout_g_r_error"]
    assert "run: g(r), relative error" not in named(rollout_run.run_rows(run))


def test_what_cannot_be_measured_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no case 'heat'"):
        benchmark_rollout(["heat"], Rollouts())
    with pytest.raises(UsageError, match="--run"):
        benchmark_rollout(["run"], Rollouts())
    with pytest.raises(UsageError, match="--weights"):
        benchmark_rollout([], Rollouts(published=Path("code")))
    threads = torch.get_num_threads()
    told: list[Row] = []
    monkeypatch.setattr(rollout, "CASES", {"one": lambda what, monitor: [Row("one", 1.0)]})
    assert benchmark_rollout([], Rollouts(), tell=told.append) == told == [Row("one", 1.0)]
    assert torch.get_num_threads() == threads

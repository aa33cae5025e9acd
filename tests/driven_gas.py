"""Rollouts to be driven: of a gas that a camera watched, and of one whose outer particles are moved by hand."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import torch
from small_gas import CUTOFF, SPACING, TEMPERATURE, VOLUME, Motion, record, simulate, thermal_gas, watch

from colloidlab.dataset.recording import Recording
from colloidlab.rollout.boundary import Plan, plan_rollout
from colloidlab.rollout.box import ShearBox

N_FRAMES = 12


@cache
def _motion() -> Motion:
    return simulate(thermal_gas(), n=250, n_frames=N_FRAMES, seed=4, wave=0.3)


@cache
def watched_recording() -> Recording:
    return record(watch(_motion(), 0.0), _motion().box)


@cache
def true_state() -> pd.DataFrame:
    """The true state in the shape of `state.parquet`."""
    motion = _motion()
    tracks = watch(motion, 0.0)
    edge = watched_recording().edge
    ordered = tracks.sort_values(["frame", "particle"]).reset_index(drop=True)
    v = motion.v[ordered["frame"], ordered["body"]]
    T = torch.as_tensor(ordered["T"].to_numpy().copy())
    S = thermal_gas().energy.entropy(T, torch.full_like(T, 0.45)).numpy()
    return ordered.assign(vx_px=v[:, 0], vy_px=v[:, 1], entropy=S, boundary=edge <= 2 * CUTOFF)


@cache
def watched_plan() -> Plan:
    return plan_rollout(watched_recording(), true_state(), 2, N_FRAMES - 2)


def held_gas(n_frames: int = 4, *, seed: int = 3) -> Plan:
    """An open gas of 64, of which 20 are moved from outside, one of them in and another one out."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2)
    r = np.full((n_frames, 64, 2), np.nan)
    r[:] = (grid + 0.5) * SPACING + rng.normal(0, 1.5, (64, 2))
    v = np.zeros_like(r)
    v[:, :20, 0] = 0.5
    r[:, :20, 0] += 0.5 * np.arange(n_frames)[:, None]
    v[0, 20:] = rng.normal(0, TEMPERATURE**0.5, (44, 2))
    T = torch.full((64,), TEMPERATURE, dtype=torch.float64)
    S = np.tile(thermal_gas().energy.entropy(T, torch.full_like(T, VOLUME)).numpy(), (n_frames, 1))
    for absent, frames in ((0, slice(2, None)), (1, slice(0, 2))):
        r[frames, absent], v[frames, absent], S[frames, absent] = np.nan, np.nan, np.nan
    return Plan(0, np.arange(64), np.arange(64) >= 20, r, v, S, np.ones(64))


def sheared_gas(n_frames: int, *, rate: float = 0.05, seed: int = 5) -> Plan:
    """A gas of 64, all of it simulated, in a box that shears it."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2)
    r, v, S = (
        np.full((n_frames, 64, 2), np.nan),
        np.full((n_frames, 64, 2), np.nan),
        np.full((n_frames, 64), np.nan),
    )
    r[0] = (grid + 0.5) * SPACING + rng.normal(0, 1.5, (64, 2))
    v[0] = rng.normal(0, TEMPERATURE**0.5, (64, 2))
    v[0, :, 0] += rate * r[0, :, 1]
    T = torch.full((64,), TEMPERATURE, dtype=torch.float64)
    S[0] = thermal_gas().energy.entropy(T, torch.full_like(T, VOLUME)).numpy()
    box = ShearBox((8 * SPACING, 8 * SPACING), rate)
    return Plan(0, np.arange(64), np.ones(64, dtype=bool), r, v, S, np.ones(64), box)

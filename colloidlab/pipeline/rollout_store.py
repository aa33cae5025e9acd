"""Rollouts on disk while they are being made, so that a killed command loses little and a stopped one nothing.

A stretch of frames is written to a Zarr group in a hidden folder of the run, flushed, and then confirmed by its table of
budgets, which appears whole: where that is there, the stretch is complete. The last frame of it is all that a rollout
needs to go on. What belongs to other options, another fit or another version of the program is removed.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr

import colloidlab
from colloidlab.errors import InputError, RolloutStopped
from colloidlab.files import atomic_path, flush_files
from colloidlab.news import RolloutPart
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout import driven
from colloidlab.rollout.books import Budget
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.driven import Resume, RolloutFrame
from colloidlab.run import UNFINISHED, Run
from colloidlab.tables import read_parquet, write_parquet

_log = logging.getLogger(__name__)

FOLDER = UNFINISHED["simulate"]

STOPPED = ("rollout_stopped.zarr", "budget_stopped.parquet")
"""Where the frames of a rollout are kept that became non-finite."""

_STATE = ("positions", "velocities", "entropy", "temperature")
_SCALARS = ("energy", "work", "forcing", "heat", "energy_drift")


class RolloutStore:
    """Frames and budgets of one simulation.

    Parameters
    ----------
    run_path : Path
        The run folder.
    key : str
        Of everything that the rollouts depend on.
    plan : Plan
    sigma : float array, shape (n, D), px
        Errors with which a camera would see the particles; see `rollout.observation`.
    members : int
    n_recorded : int
        Frames of the plan in which the boundary follows the recording.
    dtype : str
        Of the rollouts.

    Attributes
    ----------
    n_done : int
        Frames that are stored.
    """

    def __init__(
        self,
        run_path: Path,
        key: str,
        plan: Plan,
        sigma: np.ndarray,
        members: int,
        *,
        n_recorded: int,
        dtype: str,
    ) -> None:
        self._folder = run_path / FOLDER
        self._plan, self._members, self._n_recorded, self._dtype = plan, members, n_recorded, dtype
        note, key = self._folder / "key", f"{colloidlab.__version__} {key}"
        if not note.exists() or note.read_text(encoding="utf-8") != key or not self.path.exists():
            self.remove()
        self._group: Any = zarr.open_group(self.path, mode="a")
        if not note.exists():
            self._create(sigma)
            with atomic_path(note) as temporary:
                temporary.write_text(key, encoding="utf-8")
        self.n_done = self._whole_stretches()

    @property
    def path(self) -> Path:
        """The Zarr group."""
        return self._folder / "rollout.zarr"

    def _create(self, sigma: np.ndarray) -> None:
        plan, n_frames, n = self._plan, self._plan.n_frames, len(self._plan.particles)
        chunk = (1, min(driven.FRAMES_A_STRETCH, n_frames), n)
        for name in _STATE:
            tail = (2,) if name in ("positions", "velocities") else ()
            self._group.create_array(
                name,
                shape=(self._members, n_frames, n, *tail),
                chunks=(*chunk, *tail),
                dtype=self._dtype,
                fill_value=float("nan"),
            )
        frames = np.arange(n_frames)
        self._group.create_array("frame", data=plan.first + frames)
        self._group.create_array("recorded", data=frames < self._n_recorded)
        self._group.create_array("particle", data=plan.particles)
        self._group.create_array("simulated", data=plan.simulated)
        self._group.create_array("camera_sigma", data=sigma)
        self._group.attrs.update(
            {"units": "px, frames, k_B = m = 1", "axes": "member, frame, particle[, xy]"}
        )
        flush_files(self.path)

    # ---- going on ---------------------------------------------------------------------------

    @property
    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob("*.budget.parquet"))

    def _frames_there(self) -> int:
        """Frames of any simulation that the folder holds; nobody needs those whose books are damaged."""
        with suppress(InputError, KeyError, ValueError, OSError):
            return sum(int(read_parquet(part)["frame"].nunique()) for part in self._parts)
        return 0

    def _whole_stretches(self) -> int:
        """Frames that are there; what a stopped rollout has written of a stretch is left out."""
        n = 0
        for part in self._parts:
            n = int(read_parquet(part)["frame"].max()) - self._plan.first + 1
            if n % driven.FRAMES_A_STRETCH and n < self._plan.n_frames:
                part.unlink()
                n -= n % driven.FRAMES_A_STRETCH
        return n

    def resume(self) -> Resume | None:
        """Where an interrupted simulation is taken up; None at its start.

        Raises
        ------
        InputError
            The store is damaged.
        """
        if self.n_done == 0:
            return None
        last = self.n_done - 1
        try:
            r, v, S = (np.asarray(self._group[name][:, last]) for name in _STATE[:3])
        except (KeyError, ValueError, OSError, RuntimeError) as error:
            raise InputError(
                f"{self.path} of an interrupted simulation is damaged ({error}); remove {self._folder} and run again"
            ) from None
        return Resume(last, r, v, S)

    def write(self, frames: Iterable[RolloutFrame], monitor: Monitor = SILENT) -> None:
        """Store the frames that follow those that are there, a stretch at a time.

        Parameters
        ----------
        frames : iterable of RolloutFrame
        monitor : Monitor
            Is told every frame, those that are there already at first.

        Raises
        ------
        RolloutStopped
            As the frames do; those before are written.
        """
        waiting: list[RolloutFrame] = []
        for k in range(0, self.n_done, driven.FRAMES_A_STRETCH):
            stop = min(k + driven.FRAMES_A_STRETCH, self.n_done)
            monitor.tell(self._part(k, np.asarray(self._group["positions"][:, k:stop])))
        try:
            for frame in frames:
                monitor.tell(self._part(self.n_done + len(waiting), frame.r[:, None]))
                waiting.append(frame)
                done = self.n_done + len(waiting)
                if len(waiting) == driven.FRAMES_A_STRETCH or done == self._plan.n_frames:
                    self._flush(waiting)
                    waiting = []
        except RolloutStopped:
            if waiting:
                self._flush(waiting)
            raise

    def _part(self, done: int, positions: np.ndarray) -> RolloutPart:
        plan = self._plan
        return RolloutPart(plan.first, plan.n_frames, done, plan.particles, plan.simulated, positions)

    def _flush(self, frames: list[RolloutFrame]) -> None:
        first = self.n_done
        n = first + len(frames)
        for name, values in zip(_STATE, ("r", "v", "S", "T"), strict=True):
            stacked = np.stack([getattr(frame, values) for frame in frames], axis=1)
            self._group[name][:, first:n] = stacked
        for chunk in self.path.glob(f"*/c/*/{first // driven.FRAMES_A_STRETCH}"):
            flush_files(chunk)
        rows = [
            budget_rows(frame.budget, self._plan.first + first + k).assign(table_misses=frame.table_misses)
            for k, frame in enumerate(frames)
        ]
        with atomic_path(self._folder / f"{first:09d}.budget.parquet") as temporary:
            write_parquet(temporary, pd.concat(rows, ignore_index=True))
        self.n_done = n

    # ---- the end ----------------------------------------------------------------------------

    def budgets(self) -> pd.DataFrame:
        """Of all frames, sorted by frame and member."""
        tables = [read_parquet(part) for part in self._parts]
        for table in tables:
            table.attrs.clear()
        return pd.concat(tables, ignore_index=True)

    def keep(self, run: Run, names: tuple[str, str] = ("rollout.zarr", "budget.parquet")) -> None:
        """Make the store a product of the run, and remove what it needed to go on."""
        run.write_table(names[1].removesuffix(".parquet"), self.budgets())
        with run.writing(names[0]) as target:
            os.replace(self.path, target)
        self.remove()

    def keep_stopped(self, run: Run, error: RolloutStopped) -> RolloutStopped:
        """Keep what a stopped rollout has, cut to the frames that are there; the error with the place where that lies."""
        if self.n_done == 0:
            self.remove()
            return error
        n = self.n_done
        for name in (*_STATE, "frame", "recorded"):
            array = self._group[name]
            axis = 1 if name in _STATE else 0
            array.resize(tuple(n if k == axis else size for k, size in enumerate(array.shape)))
        self._group.attrs["stopped"] = str(error)
        self.keep(run, STOPPED)
        return RolloutStopped(f"{error}; the {n} frames before are in {run.path / STOPPED[0]}")

    def remove(self) -> None:
        """Delete the folder; frames in it that nobody has kept are logged."""
        if self._folder.exists():
            if self.path.exists() and (dropped := self._frames_there()):
                _log.warning(
                    "the %d frames of an interrupted simulation with other options are dropped", dropped
                )
            # Without its key the rest counts for nothing, also when the removal is cut short.
            (self._folder / "key").unlink(missing_ok=True)
            shutil.rmtree(self._folder, ignore_errors=True)
            with suppress(OSError):
                self._folder.parent.rmdir()


def budget_rows(budget: Budget, frame: int) -> pd.DataFrame:
    """The books of one frame as rows of `budget.parquet`, one a member."""
    columns: dict[str, Any] = {"member": np.arange(len(budget.energy)), "frame": frame}
    columns |= {name: getattr(budget, name) for name in _SCALARS}
    for name in ("momentum", "impulse"):
        columns[f"{name}_x"], columns[f"{name}_y"] = getattr(budget, name).T
    columns["momentum_drift"] = np.linalg.norm(budget.momentum_drift, axis=1)
    return pd.DataFrame(columns)

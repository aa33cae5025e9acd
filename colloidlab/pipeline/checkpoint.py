"""Located frames on disk while a recording is being located, so that a killed command loses little.

The parts lie in a hidden folder of the run and hold consecutive frames. A part is two tables written
atomically, features first: where the table of frames is there, the part is complete. Parts of another recording,
of other options or of another version of the program are removed.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

import colloidlab
from colloidlab.errors import InputError
from colloidlab.files import atomic_path
from colloidlab.run import UNFINISHED
from colloidlab.tables import read_parquet, write_parquet

FOLDER = UNFINISHED["track"]

FRAMES_PER_PART, FEATURES_PER_PART, SECONDS_PER_PART = 200, 200_000, 10.0
"""A part is written after so many frames, features or seconds, whichever comes first."""

Located = tuple[dict[str, object], pd.DataFrame | None]
"""The row of one frame, and its features where there was an image."""


@dataclass(frozen=True)
class _State:
    """Parts on disk and the frames that follow them."""

    parts: tuple[Path, ...] = ()
    waiting: list[Located] = field(default_factory=list)


class Checkpoint:
    """Rows of frames and features of the frames that are done.

    An interruption may come between any two instructions: what has been done changes in one assignment or one
    append, so that every frame is there once and with its features, or not at all.

    Parameters
    ----------
    run_path : Path
        The run folder; made when the first part is written.
    key : str
        Of everything that the features depend on.
    """

    def __init__(self, run_path: Path, key: str) -> None:
        self._run_path = run_path
        self._folder = run_path / FOLDER
        self._key = f"{colloidlab.__version__} {key}"
        self._since = time.monotonic()
        self._state = _State(self._complete_parts())

    def _complete_parts(self) -> tuple[Path, ...]:
        note = self._folder / "key"
        if not note.exists() or note.read_text(encoding="utf-8") != self._key:
            self.remove()
            return ()
        return tuple(sorted(self._folder.glob("*.frames.parquet")))

    @property
    def n_done(self) -> int:
        """Frames on disk, counted from the first one of the selection."""
        return sum(len(self._read(part)) for part in self._state.parts)

    def add(self, row: dict[str, object], features: pd.DataFrame | None) -> None:
        """Keep one frame: its row in `frames`, and its features where it was located."""
        waiting = self._state.waiting
        waiting.append((row, features))
        n_features = sum(len(table) for _, table in waiting if table is not None)
        full = len(waiting) >= FRAMES_PER_PART or n_features >= FEATURES_PER_PART
        if full or time.monotonic() - self._since > SECONDS_PER_PART:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory as a part."""
        parts, waiting = self._state.parts, self._state.waiting
        if not waiting:
            return
        if not parts:
            with atomic_path(self._folder / "key") as temporary:
                temporary.write_text(self._key, encoding="utf-8")
        name = f"{len(parts):06d}"
        tables = [table for _, table in waiting if table is not None]
        if tables:
            with atomic_path(self._folder / f"{name}.features.parquet") as temporary:
                write_parquet(temporary, pd.concat(tables, ignore_index=True))
        part = self._folder / f"{name}.frames.parquet"
        with atomic_path(part) as temporary:
            write_parquet(temporary, pd.DataFrame([row for row, _ in waiting]))
        self._state = _State((*parts, part))
        self._since = time.monotonic()

    def frames(self) -> pd.DataFrame:
        """All rows of frames, in order."""
        self.flush()
        return pd.concat([self._read(part) for part in self._state.parts], ignore_index=True)

    def features(self) -> pd.DataFrame:
        """All features, in order; without rows or columns where there are none."""
        self.flush()
        names = [part.name.replace(".frames.", ".features.") for part in self._state.parts]
        there = [self._folder / name for name in names if (self._folder / name).exists()]
        tables = [table for table in map(self._read, there) if len(table)]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def remove(self) -> None:
        """Delete the parts: they are in the products, or of no use; and the run folder if it held nothing else."""
        self._state = _State()
        if self._folder.exists():
            # Without its key the rest counts for nothing, also when the removal is cut short.
            (self._folder / "key").unlink(missing_ok=True)
            shutil.rmtree(self._folder, ignore_errors=True)
            with suppress(OSError):
                self._run_path.rmdir()

    @staticmethod
    def _read(part: Path) -> pd.DataFrame:
        try:
            table = read_parquet(part)
        except InputError:
            raise InputError(
                f"{part} of an interrupted run is damaged; remove the folder {part.parent} and run again"
            ) from None
        table.attrs.clear()
        return table

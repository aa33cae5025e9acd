"""Located frames on disk while a recording is being located, so that a killed command loses little.

The parts lie in a hidden folder of the run and hold consecutive frames. A part is two tables written
atomically, features first: where the table of frames is there, the part is complete. Parts of another recording
or of other options are removed.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pandas as pd

from colloidlab.errors import InputError
from colloidlab.files import atomic_path
from colloidlab.tables import read_parquet, write_parquet

FOLDER = ".located"
_FRAMES, _SECONDS = 200, 10.0
"""A part is written after so many frames or so much time, whichever comes first."""


class Checkpoint:
    """Rows of frames and features of the frames that are done.

    Parameters
    ----------
    run_path : Path
        The run folder; made when the first part is written.
    key : str
        Of everything that the features depend on.
    """

    def __init__(self, run_path: Path, key: str) -> None:
        self._folder = run_path / FOLDER
        self._key = key
        self._rows: list[dict[str, object]] = []
        self._tables: list[pd.DataFrame] = []
        self._since = time.monotonic()
        self._parts = self._complete_parts()

    def _complete_parts(self) -> list[Path]:
        note = self._folder / "key"
        if not note.exists() or note.read_text(encoding="utf-8") != self._key:
            self.remove()
            return []
        return sorted(self._folder.glob("*.frames.parquet"))

    @property
    def n_done(self) -> int:
        """Frames on disk, counted from the first one of the selection."""
        return sum(len(self._read(part)) for part in self._parts)

    def add(self, row: dict[str, object], features: pd.DataFrame | None) -> None:
        """Keep one frame: its row in `frames`, and its features where it was located."""
        self._rows.append(row)
        if features is not None:
            self._tables.append(features)
        if len(self._rows) >= _FRAMES or time.monotonic() - self._since > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory as a part."""
        if not self._rows:
            return
        if not self._parts:
            with atomic_path(self._folder / "key") as temporary:
                temporary.write_text(self._key, encoding="utf-8")
        name = f"{len(self._parts):06d}"
        if self._tables:
            features = pd.concat(self._tables, ignore_index=True)
            with atomic_path(self._folder / f"{name}.features.parquet") as temporary:
                write_parquet(temporary, features)
        part = self._folder / f"{name}.frames.parquet"
        with atomic_path(part) as temporary:
            write_parquet(temporary, pd.DataFrame(self._rows))
        self._parts.append(part)
        self._rows, self._tables, self._since = [], [], time.monotonic()

    def frames(self) -> pd.DataFrame:
        """All rows of frames, in order."""
        self.flush()
        return pd.concat([self._read(part) for part in self._parts], ignore_index=True)

    def features(self) -> pd.DataFrame:
        """All features, in order; without rows or columns where there are none."""
        self.flush()
        names = [part.name.replace(".frames.", ".features.") for part in self._parts]
        there = [self._folder / name for name in names if (self._folder / name).exists()]
        tables = [table for table in map(self._read, there) if len(table)]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def remove(self) -> None:
        """Delete the parts: they are in the products, or of no use."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._parts = []

    @staticmethod
    def _read(part: Path) -> pd.DataFrame:
        try:
            return read_parquet(part)
        except InputError:
            raise InputError(
                f"{part} of an interrupted run is damaged; remove the folder {part.parent} and run again"
            ) from None

"""The run folder: the one place that reads and writes results.

`docs/run-folder.md` documents it as a contract. Every write is atomic; `run.toml`
records, per stage, the options, the inputs' hashes and the outputs' hashes, so
that an unchanged stage is skipped and a changed one is repeated.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

import colloidlab
from colloidlab import tables
from colloidlab.config import Config, to_toml_dict
from colloidlab.errors import InputError
from colloidlab.files import atomic_path, atomic_paths, sha256
from colloidlab.units import Calibration

CONTRACT = 1
"""Version of the run-folder contract; readers refuse a newer one."""

STAGES: dict[str, tuple[str, ...]] = {
    "track": ("frames.parquet", "features.parquet", "tracks.parquet", "quality.parquet"),
    "indicators": (
        "indicators.parquet",
        "curves.parquet",
        "events.parquet",
        "flow.parquet",
        "drive.parquet",
        "particles.parquet",
    ),
    "fit": ("model", "training.parquet", "state.parquet", "likelihood.parquet", "functions.parquet"),
    "simulate": ("rollout.zarr", "comparison.parquet", "calibration.parquet", "budget.parquet"),
    "report": ("report.html",),
}
"""The products of each stage, in the order in which data flows."""

UNFINISHED = {"track": ".located", "fit": ".fitting", "simulate": ".simulating"}
"""Folder in which a stage that was interrupted leaves what it goes on from."""

DEPENDENTS: dict[str, tuple[str, ...]] = {
    "track": ("indicators", "fit", "report"),
    "indicators": ("report",),
    "fit": ("simulate", "report"),
    "simulate": ("report",),
    "report": (),
}
"""Stages that must be repeated when the products of a stage change."""

SECTIONS: dict[str, tuple[str, ...]] = {
    "track": ("video", "track"),
    "indicators": ("indicators",),
    "fit": ("fit",),
    "simulate": ("simulate",),
    "report": (),
}
"""The sections of the configuration that a stage obeys; it records these and no others."""

_PACKAGES = (
    "numpy",
    "pandas",
    "scipy",
    "trackpy",
    "torch",
    "opencv-python",
    "av",
    "tifffile",
    "zarr",
    "numba",
)


class Run:
    """A run folder, existing or new.

    Parameters
    ----------
    path : Path
        The folder; created when the first result is written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file, not a run folder; choose another name with -o")
        self.record = self._read_record()

    # ---- record -----------------------------------------------------------------------------

    def _read_record(self) -> dict[str, Any]:
        path = self.path / "run.toml"
        if not path.exists():
            return {"contract": CONTRACT, "stages": {}, "config": {}, "summary": {}, "source": {}}
        try:
            record = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is damaged ({error}); remove it to run every stage again") from None
        contract = record.get("contract")
        parts = [record.setdefault(name, {}) for name in ("stages", "config", "summary", "source")]
        if not isinstance(contract, int) or not all(isinstance(part, dict) for part in parts):
            raise InputError(f"{path} is not the record of a run; remove it to run every stage again")
        if contract > CONTRACT:
            raise InputError(f"{path} was written by a newer colloidlab; upgrade the program to read it")
        return record

    def _write_record(self) -> None:
        with atomic_path(self.path / "run.toml") as temporary:
            temporary.write_text(tomli_w.dumps(_plain(self.record)), encoding="utf-8")

    def require(self, stage: str) -> None:
        """Raise `InputError` unless the products of `stage` are all there."""
        absent = [name for name in STAGES[stage] if not (self.path / name).exists()]
        if absent:
            raise InputError(f"{self.path} has no {absent[0]}; run 'colloidlab {stage}' first")

    def set_source(self, path: Path, digest: str, calibration: Calibration, extra: Mapping[str, Any]) -> None:
        """Record the input: name, SHA-256, calibration and where it came from."""
        self.record["source"] = {
            "path": str(path),
            "sha256": digest,
            **{k: v for k, v in vars(calibration).items() if v is not None},
            **extra,
        }

    @property
    def calibration(self) -> Calibration:
        source = self.record["source"]
        return Calibration(**{k: source[k] for k in Calibration.__dataclass_fields__ if k in source})

    # ---- stages -----------------------------------------------------------------------------

    def is_current(self, stage: str, key: str) -> bool:
        """True when `stage` has run with this key and its products are still what it wrote.

        The hashes tell a set of products that a killed command has replaced only in part.
        """
        if not key or self.stage_key(stage) != key:
            return False
        outputs = self.record["stages"][stage].get("outputs", {})
        return all(
            name in outputs and self.has(name) and sha256(self.path / name) == outputs[name]
            for name in STAGES[stage]
        )

    def stage_key(self, stage: str) -> str:
        """Key with which a stage last ran; empty when it never did."""
        return str(self.record["stages"].get(stage, {}).get("key", ""))

    @contextmanager
    def stage(
        self, name: str, key: str, config: Config, options: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Record a stage and the options that it obeyed, once its body has succeeded.

        Yields a dict to which the body adds facts worth keeping (estimates, verdicts).
        """
        facts: dict[str, Any] = {}
        started = time.perf_counter()
        before = self.output_hash(name)
        yield facts
        self.record["contract"] = CONTRACT
        self.record["environment"] = environment()
        resolved = to_toml_dict(config)
        self.record["config"].update({s: resolved[s] for s in SECTIONS[name]})
        self.record["stages"][name] = {
            "key": key,
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - started, 2),
            "argv": sys.argv[1:],
            "options": {k: v for k, v in options.items() if v is not None},
            "facts": facts,
            "outputs": {n: sha256(self.path / n) for n in STAGES[name] if (self.path / n).exists()},
        }
        if self.output_hash(name) != before:
            for dependent in DEPENDENTS[name]:
                self._forget(dependent)
        self._write_record()

    def amend(
        self,
        stage: str,
        facts: Mapping[str, Any],
        *,
        changed: Mapping[str, pd.DataFrame] | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        """Put what a person has changed in the place of a stage's own; it stays current: the same command keeps the change.

        Tables and record change together or not at all. Stages that follow from the stage are then forgotten.

        Parameters
        ----------
        stage : str
        facts : mapping
            About the change.
        changed : mapping of str to DataFrame, optional
            Tables of the stage, by name without ending.
        summary : mapping, optional
            Headline numbers of the stage that are others now.
        """
        products = {f"{name}.parquet": table for name, table in (changed or {}).items()}
        record, numbers = copy.deepcopy(self.record), self.summary | dict(summary or {})
        record["summary"][stage] = sorted({*record["summary"].get(stage, []), *(summary or {})})
        entry = record["stages"][stage]
        entry["facts"] = {**entry.get("facts", {}), **facts}
        followed: list[str] = []
        targets = [self.path / name for name in (*products, "summary.json", "run.toml")]
        with atomic_paths(targets) as (*parts, numbers_part, record_part):
            for (name, table), part in zip(products.items(), parts, strict=True):
                self._write_parquet(part, table)
                entry["outputs"][name] = sha256(part)
            if entry["outputs"] != self.record["stages"][stage]["outputs"]:
                followed = [other for other in _reached(stage) if other in record["stages"]]
            for other in followed:
                del record["stages"][other]
                for key in record["summary"].pop(other, []):
                    numbers.pop(key, None)
            numbers_part.write_text(_as_json(numbers), encoding="utf-8")
            record_part.write_text(tomli_w.dumps(_plain(record)), encoding="utf-8")
        self.record = record
        for other in followed:
            self.remove(*STAGES[other])

    def keep_options(self, section: str, options: Mapping[str, Any] | None) -> None:
        """Record these options of a section as the run's own; none where it had none."""
        self.record["config"].pop(section, None)
        if options is not None:
            self.record["config"][section] = dict(options)
        self._write_record()

    def save(self) -> None:
        """Write the record, after headline numbers of a stage have changed outside of it."""
        self._write_record()

    def _forget(self, stage: str) -> None:
        """Remove a stage whose inputs have changed: a stale product beside new ones would mislead."""
        if stage not in self.record["stages"]:
            return
        self.summarise(stage, {})
        self.remove(*STAGES[stage])
        del self.record["stages"][stage]
        for dependent in DEPENDENTS[stage]:
            self._forget(dependent)

    def facts(self, stage: str) -> dict[str, Any]:
        """What a stage wrote down about itself (empty when it has not run)."""
        return dict(self.record["stages"].get(stage, {}).get("facts", {}))

    def output_hash(self, stage: str) -> str:
        """One hash of everything that a stage produced, for the keys of the stages after it."""
        return digest(self.record["stages"].get(stage, {}).get("outputs", {}))

    # ---- products ---------------------------------------------------------------------------

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write `name`.parquet atomically, with units, calibration and provenance in its metadata."""
        with atomic_path(self.path / f"{name}.parquet") as temporary:
            self._write_parquet(temporary, table)

    def _write_parquet(self, path: Path, table: pd.DataFrame) -> None:
        provenance = {
            "colloidlab": colloidlab.__version__,
            "source": self.record["source"].get("path", ""),
            "sha256": self.record["source"].get("sha256", ""),
        }
        tables.write_parquet(path, table, calibration=self.calibration, provenance=provenance)

    def read_table(self, name: str) -> pd.DataFrame:
        return tables.read_parquet(self.path / f"{name}.parquet")

    def has(self, product: str) -> bool:
        return (self.path / product).exists()

    def write_text(self, name: str, text: str) -> None:
        with atomic_path(self.path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def remove(self, *names: str) -> None:
        """Remove products that no longer follow from the inputs."""
        for name in names:
            path = self.path / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a temporary path that becomes the product `name` (file or folder) on success."""
        with atomic_path(self.path / name) as temporary:
            yield temporary

    @property
    def summary(self) -> dict[str, Any]:
        """The headline numbers, by stage."""
        path = self.path / "summary.json"
        if not path.exists():
            return {}
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError("it holds no table of numbers")
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is damaged ({error}); remove it and run the stages again") from None
        return found

    def summarise(self, stage: str, values: Mapping[str, Any]) -> None:
        """Replace the headline numbers of a stage in `summary.json`."""
        mine = self.record["summary"]
        kept = {k: v for k, v in self.summary.items() if k not in mine.get(stage, [])}
        mine[stage] = sorted(values)
        self.write_text("summary.json", _as_json(kept | dict(values)))

    def stage_summary(self, stage: str) -> dict[str, Any]:
        """The headline numbers that a stage has put into `summary.json`."""
        mine = self.record["summary"].get(stage, [])
        return {k: v for k, v in self.summary.items() if k in mine}


def _reached(stage: str) -> list[str]:
    """All stages that follow from one, directly or not."""
    found = list(DEPENDENTS[stage])
    for dependent in DEPENDENTS[stage]:
        found += [other for other in _reached(dependent) if other not in found]
    return found


def _as_json(numbers: Mapping[str, Any]) -> str:
    return json.dumps(dict(numbers), indent=2, allow_nan=False, default=float) + "\n"


def _plain(value: Any) -> Any:
    """What TOML can hold: absent instead of null, plain numbers instead of numpy's, text instead of paths."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        return value.item()
    return value if isinstance(value, str | bool | int | float) else str(value)


def digest(value: Any) -> str:
    """Hash of any JSON-like value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def environment() -> dict[str, Any]:
    """Versions, machine and commit, for provenance."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "colloidlab": colloidlab.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
    }


def _commit() -> str:
    """Commit of the source tree; empty for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()

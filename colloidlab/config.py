"""Every option of the program, typed, with unit, bound and description.

One definition serves the command-line flags, `--config FILE.toml`, the run folder's
`run.toml` and the graphical plugin. None means "estimate it from the data"; what was
estimated is reported and can be overridden.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from colloidlab.dynamics_sections import FitConfig, SimulateConfig
from colloidlab.errors import UsageError
from colloidlab.option_sections import (
    QUANTITIES,
    ExportConfig,
    IndicatorsConfig,
    Section,
    TrackConfig,
    VideoConfig,
)

__all__ = [
    "QUANTITIES",
    "Config",
    "ExportConfig",
    "FitConfig",
    "IndicatorsConfig",
    "Section",
    "SimulateConfig",
    "TrackConfig",
    "VideoConfig",
    "describe",
    "load_config",
    "to_toml_dict",
]


class Config(Section):
    """All options of one run."""

    video: VideoConfig = VideoConfig()
    track: TrackConfig = TrackConfig()
    indicators: IndicatorsConfig = IndicatorsConfig()
    fit: FitConfig = FitConfig()
    simulate: SimulateConfig = SimulateConfig()


def load_config(
    path: Path | None,
    overrides: dict[str, dict[str, Any]] | None = None,
    *,
    recorded: dict[str, dict[str, Any]] | None = None,
) -> Config:
    """Resolve the options: flag > environment > `--config` file > those of an earlier run > default.

    Parameters
    ----------
    path : Path or None
        TOML file with the sections of `Config`.
    overrides : dict of dict, optional
        Values given as flags, by section and field.
    recorded : dict of dict, optional
        Options of an earlier run on which this one builds.

    Raises
    ------
    UsageError
        An unknown section or option, or a value out of bounds; says which.
    """
    values: dict[str, dict[str, Any]] = {}
    from_file = {} if path is None else _read_toml(path)
    for layer in (recorded or {}, from_file, _from_environment(), overrides or {}):
        for section, options in layer.items():
            known = values.setdefault(section, {})
            for option, value in options.items():
                if value:
                    known.pop(_RIVALS.get((section, option), ""), None)
                else:
                    known.pop(_NEEDS.get((section, option), ""), None)
            known.update(options)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise UsageError(describe(error)) from None


_RIVALS = {("indicators", "lag_frames"): "lag_period", ("indicators", "lag_period"): "lag_frames"}
"""Two ways to say the same: the one that is given later counts."""
_NEEDS = {("fit", "bath"): "bath_temperature_px2"}
"""Options that mean nothing without another: where that is taken back, so are they."""


def _read_toml(path: Path) -> dict[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise UsageError(f"the configuration file {path} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the configuration file {path} is not readable TOML: {error}") from None
    # A run's own run.toml is a valid configuration: its options lie under [config].
    values = values.get("config", values)
    if not isinstance(values, dict) or not all(isinstance(v, dict) for v in values.values()):
        raise UsageError(
            f"{path}: every option belongs to a section, one of {', '.join(map(repr, Config.model_fields))}"
        )
    return values


def _from_environment() -> dict[str, dict[str, Any]]:
    """Options from variables such as COLLOIDLAB_TRACK_DIAMETER_PX."""
    found: dict[str, dict[str, Any]] = {}
    for section in Config.model_fields:
        prefix = f"COLLOIDLAB_{section}_".upper()
        for variable in os.environ:
            # A misspelt option must not pass unseen: whatever has the prefix is checked like a file's.
            if variable.startswith(prefix):
                option = variable.removeprefix(prefix).lower()
                found.setdefault(section, {})[option] = os.environ[variable]
    return found


def describe(
    error: ValidationError,
    advice: str = "; 'colloidlab run --help' lists every option",
    spoken: Callable[[str], str] = str,
) -> str:
    """One sentence that names every wrong option, and where to read on.

    Parameters
    ----------
    error : ValidationError
    advice : str
    spoken : callable(name)
        What the option is called where it was given, as --frames for rollout_frames.
    """
    problems = []
    for item in error.errors():
        where = spoken(".".join(str(part) for part in item["loc"]))
        if item["type"] == "extra_forbidden":
            problems.append(f"unknown option {where}")
            continue
        said, given = item["msg"].removeprefix("Value error, "), repr(item["input"])
        if isinstance(item["input"], Mapping):
            # Of a whole section: the sentence names the options that do not go together.
            problems.append(said)
            continue
        # Sentences of our own begin with the option's name, and quote what was given.
        own = said.removeprefix(f"{item['loc'][-1]} ") if item["loc"] else said
        text = f"{where}: {said}" if own == said else f"{where} {own}"
        problems.append(text if own != said and given in text else f"{text} (got {given})")
    return "; ".join(problems) + advice


def to_toml_dict(config: Config) -> dict[str, dict[str, Any]]:
    """The resolved options as plain TOML values; options left to estimation are absent (TOML has no null)."""
    dumped = config.model_dump(mode="json", exclude_none=True)
    return {section: dumped[section] for section in Config.model_fields}

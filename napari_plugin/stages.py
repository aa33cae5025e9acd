"""What the buttons of the window do: a stage of the program, its options, and the same as a command line."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colloidlab.config import Config, Section, load_config
from colloidlab.errors import UsageError
from colloidlab.progress import Monitor
from colloidlab.run import Run


@dataclass(frozen=True)
class Stage:
    """One button.

    Parameters
    ----------
    title : str
        On the button.
    command : str
        Of the command line, that does the same.
    sections : tuple of str
        Options that the stage obeys; for others those count that the run has recorded.
    needs : str
        Product of an earlier stage, without which this one cannot begin.
    after : str
        Title of the stage that makes it.
    """

    title: str
    command: str
    sections: tuple[str, ...]
    needs: str = ""
    after: str = ""

    @property
    def takes_recording(self) -> bool:
        """Does it begin with the recording, not with what a run holds?"""
        return not self.needs

    @property
    def renews_particles(self) -> bool:
        """Are the particles of the run read again after it, with what it has found of them?"""
        return self.takes_recording or self is FIT


TRACK = Stage("Track", "track", ("video", "track", "indicators"))
FIT = Stage("Fit", "fit", ("fit",), "tracks.parquet", "Track")
SIMULATE = Stage("Simulate", "simulate", ("simulate",), "model", "Fit")
EVERYTHING = Stage("Everything", "run", tuple(Config.model_fields))
REPORT = Stage("Report", "report", (), "tracks.parquet", "Track")

STAGES = (TRACK, FIT, SIMULATE, EVERYTHING, REPORT)


@dataclass(frozen=True)
class Task:
    """One stage, of one recording, into one run folder.

    Parameters
    ----------
    stage : Stage
    source : Path
        The recording; not looked at by stages that need none.
    folder : Path
        The run folder.
    options : Config
        Of the form.
    """

    stage: Stage
    source: Path
    folder: Path
    options: Config

    def run(self, monitor: Monitor) -> dict[str, Any]:
        """Do it.

        Returns
        -------
        dict
            What the function of `colloidlab.pipeline` returns.
        """
        monitor.update("start", 0, 0)
        from colloidlab import pipeline  # brings torch along, which takes seconds

        target, options = Run(self.folder), self.resolved()
        if self.stage is TRACK:
            return pipeline.run_track(self.source, target, options, monitor)
        if self.stage is EVERYTHING:
            return pipeline.run_all(self.source, target, options, monitor)
        work = {FIT: pipeline.run_fit, SIMULATE: pipeline.run_simulate, REPORT: pipeline.run_report}
        return work[self.stage](target, options, monitor)

    def resolved(self) -> Config:
        """The options of the form for this stage; for what was done before, those that the run has recorded."""
        if self.stage.takes_recording:
            return self.options
        values = self._recorded()
        for section in self.stage.sections:
            values[section] = getattr(self.options, section).model_dump()
        return Config.model_validate(values)

    def command_line(self) -> str:
        """The command that does the same in a terminal.

        Raises
        ------
        UsageError
            An option is left to estimation to which an earlier run or the environment has given a value;
            there is no flag that takes it back.
        """
        recorded = {} if self.stage.takes_recording else self._recorded()
        without_flags = load_config(None, recorded=recorded)
        words = ["colloidlab", self.stage.command]
        words += (
            [str(self.source), "-o", str(self.folder)] if self.stage.takes_recording else [str(self.folder)]
        )
        for section in self.stage.sections:
            words += self._flags(section, getattr(without_flags, section))
        return join_words(words)

    def _flags(self, section: str, otherwise: Section) -> list[str]:
        """Flags for whatever is neither the default nor what would count without a flag."""
        options, words = getattr(self.options, section), []
        for name, info in type(options).model_fields.items():
            value, unsaid = getattr(options, name), getattr(otherwise, name)
            if value == info.default and value == unsaid:
                continue
            if value is None:
                raise UsageError(
                    f"no flag takes back {section}.{name} = {unsaid}, which the run has recorded or the environment "
                    "sets; give a value, or use the buttons"
                )
            words += flag(self._flag_name(section, name), value)
        return words

    def _flag_name(self, section: str, name: str) -> str:
        if section == "fit":
            name = name.removesuffix("_minutes")
        if self.stage is SIMULATE:
            name = name.removeprefix("rollout_")
        return name.replace("_", "-")

    def _recorded(self) -> dict[str, Any]:
        return dict(Run(self.folder).record.get("config", {}))


def describe_result(stage: Stage, result: dict[str, Any]) -> str:
    """One sentence on what has been done."""
    if result.get("skipped"):
        return f"{stage.title}: nothing has changed since the last time; the results are kept."
    if stage is TRACK:
        spoilt = result.get("n_frames_damaged", 0)
        note = f"; {spoilt} of them damaged or missing" if spoilt else ""
        return f"Tracked {result['n_tracks']} particles over {result['n_frames']} frames{note}."
    if stage is FIT and result.get("temperature_identified") is False:
        return "Fit is done; the recording does not identify temperature and entropy."
    if refused := result.get("refused"):
        return f"Tracked; there is no simulation, because {refused}."
    return f"{stage.title} is done."


def flag(name: str, value: Any) -> list[str]:
    """An option as it is given in a terminal."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    # With "=", so that a negative number is not taken for a flag.
    return [f"--{name}={value}"]


def join_words(words: list[str]) -> str:
    """A command as it is pasted into the system's terminal."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)

"""The command line: parse, call, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import App, Parameter
from cyclopts import default_name_transform as _flag
from pydantic import ValidationError

import colloidlab
from colloidlab.benchmark_commands import benchmark_app
from colloidlab.config import (
    Config,
    ExportConfig,
    FitConfig,
    IndicatorsConfig,
    Section,
    SimulateConfig,
    TrackConfig,
    VideoConfig,
    load_config,
    to_toml_dict,
)
from colloidlab.errors import Cancelled, ColloidlabError, InputError, UsageError
from colloidlab.progress import SILENT, Monitor
from colloidlab.terminal import anew, describe_flags, end_output, leads, print_json, say, with_bars

if TYPE_CHECKING:
    from colloidlab.run import Run

app = App(
    name="colloidlab",
    version=colloidlab.__version__,
    help="From a video of colloids to their physics: tracks, rearrangements, a thermodynamic model, simulated futures.",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

app.command(benchmark_app)

_REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG}
"""Answers of the operating system that are no fault of this program."""

Output = Annotated[Path, Parameter(name=["--output", "-o"], help="Run folder, created when it is not there")]
ConfigFile = Annotated[
    Path | None, Parameter(name="--config", help="TOML file of options; flags win over it")
]
PrintConfig = Annotated[
    bool, Parameter(name="--print-config", negative="", help="Print the resolved options and stop")
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object on standard output")]
Video = Annotated[VideoConfig | None, Parameter(name="*", group="Video")]
Track = Annotated[TrackConfig | None, Parameter(name="*", group="Track")]
Indicators = Annotated[IndicatorsConfig | None, Parameter(name="*", group="Indicators")]
Fit = Annotated[
    FitConfig | None,
    # A flag is spoken of with its unit ("--budget 10" minutes), an option in a file is read without one.
    Parameter(name="*", group="Fit", name_transform=lambda name: _flag(name.removesuffix("_minutes"))),
]
Simulate = Annotated[SimulateConfig | None, Parameter(name="*", group="Simulate")]
ExportFile = Annotated[
    Path, Parameter(name=["-o", "--output"], help="Film (.mp4), or picture of the first frame (.png)")
]
Export = Annotated[ExportConfig | None, Parameter(name="*", group="Export")]
SimulateAlone = Annotated[
    SimulateConfig | None,
    # Where there are no frames, device and precision but those of rollouts, the flags need not say so.
    Parameter(name="*", group="Simulate", name_transform=lambda name: _flag(name.removeprefix("rollout_"))),
]


@app.command
def run(
    video: Path,
    *,
    output: Output,
    config: ConfigFile = None,
    print_config: PrintConfig = False,
    json: Json = False,
    video_options: Video = None,
    track_options: Track = None,
    indicators_options: Indicators = None,
    fit_options: Fit = None,
    simulate_options: Simulate = None,
) -> None:
    """Track, fit, simulate and report; stages whose inputs and options have not changed are skipped.

    Parameters
    ----------
    video
        A video file, a folder of images, or a table of positions (CSV, Parquet).
    """
    options = _resolve(
        config,
        None,
        video=video_options,
        track=track_options,
        indicators=indicators_options,
        fit=fit_options,
        simulate=simulate_options,
    )
    if _printed(options, print_config):
        return

    def work(monitor: Monitor, target: Run) -> dict[str, Any]:
        from colloidlab.pipeline import run_all

        return run_all(video, target, options, monitor)

    say(_in_run(output, work), json, last="report")


@app.command
def track(
    video: Path,
    *,
    output: Output,
    config: ConfigFile = None,
    print_config: PrintConfig = False,
    json: Json = False,
    video_options: Video = None,
    track_options: Track = None,
    indicators_options: Indicators = None,
) -> None:
    """Find the particles, link them into tracks, and measure structure, motion and rearrangement.

    Parameters
    ----------
    video
        A video file, a folder of images, or a table of positions (CSV, Parquet) with trackpy's columns.
    """
    options = _resolve(config, None, video=video_options, track=track_options, indicators=indicators_options)
    if _printed(options, print_config):
        return

    def work(monitor: Monitor, target: Run) -> dict[str, Any]:
        from colloidlab.pipeline import run_track

        return run_track(video, target, options, monitor)

    say(_in_run(output, work), json)


@app.command
def indicators(
    folder: Annotated[Path, Parameter(name="RUN")],
    *,
    config: ConfigFile = None,
    print_config: PrintConfig = False,
    json: Json = False,
    indicators_options: Indicators = None,
) -> None:
    """Measure rearrangement, structure, motion and flow in the tracks of a run, as `track` does, or some of them anew.

    Parameters
    ----------
    folder
        A run folder that `colloidlab track` has made. With --only, what else was measured with the same options stays.
    """
    options = _resolve(config, folder, indicators=indicators_options)
    if _printed(options, print_config):
        return

    def work(monitor: Monitor, target: Run) -> dict[str, Any]:
        from colloidlab.pipeline import run_indicators

        return run_indicators(target, options, monitor)

    say(_in_run(folder, work, must_exist=True), json)


@app.command
def fit(
    folder: Annotated[Path, Parameter(name="RUN")],
    *,
    config: ConfigFile = None,
    print_config: PrintConfig = False,
    json: Json = False,
    fit_options: Fit = None,
) -> None:
    """Learn the dynamics from the tracks of a run.

    Parameters
    ----------
    folder
        A run folder that `colloidlab track` has made.
    """
    options = _resolve(config, folder, fit=fit_options)
    if _printed(options, print_config):
        return

    def work(monitor: Monitor, target: Run) -> dict[str, Any]:
        from colloidlab.pipeline import run_fit
        from colloidlab.report.results import Results
        from colloidlab.report.words import entropy_gain

        return run_fit(target, options, monitor) | {"verdict": entropy_gain(Results(target))}

    say(_in_run(folder, work, must_exist=True, shared=True), json, last="verdict")


@app.command
def simulate(
    folder: Annotated[Path, Parameter(name="RUN")],
    *,
    config: ConfigFile = None,
    print_config: PrintConfig = False,
    json: Json = False,
    simulate_options: SimulateAlone = None,
) -> None:
    """Roll out the fitted laws from a held-out frame and compare with the experiment.

    Parameters
    ----------
    folder
        A run folder that `colloidlab fit` has completed.
    """
    options = _resolve(config, folder, simulate=simulate_options)
    if _printed(options, print_config):
        return

    def work(monitor: Monitor, target: Run) -> dict[str, Any]:
        from colloidlab.pipeline import run_simulate

        return run_simulate(target, options, monitor)

    say(_in_run(folder, work, must_exist=True), json)


@app.command
def report(folder: Annotated[Path, Parameter(name="RUN")], *, json: Json = False) -> None:
    """Write report.html, one self-contained file.

    Parameters
    ----------
    folder
        A run folder with at least the tracks.
    """
    options = _resolve(None, folder)

    def work(monitor: Monitor, target: Run) -> dict[str, Any]:
        from colloidlab.pipeline import run_report

        return run_report(target, options, monitor)

    say(anew(lambda: _in_run(folder, work, must_exist=True), folder / "report.html"), json, last="report")


@app.command
def export(
    folder: Annotated[Path, Parameter(name="RUN", help="A run folder; without a rollout, use --no-rollout")],
    *,
    output: ExportFile,
    json: Json = False,
    export_options: Export = None,
) -> None:
    """Draw experiment and rollout side by side, as a film or a picture."""

    def work(monitor: Monitor, target: Run) -> dict[str, Any]:
        from colloidlab.report.film import write_export

        return write_export(target, output, export_options or ExportConfig(), monitor)

    say(anew(lambda: _in_run(folder, work, must_exist=True), output), json, last="export")


@app.command
def sample(name: str = "sheared_monolayer", *, output: Output, json: Json = False) -> None:
    """Write a sample video with its ground truth.

    Parameters
    ----------
    name
        sheared_monolayer or brownian.
    """
    from colloidlab.synthetic.sample import write_sample

    files = with_bars(lambda monitor: write_sample(name, output, monitor=monitor))
    say({"files": [str(path) for path in files]}, json)


@app.command
def doctor(*, json: Json = False) -> None:
    """Show versions, devices and readers, what is missing and how to install it."""
    from colloidlab.doctor import diagnose

    checks = diagnose()
    if json:
        print_json({"checks": [vars(check) for check in checks]})
        return
    for check in checks:
        print(check.text)


# ---- helpers ----------------------------------------------------------------------------------


def _resolve(path: Path | None, folder: Path | None, **sections: Section | None) -> Config:
    """Flag > environment > --config > the run's own options > default."""
    from colloidlab.run import Run

    recorded = Run(folder).record.get("config", {}) if folder is not None else {}
    flags = {name: s.model_dump(exclude_unset=True) for name, s in sections.items() if s is not None}
    return load_config(path, flags, recorded=recorded)


def _printed(options: Config, wanted: bool) -> bool:
    if wanted:
        import tomli_w

        print(tomli_w.dumps(to_toml_dict(options)), end="")
    return wanted


def _in_run(
    folder: Path,
    work: Callable[[Monitor, Run], dict[str, Any]],
    *,
    must_exist: bool = False,
    shared: bool = False,
) -> dict[str, Any]:
    """Work in a run folder; `shared` where several processes that torchrun has started may do so together."""
    from colloidlab.run import Run

    if not shared and "TORCHELASTIC_RUN_ID" in os.environ:
        raise UsageError("of all commands only 'fit' is shared by processes: run this one without torchrun")
    if must_exist and not folder.is_dir():
        raise UsageError(
            f"the run folder {folder} does not exist; make it with 'colloidlab track VIDEO -o {folder}'"
        )
    target = Run(folder)
    if not leads():
        work(SILENT, target)
        return {}
    return {"run": str(folder)} | with_bars(lambda monitor: work(monitor, target))


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit.

    Exit codes: 0 ok, 1 bug, 2 usage or configuration, 3 some items failed, 4 unreadable input, 130 interrupted,
    141 nobody reads the output any more.
    """
    sys.exit(_main(sys.argv[1:] if arguments is None else arguments))


def _main(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("colloidlab").setLevel(logging.INFO)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        return end_output()
    except cyclopts.CycloptsError as error:
        cause = error.__cause__
        sentence = describe_flags(cause, arguments) if isinstance(cause, ValidationError) else str(error)
        return _fail(UsageError(sentence))
    except ColloidlabError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return _fail(
            Cancelled("interrupted; what was complete is kept, and the same command goes on from there")
        )
    except OSError as error:
        if error.errno not in _REFUSALS:
            return _bug()
        where = f" ({error.filename})" if error.filename else ""
        return _fail(InputError(f"the system refused: {error.strerror}{where}; earlier results are intact"))
    except Exception:
        return _bug()


def _bug() -> int:
    traceback.print_exc()
    print("colloidlab: this is a bug in colloidlab; please report it with the lines above", file=sys.stderr)
    return 1


def _fail(error: ColloidlabError) -> int:
    print(f"colloidlab: {error}", file=sys.stderr)
    return error.exit_code


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt

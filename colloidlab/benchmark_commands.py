"""`colloidlab benchmark`: measure a claim, print its rows, save them."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from colloidlab.errors import BarMissed, Cancelled, UsageError
from colloidlab.progress import Monitor
from colloidlab.terminal import with_bars

if TYPE_CHECKING:
    from colloidlab.benchmarks.rows import Row

benchmark_app = App(
    name="benchmark", help="Measure what the README claims: name, value, unit, bar and whether the bar holds."
)

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print a JSON list of rows instead")]
Save = Annotated[
    Path | None,
    Parameter(name=["--output", "-o"], help="Also write the rows, with provenance, to this JSON file"),
]


@benchmark_app.command
def sample(
    folder: Annotated[Path, Parameter(name="RUN")],
    *,
    truth: Path = Path("sample_videos"),
    output: Save = None,
    json: Json = False,
) -> None:
    """Compare a run of sheared_monolayer.mp4 with its ground truth, beside a filter that knows the true law.

    Parameters
    ----------
    folder
        The run folder.
    truth
        Folder with the sample's ground truth.
    """
    from colloidlab.benchmarks.sample import benchmark_sample, read_sample_folder
    from colloidlab.run import Run

    if not folder.is_dir():
        raise UsageError(
            f"the run folder {folder} does not exist; make it with 'colloidlab run VIDEO -o {folder}'"
        )
    known = read_sample_folder(truth)
    _say(with_bars(lambda monitor: benchmark_sample(Run(folder), known, monitor)), output, json)


@benchmark_app.command
def tracking(
    *,
    data: Path | None = None,
    seed: int = 100,
    picture: Path | None = None,
    output: Save = Path("benchmark_tracking.json"),
    json: Json = False,
) -> None:
    """Locate and link synthetic scenes with trackpy and with colloidlab; takes some ten minutes on two cores.

    Parameters
    ----------
    data
        Folder of real recordings (quasi2d_crystallites, bulk_water, foam, brightfield, colloids), compared as well.
    seed
        Of the scenes.
    picture
        Draw what is found in the recordings into this PNG, and measure nothing; needs --data.
    """
    from colloidlab.benchmarks.tracking import benchmark_tracking
    from colloidlab.benchmarks.tracking_pictures import draw_folders

    if picture is not None:
        if data is None:
            raise UsageError("--picture draws real recordings; give their folder with --data")
        with_bars(lambda monitor: draw_folders(data, picture, monitor))
        print(picture)
        return
    rows = with_bars(lambda monitor: benchmark_tracking(seed=seed, data=data, monitor=monitor))
    _say(rows, output, json)


@benchmark_app.command
def learner(
    *cases: Annotated[str, Parameter(name="CASE")],
    seeds: int = 3,
    stars: Path | None = None,
    published: Path | None = None,
    weights: Path | None = None,
    output: Save = Path("benchmark_learner.json"),
    json: Json = False,
) -> None:
    """Fit simulated gases of known law and hold the fits against it; takes hours on two cores.

    Parameters
    ----------
    cases
        temperature (found where it varies), forms (filter and encoder side by side), weak (where little tells it),
        nulls (where there is none), positions (sampling and localisation errors), parts (a bath, attraction, shear),
        mixture (two species), stars (cost and quality beside the published method) [all].
    seeds
        Simulations of each gas whose temperature is to be found.
    stars
        A melt of star polymers (.npz: r, v, box, dt, mass) instead of one that LAMMPS makes.
    published
        A checkout of the code of the published method, whose training step is timed beside ours.
    weights
        Its weights for these stars, judged beside ours.
    """
    from colloidlab.benchmarks.learner import benchmark_learner
    from colloidlab.benchmarks.learner_stars import Outside

    outside = Outside(stars, published, weights)
    _say_as_measured(
        lambda monitor, tell: benchmark_learner(
            list(cases), seeds=seeds, outside=outside, monitor=monitor, tell=tell
        ),
        output,
        json,
    )


@benchmark_app.command
def indicators(
    *cases: Annotated[str, Parameter(name="CASE")],
    run: Path | None = None,
    truth: Path = Path("sample_videos"),
    seed: int = 1,
    output: Save = Path("benchmark_indicators.json"),
    json: Json = False,
) -> None:
    """Compare indicators with ovito, freud and PyMatterSim, and with what is known; takes two minutes on two cores.

    Parameters
    ----------
    cases
        peers (the same numbers and their cost), crystal (what localisation errors alone flag), diffusion (how often
        the error bars hold the truth), events (T1 events of a constructed movie, and with --run those of the tracked
        sample against the true positions') [all].
    run
        A run of sheared_monolayer.mp4, for its events.
    truth
        Folder with its ground truth.
    seed
        Of the simulated positions.
    """
    from colloidlab.benchmarks.indicators import What, benchmark_indicators

    what = What(seed, run, truth)
    _say_as_measured(
        lambda monitor, tell: benchmark_indicators(list(cases), what, monitor=monitor, tell=tell),
        output,
        json,
    )


@benchmark_app.command
def rollout(
    *cases: Annotated[str, Parameter(name="CASE")],
    run: Path | None = None,
    weights: Path | None = None,
    published: Path | None = None,
    picture: Path | None = None,
    largest: int = 1_000_000,
    output: Save = Path("benchmark_rollout.json"),
    json: Json = False,
) -> None:
    """Measure what rollouts conserve and cost; takes some twenty minutes on two cores.

    Parameters
    ----------
    cases
        conservation (energy and momentum beside the published scheme), equilibrium (exact laws), speed (beside the
        published code, and up to a million particles), run (a finished run against its held-out frames) [all].
    run
        A finished run, whose rollouts are judged.
    weights
        Published weights of star polymers.
    published
        A checkout of the code that they belong to, timed beside ours.
    picture
        PNG of the speed against the number of particles.
    largest
        Number of particles up to which that goes.
    """
    from colloidlab.benchmarks.rollout import Rollouts, benchmark_rollout

    what = Rollouts(run, weights, published, picture, largest)
    _say_as_measured(
        lambda monitor, tell: benchmark_rollout(list(cases), what, monitor=monitor, tell=tell), output, json
    )


def _say_as_measured(
    measure: Callable[[Monitor, Callable[[Row], None]], list[Row]], output: Path | None, as_json: bool
) -> None:
    """Print and save every row at once: what comes later may take hours."""
    found: list[Row] = []

    def tell(row: Row) -> None:
        found.append(row)
        if output is not None:
            _save(found, output)
        if not as_json:
            print(_line(row, _WIDTH), flush=True)

    try:
        rows = with_bars(lambda monitor: measure(monitor, tell))
    except KeyboardInterrupt:
        kept = f"what was measured is in {output}" if output is not None and found else "nothing was kept"
        raise Cancelled(f"interrupted; {kept}, and the same command starts anew") from None
    if as_json:
        _print_json(rows)
    _hold(rows)


_WIDTH = 76
"""Of the names of rows that are printed before the longest is known."""


def _say(rows: list[Row], output: Path | None, as_json: bool) -> None:
    if output is not None:
        _save(rows, output)
    if as_json:
        _print_json(rows)
    else:
        width = max(len(row.name) for row in rows)
        for row in rows:
            print(_line(row, width))
    _hold(rows)


def _print_json(rows: list[Row]) -> None:
    print(json_module.dumps([vars(row) for row in rows]))


def _hold(rows: list[Row]) -> None:
    """A script that measures must see by the exit status whether all bars hold."""
    judged = [row for row in rows if row.holds is not None]
    missed = [row.name for row in judged if not row.holds]
    if missed:
        raise BarMissed(f"{len(missed)} of {len(judged)} bars do not hold: {'; '.join(missed)}")


def _line(row: Row, width: int) -> str:
    mark = {True: "holds", False: "FAILS", None: ""}[row.holds]
    return f"{row.name:{width}} {row.value:10.4g} {row.unit:28} {row.bar:14} {mark}".rstrip()


def _save(rows: list[Row], path: Path) -> None:
    import sys

    from colloidlab.files import atomic_path
    from colloidlab.run import environment

    document = {"argv": sys.argv[1:], "environment": environment(), "rows": [vars(row) for row in rows]}
    with atomic_path(path) as temporary:
        temporary.write_text(json_module.dumps(document, indent=2) + "\n", encoding="utf-8")

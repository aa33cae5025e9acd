"""What a step of a rollout costs: beside the published code, and against the number of particles."""

from __future__ import annotations

import argparse
import copy
import time
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colloidlab.benchmarks.cost import in_fresh_process, peak_mb
from colloidlab.benchmarks.rollout_systems import STAR_STEP, System, gas_system, star_system, torch_steps
from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.benchmarks.star_steps import HIDDEN, Runner, Step, import_published
from colloidlab.files import atomic_path
from colloidlab.progress import SILENT, Monitor
from colloidlab.report.style import BLUE, ORANGE, new_figure
from colloidlab.rollout.compiled import CompiledStep
from colloidlab.rollout.free_motion import FreeMotion
from colloidlab.rollout.fused import STEPS_BEFORE, FusedMotion
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise
from colloidlab.rollout.state import State

_REPEATS = 7
_STEPS_A_TURN = {"tables": {1000: 10, 8000: 3}, "networks": {1000: 2}}
"""So that turns take about as long as a step of the published code; one step where nothing is said."""
_LARGE_MB = 12 * 1024.0
_GPU_SPEED = 5e7
"""Particle-steps a second that a GPU should take."""
FEWEST = 100
"""Particles: the periodic box of fewer than 36 is shorter than two cutoffs."""
_DPI = 110
_COLOURS = (BLUE, ORANGE)


def published_rows(folder: Path, weights: Path, n: int, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Processor time of a step of n stars on one thread: the published code, and ours from the same state, in turns."""
    sides = {
        "tables": Runner(_compiled_step, str(weights), n),
        "networks": Runner(_network_step, str(weights), n),
        "published code": Runner(_published_step, str(folder), str(weights), n),
    }
    try:
        times: dict[str, list[float]] = {name: [] for name in sides}
        for k in range(_REPEATS + 1):
            monitor.update(f"steps of {n} stars", k, _REPEATS + 1)
            for name, side in sides.items():
                seconds, steps = side.step()
                if k > 0:
                    times[name].append(seconds / steps)
        memory = {name: side.peak_mb() for name, side in sides.items()}
    finally:
        for side in sides.values():
            side.__exit__()
    for name, values in times.items():
        yield Row(f"{n} stars: {name}, a step", 1e3 * float(np.median(values)), "ms on one core")
        yield Row(f"{n} stars: {name}, memory of the process", memory[name], "MB")
    for name, bar in (("tables", 15.0), ("networks", 2.0)):
        ratio = float(np.median(np.divide(times["published code"], times[name])))
        yield at_least(f"{n} stars: {name}, times faster than the published code", ratio, bar)


def _compiled_step(weights: str, n: int) -> Step:
    system, steps = star_system(Path(weights), n, settle=20), _STEPS_A_TURN["tables"].get(n, 1)
    moving, count = system.compiled(1), 0

    def step() -> float:
        nonlocal count
        for _ in range(steps):
            moving.step(system.dt, count)
            count += 1
        return float(steps)

    return step


def _network_step(weights: str, n: int) -> Step:
    system = star_system(Path(weights), n, settle=20)
    single = _single(system)
    move = torch_steps(single, single.exact, published=False, seed=1)
    steps = _STEPS_A_TURN["networks"].get(n, 1)

    def step() -> float:
        for _ in range(steps):
            move()
        return float(steps)

    return step


def _single(system: System) -> System:
    """In single precision, as the published code runs."""
    state = system.state
    parts = (part.float() for part in (state.r, state.v, state.S))
    return System(system.exact.float(), system.tables, type(state)(*parts), system.side, system.dt)


def _published_step(folder: str, weights: str, n: int) -> Step:
    """A step of the published rollout: its search for pairs, its model and its integrator."""
    system = star_system(Path(weights), n, settle=20)
    model_class, solver_class = import_published(Path(folder))
    options = argparse.Namespace(
        h=system.exact.cutoff,
        n_hidden=len(HIDDEN),
        dim_hidden=HIDDEN[0],
        dt=STAR_STEP,
        boxsize=system.side,
        k_B=1.0,
        m=1.0,
    )
    model = model_class(options, 3).float()
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    solver = types.SimpleNamespace(
        dims=3, dt=STAR_STEP, boxsize=system.side, args=options, device=torch.device("cpu")
    )
    data = types.SimpleNamespace(name="stars")
    state = system.state
    x = torch.cat([state.r, state.v, state.S[:, None]], dim=1).float()

    def step() -> float:
        nonlocal x
        pairs = solver_class.get_edges(solver, x, "stars")
        rates, noise, _ = model(x, pairs, None, data)
        x = solver_class.integrate_step(solver, x, rates, noise, data).detach()
        return 1.0

    return step


def scaling_rows(
    largest: int, threads: Sequence[int], *, picture: Path | None = None, monitor: Monitor = SILENT
) -> Iterable[Row]:
    """Particles moved a second against their number, a gas in three dimensions in tables; each size in a process of its own.

    Searches for neighbours are in it, as often as the fastest particle asks for them.

    Parameters
    ----------
    largest : int
        Number of particles at the end; sizes go up to it by factors of ten from a thousand.
    threads : sequence of int
        All sizes are measured with each of these numbers of threads.
    picture : Path, optional
        Where the figure goes, a PNG.
    """
    sizes = [n for n in (10**k for k in range(3, 9)) if n < largest] + [largest]
    speeds: dict[int, list[float]] = {number: [] for number in threads}
    measured = [(number, n) for number in threads for n in sizes]
    for k, (number, n) in enumerate(measured):
        monitor.update("numbers of particles", k, len(measured))
        which = f"{n} particles, {_in_words(number)}"
        found = in_fresh_process(measure_speed, n, number)
        speeds[number].append(found.speed)
        yield Row(f"{which}: speed, searches included", found.speed, "particle-steps/s")
        yield Row(f"{which}: share of searches in the time", found.share_of_searches)
        yield Row(f"{which}: steps from a search to the next", float(found.between))
        yield Row(f"{which}: pairs within the cutoff, a particle", found.pairs)
        if n == sizes[-1]:
            yield at_most(f"{which}: memory of the process", found.memory_mb, _LARGE_MB, "MB")
    monitor.update("numbers of particles", len(measured), len(measured))
    if torch.cuda.is_available():
        yield from gpu_rows(sizes, torch.device("cuda"), monitor)
    if picture is not None:
        _draw(sizes, speeds, picture)


def gpu_rows(sizes: Sequence[int], device: torch.device, monitor: Monitor = SILENT) -> Iterable[Row]:
    """The same by the step in torch, with tables, on a device; the largest of the sizes has a bar."""
    whose = torch.cuda.get_device_name(device)
    for k, n in enumerate(sizes):
        monitor.update(f"steps on {whose}", k, len(sizes))
        found, which = measure_speed_in_torch(n, device), f"{n} particles, {whose}"
        name = f"{which}: speed, searches included"
        if n == sizes[-1]:
            yield at_least(name, found.speed, _GPU_SPEED, "particle-steps/s")
        else:
            yield Row(name, found.speed, "particle-steps/s")
        yield Row(f"{which}: share of searches in the time", found.share_of_searches)
        yield Row(f"{which}: steps from a search to the next", float(found.between))
    monitor.update(f"steps on {whose}", len(sizes), len(sizes))


def _in_words(threads: int) -> str:
    return f"{threads} thread{'' if threads == 1 else 's'}"


@dataclass(frozen=True)
class Speed:
    """What moving a gas costs.

    Attributes
    ----------
    plain, searching : float, seconds
        A step with the list of neighbours at hand, and one that searches first; mean wall times.
    between : int
        Steps from a search to the next, in which the fastest particle of the start uses up its half of the skin.
    speed : float
        Particle-steps per second of wall time, searches included.
    share_of_searches : float
        In that time.
    pairs : float
        Within the cutoff, a particle.
    memory_mb : float
        The largest of the process.
    """

    n: int
    plain: float
    searching: float
    between: int
    pairs: float
    memory_mb: float

    @property
    def speed(self) -> float:
        return self.n / self._step()

    @property
    def share_of_searches(self) -> float:
        return 1 - self.plain / self._step()

    def _step(self) -> float:
        """Seconds, on average from a search to the next."""
        return self.plain + (self.searching - self.plain) / self.between


def measure_speed(n: int, threads: int) -> Speed:
    """Time steps of a gas of n; in large ones, of few steps, none would ask for neighbours by itself."""
    torch.set_num_threads(threads)
    system = gas_system(n, settle=2)
    neighbours = system.neighbours()
    moving = CompiledStep(system.tables, system.state, neighbours, system.noise(1), threads=threads)
    moving.step(system.dt, 0)
    return _timed(system, neighbours, lambda k: moving.step(system.dt, k), lambda: moving.n_pairs)


def measure_speed_in_torch(n: int, device: torch.device) -> Speed:
    """Time fused steps of a gas of n in tables, in single precision, on a device."""
    system = gas_system(n, settle=2)
    moving = FusedMotion(_in_torch(system, device, torch.float32))

    state = _moved(system.state, device, torch.float32)

    def step(k: int) -> None:
        nonlocal state
        if moving.neighbours.last is None:
            moving.place(state)
        state = moving.step(system.dt, k).state
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    moving.place(state, 0.0)
    for k in range(STEPS_BEFORE + 1):
        step(k)
    return _timed(system, moving.neighbours, step, lambda: float("nan"), first=STEPS_BEFORE + 1)


def fused_rows(n: int = 10_000, steps: int = 20, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Steps in torch with tables whose operations are fused, and not, in turns; how far apart they get meanwhile."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    system = gas_system(n, settle=2)
    state = _moved(system.state, device, torch.float64)
    fused = FusedMotion(_in_torch(system, device, torch.float64))
    plain = _in_torch(system, device, torch.float64)
    times: dict[str, list[float]] = {"plain": [], "fused": []}
    places: dict[str, Tensor] = {}
    fused.place(state, 0.0)
    plain.place(state, 0.0)
    for k in monitor.track(range(STEPS_BEFORE + 1 + steps), "fused steps"):
        for name, motion in (("plain", plain), ("fused", fused)):
            started = time.perf_counter()
            places[name] = motion.step(system.dt, k).state.r.cpu()
            times[name].append(time.perf_counter() - started)
    apart = float((places["plain"] - places["fused"]).abs().max())
    whose = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    which = f"{n} particles in torch, {whose}"
    one, other = (np.array(times[name][STEPS_BEFORE + 1 :]) for name in ("plain", "fused"))
    yield Row(f"{which}: one operation after the other, a step", 1e3 * float(np.median(one)), "ms")
    yield Row(f"{which}: fused, a step", 1e3 * float(np.median(other)), "ms")
    yield Row(f"{which}: fused, times faster", float(np.median(one / other)))
    yield Row(f"{which}: compiling, until the first fused step", times["fused"][STEPS_BEFORE], "s")
    yield at_least(f"{which}: share of steps that were fused", fused.n_fused / (steps + 1), 0.9)
    yield at_most(f"{which}: positions apart after them, of the box", apart / system.side, 1e-10)


def _in_torch(system: System, device: torch.device, dtype: torch.dtype) -> FreeMotion:
    laws = copy.deepcopy(system.tables).to(device=device, dtype=dtype)
    one = torch.zeros(system.n, dtype=torch.int64, device=device)
    neighbours = Neighbours(laws.cutoff, torch.ones(system.n, dtype=dtype, device=device), box=system.box)
    noise = CounterNoise(torch.arange(system.n, device=device), one + 1)
    return FreeMotion(laws, neighbours, noise, "conserving", member=one, simulated=one == 0, ahead=True)


def _moved(state: State, device: torch.device, dtype: torch.dtype) -> State:
    return State(*(x.to(device=device, dtype=dtype) for x in (state.r, state.v, state.S)))


def _timed(
    system: System,
    neighbours: Neighbours,
    step: Callable[[int], object],
    pairs: Callable[[], float],
    *,
    first: int = 1,
) -> Speed:
    """Times of steps that search and of those that do not, of something that has taken `first` steps."""
    times: dict[bool, list[float]] = {True: [], False: []}
    neighbours.invalidate()
    for k in range(1 + max(3, min(50, 2 * 10**6 // system.n))):
        started, before = time.perf_counter(), neighbours.n_searches
        step(first + k)
        times[neighbours.n_searches > before].append(time.perf_counter() - started)
    fastest = float(system.state.v.square().sum(1).max().sqrt())
    reach = 0.5 * neighbours.skin * neighbours.cutoff
    return Speed(
        n=system.n,
        plain=float(np.mean(times[False])),
        searching=float(np.mean(times[True])),
        between=1 + int(reach / (fastest * system.dt)),
        pairs=pairs() / system.n,
        memory_mb=peak_mb(),
    )


def _draw(sizes: list[int], speeds: dict[int, list[float]], path: Path) -> None:
    figure = new_figure(3.4, 5.0)
    axes = figure.add_subplot()
    for (threads, values), colour in zip(speeds.items(), _COLOURS, strict=False):
        axes.loglog(sizes, values, "o-", color=colour, label=_in_words(threads))
    axes.set(xlabel="particles", ylabel="particle-steps per second", title="Gas in three dimensions, tables")
    every = [value for values in speeds.values() for value in values]
    axes.set_ylim(10 ** np.floor(np.log10(min(every))), 10 ** np.ceil(np.log10(max(every))))
    axes.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI, facecolor="white")

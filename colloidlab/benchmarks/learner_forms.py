"""The forms of entropy inference side by side, on gases whose temperature varies in space.

An encoder has one frame, the filter all that came before. What one frame tells depends on the gas and on its past: hot
regions expand until the pressure is even, so that after some forty frames there is room around hot particles, which a
frame shows, and more so where the pressure itself grows with temperature. Before that, a frame has nothing but the
relative velocities of a few neighbours. The best linear function of density and kinetic energy of the neighbourhood,
fitted to the true ln T itself, correlates with it by 0.46 in the first forty frames of both gases, and by 0.77 (the first
gas) and 0.57 (the second) after a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable

from colloidlab.benchmarks.learner_gas import BURN_IN, FULL, Learned, Size, learn, temperature_error
from colloidlab.benchmarks.learner_temperature import GASES, REPORTED, SIGMA
from colloidlab.benchmarks.rows import Row, at_least
from colloidlab.model.entropy import EntropyEncoder, ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.held_out import follow
from colloidlab.model.sequence import WindowSource
from colloidlab.progress import SILENT, Monitor
from colloidlab.synthetic.gas import Gas

_COLD = "2D, only the noise depends on T"
_GASES = {"2D": GASES["2D"], _COLD: REPORTED[_COLD]}


def form_rows(size: Size = FULL, *, seed: int = 1, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Gain over the isothermal law, rms error and correlation of ln T of both forms, relative to the oracle."""
    for k, (name, gas) in enumerate(_GASES.items()):
        yield from gas_rows(name, gas, size, seed=seed + k, monitor=monitor)


def gas_rows(name: str, gas: Gas, size: Size, *, seed: int, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Both forms on one gas."""
    encoder = learn(gas, SIGMA, size, seed=seed, monitor=monitor, entropy="encoder")
    filter_ = learn(gas, SIGMA, size, seed=seed, monitor=monitor)
    for form, learned in (("encoder", encoder), ("filter", filter_)):
        found, best = learned.gain.gain, float(learned.oracle_gain.gain["gain"])
        rms, correlation = temperature_error(learned, learned.thermal)
        least, most = temperature_error(learned, learned.oracle)
        head = f"{name}, {form}"
        yield Row(f"{head}: gain over isothermal, of the oracle {best:.4f}", float(found["gain"]), "nats")
        yield Row(f"{head}: lower end of the gain's interval", float(found["gain_low"]), "nats")
        yield Row(f"{head}: gain / oracle's", float(found["gain"]) / best)
        yield Row(f"{head}: rms error of ln T / oracle's ({least:.3f})", rms / least)
        yield Row(f"{head}: correlation with true ln T (oracle's {most:.3f})", correlation)
    ahead = float(filter_.gain.gain["gain"] - encoder.gain.gain["gain"])
    yield at_least(f"{name}: gain of the filter over the encoder", ahead, 0.0, "nats")
    yield Row(
        f"{name}: gain of starting the filter with the encoder, first {BURN_IN} frames",
        _start(encoder, filter_),
        "nats",
    )


def _start(encoder: Learned, filter_: Learned) -> float:
    """Held-out gain per particle and frame, before the filter has settled."""
    encoded, found = encoder.fit.thermal, filter_.fit.thermal
    own, start = found.inference, encoded.inference
    assert isinstance(own, ScoreFilter) and isinstance(start, EntropyEncoder)
    started = ScoreFilter(initial=own.initial, start=start.translated(encoded.laws, found.laws))
    # The numbers of its own; those of the encoder are there.
    started.load_state_dict(own.state_dict(), strict=False)
    other = follow(
        Filter(found.laws, started, found.velocity_variance, found.error),
        WindowSource(filter_.recording, filter_.gas.cutoff),
    )
    early = slice(0, BURN_IN)
    gained = (other.loglik - filter_.thermal.loglik)[early].sum()
    return float(gained / other.count[early].sum())

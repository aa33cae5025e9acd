"""What the page says in tables and sentences rather than in figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tomli_w

from colloidlab.errors import InputError
from colloidlab.report.results import Results
from colloidlab.report.words import (
    MODELS,
    diffusion,
    entropy_gain,
    interval,
    nats,
    number,
    rearrangement_verdict,
    sentence,
    unjudged,
)


@dataclass(frozen=True)
class Sheet:
    """A small table, with sentences below it.

    Parameters
    ----------
    header : tuple of str
    rows : tuple of tuple of str
    sentences : tuple of str
    """

    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    sentences: tuple[str, ...] = ()


_PARAMETERS = {
    "polarity": ("Polarity", "", ("polarity", "invert")),
    "diameter_px": ("Diameter of a particle's image", "px", ("diameter_px",)),
    "minmass": ("Least mass", "grey levels", ("minmass",)),
    "separation_px": ("Least separation", "px", ("separation_px",)),
    "search_range_px": ("Search range between frames", "px", ("search_range_px",)),
}
"""Headline key: name, unit, and the names under which the reason may be filed."""


def parameters(results: Results) -> Sheet:
    """The tracking parameters used, and how each was found."""
    facts = results.run.facts("track")
    reasons = dict(facts.get("reasons", {}))
    if facts.get("search_range_reason"):
        reasons["search_range_px"] = facts["search_range_reason"]
    rows = []
    for key, (name, unit, filed) in _PARAMETERS.items():
        why = next((str(reasons.pop(f)) for f in filed if f in reasons), "")
        if key in results.summary or why:
            rows.append((name, _quantity(results.summary.get(key, ""), unit), why))
    rows.extend((key.replace("_", " "), "", str(why)) for key, why in reasons.items())
    if not rows:
        raise InputError(results.why_absent("features"))
    return Sheet(("Parameter", "Value", "How it was found"), tuple(rows))


def _quantity(value: Any, unit: str) -> str:
    if value == "":
        return ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{number(float(value)) if is_number else value} {unit}".strip()


def motion(results: Results) -> Sheet:
    """Diffusion coefficient, regime and the notes of the indicators, as sentences."""
    found = [diffusion(results)]
    reason = str(results.summary.get("regime_reason", ""))
    if reason:
        found.append(f"Regime: {results.summary.get('regime', 'unknown')}. {sentence(reason)}")
    notes = results.summary.get("notes", [])
    found.extend([notes] if isinstance(notes, str) else [str(note) for note in notes])
    sentences = tuple(sentence(s) for s in found if s)
    if not sentences:
        raise InputError(
            f"No diffusion coefficient was estimated; run 'colloidlab track {results.run.path}' to have one."
        )
    return Sheet(sentences=sentences)


def likelihood(results: Results) -> Sheet:
    """Every model's log-likelihood on the test block, with intervals."""
    table = results.table("likelihood", ["model", "loglik", "low", "high", "gain", "gain_low", "gain_high"])
    records: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    rows = []
    for row in records:
        own = row["model"] == "isothermal"
        gain = "reference" if own else nats(row["gain"])
        between = "" if own else interval(row["gain_low"], row["gain_high"])
        name = MODELS.get(row["model"], str(row["model"]))
        rows.append((name, nats(row["loglik"]), interval(row["low"], row["high"]), gain, between))
    header = ("Model", "Log-likelihood", "95 % interval", "Gain over isothermal", "95 % interval")
    note = (
        "Nats per particle and frame on the test block; intervals from a block bootstrap, gains from the "
        "same particles and frames."
    )
    return Sheet(header, tuple(rows), tuple(s for s in (note, entropy_gain(results)) if s))


_ERRORS = {
    "rollout_g_r": "g(r), relative root mean square error",
    "rollout_msd": "Mean squared displacement, relative root mean square error",
    "rollout_vacf": "Velocity autocorrelation, relative root mean square error",
    "rollout_van_hove": "Van Hove function at the longest lag, relative root mean square error",
    "rollout_f_s": "Self-scattering function, relative root mean square error",
    "rollout_alpha2": "Non-Gaussian parameter, relative root mean square error",
}
_KS = "D²min distribution, Kolmogorov-Smirnov distance (0 same, 1 disjoint)"


def rollout_errors(results: Results) -> Sheet:
    """How far the rollouts' statistics are from the experiment's, and what halves of the experiment give."""
    keys = {f"{key}_error": (name, f"{key}_floor") for key, name in _ERRORS.items()}
    keys["d2min_ks_distance"] = _KS, "d2min_ks_floor_halves"
    rows = tuple(
        (name, _value(results, key), _scatter(results, key), _value(results, floor))
        for key, (name, floor) in keys.items()
        if key in results.summary
    )
    if not rows or results.refused:
        raise InputError(unjudged(results) or results.why_absent("comparison"))
    note = (
        "The interval is the scatter over blocks of time and rollouts. The last column is the 95 % quantile of the same "
        "number between two halves of the experiment's held-out frames: what is below it cannot be told from the "
        "experiment's own scatter, and what is well above it is an error of the law, or of the "
        "boundary, whose particles follow the recording and do not give way to simulated ones. A curve that is small "
        "everywhere, as the non-Gaussian parameter often is, has large relative errors and a large value in that column."
    )
    header = ("Statistic", "Error", "95 % interval", "Experiment against itself")
    return Sheet(header, rows, tuple(s for s in (note, rearrangement_verdict(results)) if s))


def _value(results: Results, key: str) -> str:
    return number(float(results.summary[key])) if key in results.summary else "–"


def _scatter(results: Results, key: str) -> str:
    ends = [results.summary.get(f"{key}_{end}") for end in ("low", "high")]
    return "–" if None in ends else " to ".join(number(float(end), 2) for end in ends if end is not None)


def headline_numbers(results: Results) -> Sheet:
    """Everything in `summary.json`, for looking up."""
    return Sheet(("Key", "Value"), tuple(_flatten(results.summary)))


def configuration(results: Results) -> str:
    """The resolved options, as a TOML file that `--config` accepts."""
    return tomli_w.dumps(results.run.record.get("config", {}))


def provenance(results: Results) -> Sheet:
    """Source, versions, machine, commands, seeds and hashes, flattened to one table."""
    record = results.run.record
    parts = {key: record[key] for key in ("contract", "source", "environment", "stages") if key in record}
    seeds = {
        f"config.{section}.{option}": value
        for section, options in record.get("config", {}).items()
        for option, value in options.items()
        if option.endswith("seed")
    }
    rows = [*_flatten(parts), *((key, str(value)) for key, value in seeds.items())]
    return Sheet(("Entry", "Value"), tuple(rows))


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [
            row
            for key, item in value.items()
            for row in _flatten(item, f"{prefix}.{key}" if prefix else str(key))
        ]
    return [(prefix, " ".join(map(str, value)) if isinstance(value, list) else str(value))]

"""Numbers, units and sentences as the page prints them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from colloidlab.errors import InputError
from colloidlab.indicators.association import rank_correlation
from colloidlab.indicators.lindemann import CRITICAL_LINDEMANN
from colloidlab.report.results import Results
from colloidlab.units import Calibration

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

MODELS = {
    "constant_velocity": "constant velocity",
    "diffusion": "diffusion",
    "isothermal": "isothermal model",
    "filter": "model with hidden temperature",
    "encoder": "model with temperature read off each frame",
}


_BASELINES = ("constant_velocity", "diffusion")
"""What a law must beat before its temperature counts; see `held_out.compare`."""


@dataclass(frozen=True)
class Gain:
    """A difference of log-likelihoods with half of its 95 % interval, nats per particle and frame."""

    value: float
    half_width: float

    @property
    def is_significant(self) -> bool:
        return self.value > self.half_width


def pretty_unit(unit: str) -> str:
    """Unit for print.

    >>> pretty_unit("um^2/s")
    'µm²/s'
    """
    text = re.sub(r"\^(-?\d+)", lambda m: m[1].translate(_SUPERSCRIPT), unit)
    return re.sub(r"\bum(?![a-z])", "µm", text).replace("$", "")


def label(name: str, unit: str) -> str:
    """Axis label: name and unit, the unit left out when there is none.

    >>> label("time", "s"), label("g(r)", "1")
    ('time (s)', 'g(r)')
    """
    return name if unit in {"", "1"} else f"{name} ({pretty_unit(unit)})"


def capital(text: str) -> str:
    """Text with a capital at its beginning, unless it begins with the name of a file or an option.

    >>> capital("too few frames"), capital("film_2.tif is empty")
    ('Too few frames', 'film_2.tif is empty')
    """
    first = text.partition(" ")[0].rstrip(".,:;")
    return text if set(first) & set("./\\_") else text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Text with a capital at its beginning and a full stop at its end.

    >>> sentence("too few frames")
    'Too few frames.'
    """
    text = text.strip()
    return capital(text) + ("" if text.endswith((".", "!", "?")) else ".")


def number(value: float, digits: int = 3) -> str:
    """Number with `digits` significant digits, without computer notation.

    >>> number(1012), number(0.41234), number(2.5e-7), number(float("nan"))
    ('1012', '0.412', '2.5×10⁻⁷', 'unknown')
    """
    if not math.isfinite(value):
        return "unknown"
    if value < 0:
        return f"−{number(-value, digits)}"
    if value == 0 or (float(value).is_integer() and abs(value) < 1e6) or 1000 <= abs(value) < 1e6:
        return f"{value:.0f}"
    if 1e-3 <= abs(value) < 1000:
        return f"{value:.{digits}g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def with_error(value: float, error: float) -> str:
    """Value and error, rounded together to the error's leading digits.

    >>> with_error(0.4123, 0.034), with_error(0.4123, 0.0142), with_error(2.51e-7, 3e-9)
    ('0.41 ± 0.03', '0.412 ± 0.014', '(2.51 ± 0.03)×10⁻⁷')
    """
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return number(value)
    size = max(abs(value), error)
    if size < 1e-3 or size >= 1e6:
        power = math.floor(math.log10(size))
        return f"({with_error(value / 10**power, error / 10**power)})×10{str(power).translate(_SUPERSCRIPT)}"
    place = math.floor(math.log10(error))
    # An error that begins with 1 or 2 keeps two digits: rounding 0.014 to 0.01 would misstate it by a third.
    decimals = max(0, -place + (1 if error / 10**place < 2.95 else 0))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}".replace("-", "−")


def nats(value: float) -> str:
    """Log-likelihood for print, with as many decimals as any interval deserves."""
    return f"{value:.3f}".replace("-", "−") if math.isfinite(value) else "unknown"


def interval(low: float, high: float) -> str:
    """Interval of log-likelihoods for print; a dash when it is not known."""
    return f"{nats(low)} to {nats(high)}" if math.isfinite(low) and math.isfinite(high) else "–"


def correlation(x: np.ndarray, y: np.ndarray, frame: np.ndarray) -> str:
    """Rank correlation with its interval, as the title of a panel."""
    try:
        found = rank_correlation(x, y, frame)
    except InputError:
        return "rank correlation unknown"
    value, low, high = (f"{v:+.2f}".replace("-", "−") for v in (found.value, found.low, found.high))
    return f"rank correlation {value} ({low} to {high})"


def diffusion(results: Results) -> str:
    """The diffusion coefficient as a sentence; empty when it was not estimated."""
    for key, value in results.summary.items():
        found = re.fullmatch(r"diffusion_(um|px)2_per_(s|frame)", key)
        if found:
            error = float(results.summary.get(f"{key}_error", float("nan")))
            unit = pretty_unit(f"{found[1]}^2/{found[2]}")
            sigma = results.summary.get("localisation_error_px")
            noise = ""
            if sigma is not None and sigma > 0:
                noise = f", with a localisation error of {number(sigma)} px found along with it"
            elif sigma is not None:
                noise = "; a localisation error could not be told from the motion"
            # Where the motion is no free diffusion, a note says why.
            name = (
                "Diffusion coefficient"
                if results.summary.get("diffusion_free", True)
                else "Nominal diffusion coefficient"
            )
            return (
                f"{name} {with_error(float(value), error)} {unit} (covariance estimator, one "
                f"standard error){noise}."
            )
    return ""


def gain_over_constant_velocity(results: Results) -> Gain | None:
    """By how much the model that the data support beats constant velocity on the test block.

    The isothermal model is compared in pairs; with a temperature the margin is the sum of two paired
    differences, whose half-widths are added in quadrature.
    """
    if results.refused or not results.run.has("likelihood.parquet"):
        return None
    table = results.table("likelihood", ["model", "gain", "gain_low", "gain_high"])
    rows: dict[str, dict[Any, Any]] = {row["model"]: row for row in table.to_dict("records")}
    if not {"constant_velocity", "isothermal"} <= set(rows):
        return None
    value = -float(rows["constant_velocity"]["gain"])
    used = [rows["constant_velocity"]]
    if results.temperature_identified and results.entropy in rows:
        value += float(rows[results.entropy]["gain"])
        used.append(rows[results.entropy])
    half = math.hypot(*(0.5 * float(row["gain_high"] - row["gain_low"]) for row in used))
    return Gain(value, half) if math.isfinite(value) and math.isfinite(half) else None


def verdict(results: Results) -> str:
    """The run in one line: what was found, what moves it, and what the model is worth."""
    summary = results.summary
    parts = []
    if "n_features_per_frame" in summary and "n_frames" in summary:
        tracks = f" ({number(summary['n_tracks'])} tracks)" if "n_tracks" in summary else ""
        parts.append(
            f"{summary['n_features_per_frame']:.0f} particles per frame{tracks} in "
            f"{summary['n_frames']:.0f} frames"
        )
    if summary.get("n_frames_damaged"):
        parts.append(f"{summary['n_frames_damaged']:.0f} frames damaged or missing")
    if "regime" in summary:
        parts.append({"undecidable": "dynamics undecidable"}.get(summary["regime"], str(summary["regime"])))
    if results.refused:
        parts.append("no inertial model was fitted")
    elif (gain := gain_over_constant_velocity(results)) is not None:
        size = f"{with_error(gain.value, gain.half_width)} nats per particle and frame"
        verb = "beats constant velocity by" if gain.is_significant else "does not beat constant velocity:"
        parts.append(f"the model {verb} {size}")
    if results.entropy == "isothermal" and not results.refused and "temperature_identified" in summary:
        parts.append("one temperature was fitted for all particles")
    elif "temperature_identified" in summary and not results.refused:
        parts.append(f"temperature {'identified' if results.temperature_identified else 'not identified'}")
    return sentence("; ".join(parts) or "nothing has been computed yet")


def calibration_sentence(calibration: Calibration) -> str:
    """What is known about length and time, how to give what is not, and what no video shows."""
    known = []
    missing = []
    if calibration.um_per_px is None:
        missing.append("--um-per-px")
    else:
        known.append(f"{number(calibration.um_per_px, 5)} µm/px ({_origin(calibration.um_per_px_source)})")
    if calibration.fps is None:
        missing.append("--fps")
    else:
        known.append(f"{number(calibration.fps, 6)} frames/s ({_origin(calibration.fps_source)})")
    text = f"Calibration: {' and '.join(known)}. " if known else ""
    if missing:
        what = {2: "Lengths are in px and times in frames", 1: "Lengths are in px"}[len(missing)]
        if missing == ["--fps"]:
            what = "Times are in frames"
        text += f"{what}: give {' and '.join(missing)}. "
    return text + "Mass is never known from a video: temperature, pressure and friction are per unit mass."


def _origin(source: str) -> str:
    return {"option": "given as an option", "file": "from the file's metadata"}.get(source, f"from {source}")


def bath(results: Results) -> str:
    """Drag and temperature of a bath that was fitted, as a sentence with a space after it; empty without one."""
    if "bath_friction_per_frame" not in results.summary:
        return ""
    calibration, parts = results.calibration, []
    for name, key, power in (
        ("drag", "bath_friction_per_frame", (0, -1)),
        ("k_B T/m", "bath_temperature_px2", (2, -2)),
    ):
        factor, unit = calibration.factor(*power), pretty_unit(calibration.unit(*power))
        ends = [results.summary.get(f"{key}_{end}") for end in ("low", "high")]
        low, high = (math.nan if end is None else factor * float(end) for end in ends)
        known = _interval_if_known(low, high)
        value = number(factor * float(results.summary[key]))
        parts.append(f"{name} {value} {unit} ({'given' if low == high else known})")
    return f"Bath: {', '.join(parts)}. "


def _interval_if_known(low: float, high: float) -> str:
    if not math.isfinite(high - low):
        return "interval not known"
    return f"95 % interval {number(low)} to {number(high)}"


def solid(results: Results) -> str:
    """Shear energy of a solid and how firmly neighbours are kept, as a sentence with a space after it; empty for a fluid."""
    if "shear_modulus_px2" not in results.summary:
        return ""
    factor, unit = (
        results.calibration.factor(2, -2),
        pretty_unit(results.calibration.unit(2, -2)),
    )
    value, low, high = (
        factor * float(results.summary.get(f"shear_modulus_px2{end}", math.nan))
        for end in ("", "_low", "_high")
    )
    known = _interval_if_known(low, high)
    if math.isfinite(high - low):
        known += (
            ", which cannot hold zero: whether there is such an energy, the gain over a fit without it says"
        )
    lindemann = float(results.summary.get("lindemann_parameter", math.nan))
    firm = lindemann < CRITICAL_LINDEMANN
    return (
        f"Shear γ of a neighbourhood costs g γ²/2 with g = {number(value)} {unit} ({known}). Neighbours "
        f"{'keep their places' if firm else 'move past each other, so that it means little'}: their Lindemann parameter is "
        f"{number(lindemann)}, where crystals in the plane melt at {number(CRITICAL_LINDEMANN)}. "
    )


def species(results: Results) -> str:
    """Masses that are not all alike, as a sentence with a space after it; empty where they are."""
    if (power := results.summary.get("mass_exponent")) is not None:
        return f"Masses go with the power {number(power)} of the radius; the unit is that of a particle of mean radius. "
    masses, low, high = (results.summary.get(f"species_masses{end}", {}) for end in ("", "_low", "_high"))
    if not masses:
        return ""
    first, *others = masses
    parts = [
        f"{name} {number(masses[name])}"
        + (f" (95 % interval {number(low[name])} to {number(high[name])})" if name in low else "")
        for name in others
    ]
    return f"Masses in units of that of {first}: {', '.join(parts)}. "


def entropy_gain(results: Results) -> str:
    """What the hidden temperature adds to the isothermal model, as a sentence."""
    summary = results.summary
    if results.entropy == "isothermal" and not results.refused:
        return "No temperature of single particles was fitted: the isothermal model is what was asked for."
    if "entropy_gain" not in summary:
        return ""
    how = "Reading" if results.entropy == "encoder" else "Following"
    whence = " off each frame" if results.entropy == "encoder" else ""
    low, high = (float(summary.get(f"entropy_gain_{end}", float("nan"))) for end in ("low", "high"))
    gain = nats(float(summary["entropy_gain"]))
    size = f"{gain} nats per particle and frame (95 % interval {interval(low, high)})"
    if results.temperature_identified:
        return f"{how} a hidden temperature per particle{whence} gains {size}: the temperature is identified."
    if summary.get("one_temperature_preferred"):
        return (
            "The frames that choose between the fits preferred one temperature for all particles: the temperature of single "
            "particles is not identified, and its maps show next to nothing."
        )
    why = ", which is not above zero"
    if low > 0:
        simple = max(_BASELINES, key=lambda name: float(summary.get(f"loglik_{name}", -math.inf)))
        why = f", but {MODELS[simple]} predicts held-out frames no worse, so that neither law describes them"
    return (
        f"{how} a hidden temperature per particle{whence} gains {size}{why}: the "
        "temperature is not identified, and its maps show no more than the fit's own noise."
    )


def unjudged(results: Results) -> str:
    """Why the experiment does not judge the rollouts, as a sentence; empty where it does."""
    return sentence(str(why)) if (why := results.summary.get("rollout_unjudged")) else ""


def notes_on_rollouts(results: Results) -> str:
    """What the simulation says of its own choices, as sentences; empty where there is nothing to say."""
    return " ".join(sentence(str(note)) for note in results.summary.get("rollout_notes", []))


def rearrangement_verdict(results: Results) -> str:
    """Whether the rollouts rearrange as the experiment does, within its own scatter, as a sentence."""
    summary = results.summary
    if "d2min_ks_holds" not in summary:
        return unjudged(results)
    distance, floor = number(float(summary["d2min_ks_distance"])), number(float(summary["d2min_ks_floor"]))
    text = (
        "The distributions of D²min are "
        f"{'no farther' if summary['d2min_ks_holds'] else 'farther'} apart ({distance}) than single blocks of the "
        f"experiment's own held-out frames are from each other (95 % quantile {floor})"
    )
    halves = summary.get("d2min_ks_floor_halves")
    if halves is None or not summary["d2min_ks_holds"]:
        return f"{text}."
    inside = float(summary["d2min_ks_distance"]) <= float(halves)
    return f"{text}; {'nor than' if inside else 'they are farther apart than'} two halves of them ({number(float(halves))})."


def calibration_of_predictions(results: Results) -> str:
    """What the coverage of the predictions says, as sentences; empty where there is none."""
    summary = results.summary
    found = []
    for when in ("first", "last"):
        value, low, high = (summary.get(f"coverage_80_{when}{end}") for end in ("", "_low", "_high"))
        if value is None or low is None or high is None:
            continue
        frames = 1 if when == "first" else int(summary.get("forecast_frames", 1))
        verdict = (
            "too sure" if high < 0.8 else "not sure enough" if low > 0.8 else "as sure as they should be"
        )
        found.append(
            f"After {frames} frame{'' if frames == 1 else 's'} 80 % intervals hold {100 * value:.1f} % "
            f"({100 * low:.1f} to {100 * high:.1f} %): predictions are {verdict}."
        )
    return " ".join(dict.fromkeys(found))

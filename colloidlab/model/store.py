"""Saving and loading a fit: numbers in safetensors, everything else in JSON. Nothing is ever unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from colloidlab.dataset.reference_state import ReferenceState
from colloidlab.errors import InputError
from colloidlab.model.entropy import ConstantEntropy, EntropyEncoder, EntropyInference, ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.forms import Guess, isothermal_laws, thermal_laws
from colloidlab.model.localisation import ErrorScale, FittedError, LocalisationError

_REFERENCE = "reference"
_FORMAT, _OLDEST = 7, 4
"""What is written, and the oldest that can be read: it knew no parts. 5 knew no species, and heat capacities of any size; 6
knew no solids."""


def save_fit(
    folder: Path,
    isothermal: Filter,
    thermal: Filter,
    guess: Guess,
    facts: dict[str, Any],
    reference: ReferenceState | None = None,
) -> None:
    """Write model.safetensors and model.json into a new folder.

    Parameters
    ----------
    isothermal, thermal : Filter
        The same one twice where no entropy was fitted.
    guess : Guess
        From which the laws were made.
    facts : dict
        What a later user must know: frame interval, localisation error, splits, mean radius.
    reference : ReferenceState, optional
        Of a solid, its pairs numbered by the identities of the tracks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inference = thermal.inference
    parts: dict[str, nn.Module] = {"isothermal": isothermal.laws, "entropy": inference}
    if thermal is not isothermal:
        parts["thermal"] = thermal.laws
    start = inference.start if isinstance(inference, ScoreFilter) else None
    tensors = {
        f"{p}.{k}": t.detach().contiguous().clone()
        for p, m in parts.items()
        for k, t in m.state_dict().items()
    }
    if reference is not None:
        tensors |= {f"{_REFERENCE}.{name}": value.contiguous() for name, value in vars(reference).items()}
    save_file(tensors, folder / "model.safetensors")
    description = {
        "format": _FORMAT,
        "form": "sum-of-exponentials energy, radial kernel, power-law amplitudes",
        "units": "px, frame; mass = k_B = 1",
        "guess": asdict(guess),
        "velocity_variance": thermal.velocity_variance,
        "entropy": inference.form,
        "initial_entropy": inference.initial,
        "encoder_initial_entropy": None if start is None else start.initial,
        "fitted_error": _describe_error(thermal.error),
        **facts,
    }
    (folder / "model.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_fit(folder: Path) -> tuple[Filter, Filter, dict[str, Any]]:
    """Read what `save_fit` wrote: the isothermal filter, the one with entropy (or the first again), and the facts.

    Raises
    ------
    InputError
        When the folder is absent, damaged or of a newer format.
    """
    try:
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "model.safetensors")
        if description["format"] > _FORMAT:
            raise InputError(f"{folder} was written by a newer colloidlab; upgrade the program to read it")
        if description["format"] < _OLDEST:
            raise InputError(f"{folder} was written by an older colloidlab; run 'colloidlab fit' again")
        guess = Guess.from_description(description["guess"])
        isothermal, inference = isothermal_laws(guess), _inference(description)
        _load(isothermal, "isothermal", tensors)
        _load(inference, "entropy", tensors)
        thermal = isothermal
        if inference.form != "isothermal":
            bounded = {} if description["format"] > 5 else {"least_heat_capacity": 0.0}
            thermal = thermal_laws(isothermal, **bounded)
            _load(thermal, "thermal", tensors)
        velocity = float(description["velocity_variance"])
        fitted = _error(description["fitted_error"])
    except FileNotFoundError:
        raise InputError(f"{folder} holds no model; run 'colloidlab fit' first") from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder} is damaged ({error}); run 'colloidlab fit' again") from error
    for module in (isothermal, thermal, inference):
        module.requires_grad_(False)
    if thermal is isothermal:
        alone = Filter(isothermal, inference, velocity, fitted)
        return alone, alone, description
    plain = Filter(isothermal, ConstantEntropy(), velocity, fitted)
    return plain, Filter(thermal, inference, velocity, fitted), description


def load_reference(folder: Path) -> ReferenceState | None:
    """The reference state that a fit was saved with, its pairs numbered by the identities of the tracks; None of a fluid.

    Raises
    ------
    InputError
        When the file is absent or damaged.
    """
    try:
        tensors = load_file(folder / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder} is damaged ({error}); run 'colloidlab fit' again") from error
    names = [field.name for field in fields(ReferenceState)]
    if any(f"{_REFERENCE}.{name}" not in tensors for name in names):
        return None
    return ReferenceState(**{name: tensors[f"{_REFERENCE}.{name}"] for name in names})


def _describe_error(error: FittedError | None) -> dict[str, float] | None:
    if error is None:
        return None
    if isinstance(error, ErrorScale):
        return {"scale": float(error.scale)}
    return {"sigma_px": float(error.variance.sqrt())}


def _error(description: dict[str, float] | None) -> FittedError | None:
    """What `_describe_error` described."""
    if description is None:
        return None
    if "scale" in description:
        return ErrorScale(float(description["scale"])).requires_grad_(False)
    return LocalisationError(float(description["sigma_px"])).requires_grad_(False)


def _inference(description: dict[str, Any]) -> EntropyInference:
    """The form that was saved, its numbers still to be read."""
    form, initial = description["entropy"], float(description["initial_entropy"])
    if form == "isothermal":
        return ConstantEntropy(initial)
    if form == "encoder":
        return EntropyEncoder(initial=initial)
    if form != "filter":
        raise ValueError(f"it has no entropy inference {form!r}")
    start = description["encoder_initial_entropy"]
    encoder = None if start is None else EntropyEncoder(initial=float(start))
    return ScoreFilter(initial=initial, start=encoder)


def _load(module: nn.Module, prefix: str, tensors: dict[str, Tensor]) -> None:
    own = {k.removeprefix(f"{prefix}."): t for k, t in tensors.items() if k.startswith(f"{prefix}.")}
    module.load_state_dict(own)

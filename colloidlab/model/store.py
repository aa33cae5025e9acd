"""Saving and loading a fit: numbers in safetensors, everything else in JSON. Nothing is ever unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from colloidlab.errors import InputError
from colloidlab.model.entropy import ConstantEntropy, ScoreFilter
from colloidlab.model.filter import Filter, LocalisationError
from colloidlab.model.forms import Guess, isothermal_laws, thermal_laws

_FORMAT = 2


def save_fit(folder: Path, isothermal: Filter, thermal: Filter, guess: Guess, facts: dict[str, Any]) -> None:
    """Write model.safetensors and model.json into a new folder.

    Parameters
    ----------
    facts : dict
        What a later user must know: frame interval, localisation error, splits, mean radius.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"isothermal": isothermal.laws, "thermal": thermal.laws, "gain": thermal.inference}
    tensors = {
        f"{p}.{k}": t.detach().contiguous().clone()
        for p, m in parts.items()
        for k, t in m.state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors")
    description = {
        "format": _FORMAT,
        "form": "sum-of-exponentials energy, radial kernel, power-law amplitudes",
        "units": "px, frame; mass = k_B = 1",
        "guess": asdict(guess),
        "velocity_variance": thermal.velocity_variance,
        "initial_entropy": thermal.inference.initial,
        "fitted_sigma_px": None if thermal.error is None else float(thermal.error.variance.sqrt()),
        **facts,
    }
    (folder / "model.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_fit(folder: Path) -> tuple[Filter, Filter, dict[str, Any]]:
    """Read what `save_fit` wrote: the isothermal filter, the one with entropy, and the facts.

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
        if description["format"] < _FORMAT:
            raise InputError(f"{folder} was written by an older colloidlab; run 'colloidlab fit' again")
        guess = Guess(**description["guess"])
        isothermal, gain = isothermal_laws(guess), ScoreFilter()
        thermal = thermal_laws(isothermal)
        for prefix, module in (("isothermal", isothermal), ("thermal", thermal), ("gain", gain)):
            module.load_state_dict(
                {k.removeprefix(f"{prefix}."): t for k, t in tensors.items() if k.startswith(f"{prefix}.")}
            )
        velocity, entropy = float(description["velocity_variance"]), float(description["initial_entropy"])
        sigma = description.get("fitted_sigma_px")
        unknown = None if sigma is None else LocalisationError(float(sigma)).requires_grad_(False)
    except FileNotFoundError:
        raise InputError(f"{folder} holds no model; run 'colloidlab fit' first") from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder} is damaged ({error}); run 'colloidlab fit' again") from error
    for module in (isothermal, thermal, gain):
        module.requires_grad_(False)
    gain.initial = entropy
    isothermal_filter = Filter(isothermal, ConstantEntropy(), velocity, unknown)
    return isothermal_filter, Filter(thermal, gain, velocity, unknown), description

"""A fit on disk: the same bits back, and a sentence where they cannot be had."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from colloidlab.dataset.reference_state import ReferenceState
from colloidlab.errors import InputError
from colloidlab.model.entropy import ConstantEntropy, EntropyEncoder, ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.forms import Guess, Parts, isothermal_laws, thermal_laws
from colloidlab.model.species import count_species
from colloidlab.model.store import load_fit, load_reference, save_fit

GUESS = Guess(24.0, 0.16, 0.2, 0.3, 0.5, 1.2, 0.7)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Filter, Filter]:
    isothermal = Filter(isothermal_laws(GUESS), ConstantEntropy(), 0.17)
    thermal = Filter(thermal_laws(isothermal.laws), ScoreFilter(initial=1 / 3), 0.17)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for module in (isothermal.laws, thermal.laws, thermal.inference):
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    save_fit(tmp_path / "model", isothermal, thermal, GUESS, {"cutoff_px": 24.0, "note": "a fact"})
    return tmp_path / "model", isothermal, thermal


def test_the_reference_state_comes_with_the_laws_of_a_solid(
    saved: tuple[Path, Filter, Filter], tmp_path: Path
) -> None:
    assert load_reference(saved[0]) is None
    guess = replace(GUESS, parts=Parts(solid=True))
    laws = Filter(isothermal_laws(guess), ConstantEntropy(), 0.17)
    state = ReferenceState(
        torch.tensor([[0, 0, 1], [1, 2, 2]]), torch.randn(3, 2).double(), torch.rand(3).double()
    )
    identity = np.array([4, 17, 90])
    save_fit(tmp_path / "solid", laws, laws, guess, {}, state.renumbered(identity))
    found = load_reference(tmp_path / "solid")
    assert found is not None and found.index.tolist() == [[4, 4, 17], [17, 90, 90]]
    # Whose track is gone takes its pairs along.
    here = found.among(np.array([1, 4, 90]))
    assert here.index.tolist() == [[1], [2]] and torch.equal(here.offset, state.offset[1:2])
    (tmp_path / "solid" / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="run 'colloidlab fit' again"):
        load_reference(tmp_path / "solid")


def test_round_trip_is_bitwise(saved: tuple[Path, Filter, Filter]) -> None:
    folder, isothermal, thermal = saved
    again, again_thermal, facts = load_fit(folder)
    pairs = (
        (isothermal.laws, again.laws),
        (thermal.laws, again_thermal.laws),
        (thermal.inference, again_thermal.inference),
    )
    for before, after in pairs:
        state = after.state_dict()
        assert list(before.state_dict()) == list(state)
        for name, tensor in before.state_dict().items():
            assert torch.equal(tensor, state[name]), name
    assert again.laws.cutoff == again_thermal.laws.cutoff == GUESS.cutoff
    assert (again_thermal.velocity_variance, again_thermal.inference.initial) == (0.17, 1 / 3)
    assert isinstance(again.inference, ConstantEntropy)
    assert facts["note"] == "a fact" and facts["cutoff_px"] == 24.0


@pytest.mark.parametrize(
    "parts",
    [
        Parts(True, False),
        Parts(False, True, 0.2),
        Parts(True, True),
        Parts(True, n_species=2),
        Parts(solid=True),
    ],
)
def test_laws_come_back_with_their_parts(tmp_path: Path, parts: Parts) -> None:
    guess = replace(GUESS, parts=parts)
    isothermal = Filter(isothermal_laws(guess), ConstantEntropy(), 0.17)
    thermal = Filter(thermal_laws(isothermal.laws), ScoreFilter(initial=0.2), 0.17)
    if thermal.laws.bath is not None:
        with torch.no_grad():
            thermal.laws.bath.log_friction.add_(0.3)
    if parts.n_species > 1:
        with torch.no_grad():
            thermal.laws.kernel.parts[1].coefficients.add_(0.2)
            thermal.laws.amplitudes.parts[2].powers.add_(0.1)
            thermal.laws.inertia.log_ratios.fill_(0.4)
    if parts.solid:
        with torch.no_grad():
            thermal.laws.shear.log_moduli.fill_(1.3)
    save_fit(tmp_path / "model", isothermal, thermal, guess, {})
    _, again, _ = load_fit(tmp_path / "model")
    before, after = thermal.laws.state_dict(), again.laws.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (again.laws.potential is not None, again.laws.bath is not None) == (parts.cohesion, parts.bath)
    assert count_species(again.laws) == parts.n_species
    assert (again.laws.shear is not None) == parts.solid


def encoder() -> EntropyEncoder:
    """Weights that are not those of a new one."""
    made = EntropyEncoder(0.17, 23.0, initial=2 / 3, seed=5)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(
                torch.linspace(-0.2, 0.3, parameter.numel(), dtype=torch.float64).view_as(parameter)
            )
    return made


@pytest.mark.parametrize("form", ["isothermal", "encoder", "filter started by an encoder"])
def test_every_form_comes_back(tmp_path: Path, form: str) -> None:
    isothermal = Filter(isothermal_laws(GUESS), ConstantEntropy(0.3), 0.17)
    thermal = isothermal
    if form != "isothermal":
        inference = (
            encoder() if form == "encoder" else ScoreFilter(0.1, 0.2, 0.3, initial=0.4, start=encoder())
        )
        thermal = Filter(thermal_laws(isothermal.laws), inference, 0.17)
    save_fit(tmp_path / "model", isothermal, thermal, GUESS, {})
    again_isothermal, again, facts = load_fit(tmp_path / "model")
    assert facts["entropy"] == again.inference.form == thermal.inference.form
    assert (again is again_isothermal) == (form == "isothermal")
    assert type(again.inference) is type(thermal.inference)
    before, after = thermal.inference.state_dict(), again.inference.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert again.inference.initial == thermal.inference.initial
    if isinstance(thermal.inference, ScoreFilter) and isinstance(again.inference, ScoreFilter):
        assert thermal.inference.start is not None and again.inference.start is not None
        assert again.inference.start.initial == thermal.inference.start.initial


def test_an_unknown_form_is_refused(saved: tuple[Path, Filter, Filter]) -> None:
    path = saved[0] / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"entropy": "oracle"}))
    refuse(saved[0])


def test_holds_nothing_but_numbers_and_json(saved: tuple[Path, Filter, Filter]) -> None:
    folder, _, _ = saved
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.safetensors"]
    content = (folder / "model.safetensors").read_bytes()
    # A pickle begins with its protocol opcode, a zip of pickles with PK; safetensors with the length of a JSON header.
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert all(entry["dtype"] == "F64" for name, entry in header.items() if name != "__metadata__")


def refuse(folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_fit(folder)
    assert str(folder) in str(caught.value)
    assert "colloidlab fit" in str(caught.value)


def test_absent_folder(tmp_path: Path) -> None:
    refuse(tmp_path / "model")


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_absent_file(saved: tuple[Path, Filter, Filter], name: str) -> None:
    (saved[0] / name).unlink()
    refuse(saved[0])


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04]", b"\x00" * 64, b"[]", b"{}", b"\xff" * 16])
def test_foreign_content(saved: tuple[Path, Filter, Filter], name: str, content: bytes) -> None:
    (saved[0] / name).write_bytes(content)
    refuse(saved[0])


@pytest.mark.parametrize("share", [0.2, 0.9])
@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_cut_short(saved: tuple[Path, Filter, Filter], name: str, share: float) -> None:
    path = saved[0] / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refuse(saved[0])


def test_missing_and_misshapen_parameters(saved: tuple[Path, Filter, Filter]) -> None:
    path = saved[0] / "model.safetensors"
    tensors = load_file(path)
    fewer = {k: t for k, t in tensors.items() if k != "thermal.energy.log_alpha"}
    save_file(fewer, path)
    refuse(saved[0])
    save_file(tensors | {"thermal.energy.log_alpha": torch.zeros(3, dtype=torch.float64)}, path)
    refuse(saved[0])


@pytest.mark.parametrize("key", ["guess", "format", "velocity_variance", "entropy", "initial_entropy"])
def test_missing_entries(saved: tuple[Path, Filter, Filter], key: str) -> None:
    path = saved[0] / "model.json"
    description = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in description.items() if k != key}))
    refuse(saved[0])


def test_a_model_from_before_parts_is_read(saved: tuple[Path, Filter, Filter]) -> None:
    newer = Path(shutil.copytree(saved[0], saved[0].with_name("newer")))
    path = saved[0] / "model.json"
    description = json.loads(path.read_text()) | {"format": 4}
    for since in ("sigma", "error_scale", "parts"):
        del description["guess"][since]
    path.write_text(json.dumps(description))
    isothermal, thermal, _ = load_fit(saved[0])
    assert isothermal.laws.bath is None and isothermal.laws.potential is None
    # Its heat capacities had no lower bound.
    assert thermal.laws.energy.least_heat_capacity == 0
    assert load_fit(newer)[1].laws.energy.least_heat_capacity == 1


def test_newer_format_asks_for_an_upgrade(saved: tuple[Path, Filter, Filter]) -> None:
    path = saved[0] / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(InputError, match="upgrade"):
        load_fit(saved[0])

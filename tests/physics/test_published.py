"""The published function classes and weights: the authors' numbers, the networks' derivatives, files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from video_files import DATA

from colloidlab.errors import InputError, UsageError
from colloidlab.model import Laws, PowerLawAmplitudes, PublishedLaws, RadialKernel, evaluate, load_published
from colloidlab.model.analytic import ideal_gas
from colloidlab.model.jets import silu, softplus
from colloidlab.model.published import ConvexLayers, Layers

REFERENCE = DATA.parent / "reference"
WEIGHTS = REFERENCE / "star_polymer_11_params.pt"
CUTOFF = 4.75

with_reference = pytest.mark.skipif(not WEIGHTS.is_file(), reason="the published weights are not here")


def random_state(hidden: int = 8) -> dict[str, torch.Tensor]:
    """A state dict named as the published one."""
    generator = torch.Generator().manual_seed(3)

    def layers(name: str, inputs: int, step: int) -> dict[str, torch.Tensor]:
        sizes = [inputs, hidden, hidden, 1]
        made = {}
        for k in range(3):
            made[f"{name}.{step * k}.weight"] = torch.randn(sizes[k + 1], sizes[k], generator=generator)
            made[f"{name}.{step * k}.bias"] = torch.randn(sizes[k + 1], generator=generator)
        return made

    state = {"log_k_B": torch.tensor(-3.0), "log_m": torch.tensor(-1.0)}
    for name, inputs, step in (
        ("model_W.MLP.layers", 1, 2),
        ("model_U_vol.layers", 2, 1),
        ("model_A.layers", 2, 2),
        ("model_B.layers", 2, 2),
        ("model_C.layers", 2, 2),
    ):
        state |= layers(name, inputs, step)
    return state


@with_reference
def test_agrees_with_the_authors_numbers() -> None:
    """Their direction is r/(r + 1e-8), so that parts in a billion differ."""
    laws = load_published(WEIGHTS, cutoff=CUTOFF, n_dims=3)
    case = np.load(REFERENCE / "star_polymer_11_case.npz")
    found = evaluate(
        laws, case["r"], case["v"], case["S"], case["edge_index"], box=case["box"], dt=float(case["dt"])
    )
    names = {"c": "C", "F": "F_cons"}
    for name in found:
        expected = case[names.get(name, name)]
        assert found[name].shape == expected.shape
        assert np.abs(found[name] - expected).max() < 1e-7 * np.abs(expected).max(), name
    # Blocks of the covariance differ by orders of magnitude.
    for rows, columns in ((slice(0, 3), slice(0, 3)), (slice(0, 3), 3), (3, 3)):
        expected = case["cov"][:, rows, columns]
        assert np.abs(found.cov[:, rows, columns] - expected).max() < 1e-7 * np.abs(expected).max()
    laws.k_B = 0.0
    cold = evaluate(laws, case["r"], case["v"], case["S"], case["edge_index"], box=case["box"])
    for name in ("dvdt", "dSdt"):
        expected = case[f"{name}_kB0"]
        assert np.abs(cold[name] - expected).max() < 1e-7 * np.abs(expected).max()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", [Layers, ConvexLayers])
def test_derivatives_carried_along_are_those_of_autograd(kind: type[Layers], axis: int) -> None:
    torch.manual_seed(0)
    network = ConvexLayers([2, 7, 5, 1]) if kind is ConvexLayers else Layers([2, 7, 5, 1], silu)
    inputs = torch.randn(20, 2, dtype=torch.float64, requires_grad=True)
    value, first, second = network(inputs, axis).column()
    (slope,) = torch.autograd.grad(value.sum(), inputs, create_graph=True)
    (curvature,) = torch.autograd.grad(slope[:, axis].sum(), inputs)
    torch.testing.assert_close(first, slope[:, axis])
    torch.testing.assert_close(second, curvature[:, axis])


@pytest.mark.parametrize("activation", [silu, softplus])
def test_activations_stay_finite_far_out(activation) -> None:
    for part in activation(torch.tensor([-800.0, -50.0, 0.0, 50.0, 800.0], dtype=torch.float64)):
        assert torch.isfinite(part).all()


def test_energy_is_convex_for_any_weights_and_inverts() -> None:
    torch.manual_seed(1)
    energy = PublishedLaws([9, 9], 1.0, 2).energy
    S, V = torch.randn(50, dtype=torch.float64), torch.rand(50, dtype=torch.float64) + 0.2
    state = energy(S, V)
    assert (state.T > 0).all() and (state.P > 0).all() and (state.inv_c > 0).all() and (state.P_V < 0).all()
    torch.testing.assert_close(energy.entropy(state.T, V), S, rtol=1e-8, atol=1e-8)
    with pytest.raises(UsageError, match="lie outside"):
        energy.entropy(1e6 * state.T, V)


def test_weights_are_read_under_their_names(tmp_path: Path) -> None:
    state = random_state()
    torch.save(state, tmp_path / "weights.pt")
    laws = load_published(tmp_path / "weights.pt", cutoff=2.0, n_dims=2)
    assert laws.mass == pytest.approx(np.exp(-1.0)) and laws.k_B == pytest.approx(np.exp(-3.0))
    z = torch.tensor([[0.3]])
    for k in (0, 2, 4):
        z = z @ state[f"model_W.MLP.layers.{k}.weight"].T + state[f"model_W.MLP.layers.{k}.bias"]
        z = z * torch.sigmoid(z) if k < 4 else z
    w = laws.kernel(torch.tensor([0.3], dtype=torch.float64)).w
    torch.testing.assert_close(w, (z[:, 0].exp() * (1 - 0.3**2)).double(), rtol=1e-5, atol=0.0)


def test_files_that_are_no_published_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_published(tmp_path / "none.pt", cutoff=1.0, n_dims=3)
    (tmp_path / "text.pt").write_text("nothing")
    with pytest.raises(InputError, match="no file of PyTorch tensors"):
        load_published(tmp_path / "text.pt", cutoff=1.0, n_dims=3)
    state = random_state()
    del state["model_B.layers.2.bias"]
    torch.save(state, tmp_path / "part.pt")
    with pytest.raises(InputError, match="lacks the tensor 'model_B"):
        load_published(tmp_path / "part.pt", cutoff=1.0, n_dims=3)
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(InputError, match="holds no state dict"):
        load_published(tmp_path / "tensor.pt", cutoff=1.0, n_dims=3)
    torch.save(random_state(), tmp_path / "whole.pt")
    with pytest.raises(UsageError, match="2 or 3 dimensions"):
        load_published(tmp_path / "whole.pt", cutoff=1.0, n_dims=4)
    with pytest.raises(UsageError, match="no distance"):
        load_published(tmp_path / "whole.pt", cutoff=-1.0, n_dims=3)
    # The encoder's inputs are a distance and D components.
    torch.save(random_state() | {"teacher.layers.0.weight": torch.zeros(4, 4)}, tmp_path / "space.pt")
    assert load_published(tmp_path / "space.pt", cutoff=1.0, n_dims=3).n_dims == 3
    with pytest.raises(UsageError, match="fitted in 3 dimensions, as its encoder shows, and n_dims is 2"):
        load_published(tmp_path / "space.pt", cutoff=1.0, n_dims=2)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    laws = PublishedLaws([4, 4], 1.0, 2)
    r, v, s, pairs = np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 1)), np.array([[0, 1], [1, 2]])
    r[:, 0] = [0.0, 0.4, 0.8]
    assert evaluate(laws, r, v, s, pairs).F.shape == (3, 2)
    for wrong, said in (
        ((np.zeros((3, 3)), np.zeros((3, 3)), s, pairs), "fitted in 2"),
        ((r, v[:2], s, pairs), "do not belong"),
        ((r, v, s[:, 0], pairs), "do not belong"),
        ((r, v, s, pairs.T[:1]), "whole numbers"),
        ((r, v, s, pairs[::-1]), "i < j"),
        ((r, np.full((3, 2), np.nan), s, pairs), "not finite"),
    ):
        with pytest.raises(UsageError, match=said):
            evaluate(laws, *wrong)
    for options, said in (
        ({"box": -1.0}, "box lengths"),
        ({"box": [1.0, 1.0, 1.0]}, "one length, or one for each axis"),
        ({"box": "large"}, "one length, or one for each axis"),
        ({"dt": -1.0}, "dt = -1.0 is no time step"),
        ({"dt": float("nan")}, "dt = nan is no time step"),
    ):
        with pytest.raises(UsageError, match=said):
            evaluate(laws, r, v, s, pairs, **options)
    with pytest.raises(UsageError, match="velocities are no array of numbers"):
        evaluate(laws, r, "fast", s, pairs)
    with pytest.raises(UsageError, match="a pair is there twice"):
        evaluate(laws, r, v, s, np.array([[0, 1, 0], [1, 2, 1]]))


def test_a_heat_capacity_of_k_b_or_less_is_refused() -> None:
    """With theta = (1 - k_B/c)/T below zero, friction would speed particles up."""
    r, v, s, pairs = (
        np.array([[0.0, 0.0], [0.5, 0.0]]),
        np.zeros((2, 2)),
        np.zeros((2, 1)),
        np.array([[0], [1]]),
    )
    v[0, 0] = 1.0
    amplitudes = PowerLawAmplitudes([0.0], [0.0], [0.0], (1.0, 1.0, 2.0))
    enough = Laws(RadialKernel(0), ideal_gas(1.01, 1.0, 1.0, 1.0), amplitudes, 1.0)
    found = evaluate(enough, r, v, s, pairs)
    assert float(found.c.min()) > 1 and (found.dvdt - found.F)[0, 0] < 0
    for c in (1.0, 0.5):
        little = Laws(RadialKernel(0), ideal_gas(c, 1.0, 1.0, 1.0), amplitudes, 1.0)
        with pytest.raises(UsageError, match="must be larger than k_B = 1"):
            evaluate(little, r, v, s, pairs)


def test_pairs_beyond_the_cutoff_count_for_nothing() -> None:
    laws = PublishedLaws([4, 4], 1.0, 2)
    r = np.array([[0.0, 0.0], [0.5, 0.0], [5.0, 0.0]])
    v, s = np.ones((3, 2)) * [[1], [2], [3]], np.zeros((3, 1))
    few, all_pairs = (
        evaluate(laws, r, v, s, pairs) for pairs in (np.array([[0], [1]]), np.array([[0, 0, 1], [1, 2, 2]]))
    )
    for name in few:
        np.testing.assert_array_equal(few[name], all_pairs[name])
    # Periodic, the outer two are neighbours.
    assert np.abs(evaluate(laws, r, v, s, np.array([[0, 0], [1, 2]]), box=[5.2, 0.0]).F[2]).sum() > 0

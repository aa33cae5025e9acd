"""The function classes of the published method, and its authors' weights.

| function | form |
|---|---|
| W(x) | exp(N(x)) (1 - x^2), x = r/h, N a network with SiLU |
| U(S, V) | network with softplus; first-layer weights abs(w) s with s = (+1, -1), later ones abs(w): convex, T > 0, P > 0 |
| A_ij | a(x, T_i) a(x, T_j), a a network with SiLU; B and C alike |

They are kept to compare with: the amplitudes jump to zero at the cutoff, where W has a slope. Masses and k_B are
learned with them, although no trajectory depends on their scale. Pairs that are not closer than the cutoff, x = 1, have none
of this.

References
----------
Hernandez, Win, O'Connor, Arratia, Trask, arXiv 2508.12569 (2025).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from colloidlab.errors import InputError, UsageError
from colloidlab.model.chunks import network_jet
from colloidlab.model.energy import Thermo
from colloidlab.model.friction import PairAmplitudes
from colloidlab.model.jets import Activation, Jet, silu, softplus
from colloidlab.model.kernel import KernelValues
from colloidlab.model.laws import Laws

_BISECTIONS = 200
_WIDEST = 1e9


class Layers(nn.Module):
    """Linear layers with one activation between them and none after the last.

    Parameters
    ----------
    sizes : sequence of int
        Features from the input to the output.
    activation : callable
        See `jets.Activation`.
    """

    def __init__(self, sizes: list[int], activation: Activation) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, dtype=torch.float64) for a, b in pairwise(sizes))
        self.activation = activation

    def used(self, k: int, weight: Tensor) -> Tensor:
        """Weights of layer k as they are used, shape (out, in)."""
        return weight

    def forward(self, inputs: Tensor, axis: int) -> Jet:
        """Output with its derivatives along one input.

        Parameters
        ----------
        inputs : tensor, shape (n, sizes[0])
        axis : int
        """
        return Jet(*network_jet(inputs, axis, self.effective(), self.activation))

    def value(self, inputs: Tensor) -> Tensor:
        """A single output, shape (n,)."""
        (value,) = network_jet(inputs, 0, self.effective(), self.activation, order=0)
        return value[:, 0]

    def value_and_slope(self, inputs: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """A single output and its derivative along one input, each of shape (n,)."""
        value, slope = network_jet(inputs, axis, self.effective(), self.activation, order=1)
        return value[:, 0], slope[:, 0]

    def effective(self) -> list[tuple[Tensor, Tensor]]:
        """Weights as they are used, and biases."""
        layers = cast(Iterable[nn.Linear], self.layers)
        return [(self.used(k, layer.weight), layer.bias) for k, layer in enumerate(layers)]


class ConvexLayers(Layers):
    """Layers whose output is convex, rising with the first input and falling with the second."""

    signs: Tensor

    def __init__(self, sizes: list[int]) -> None:
        super().__init__(sizes, softplus)
        self.register_buffer("signs", torch.tensor([1.0, -1.0], dtype=torch.float64))

    def used(self, k: int, weight: Tensor) -> Tensor:
        """Not negative but in the first layer, where the sign is that of the input."""
        return weight.abs() * self.signs if k == 0 else weight.abs()


# Each pass through a network is made when what it gives is first asked for. No step of a rollout asks for second
# derivatives of the kernel or for dP/dV; whoever has found the entropy of an energy has asked for nothing but the energy,
# and the forces at the end of a step ask for the pressure alone.


class _LateKernelValues(KernelValues):
    _curvature: Callable[[], Tensor]

    def __init__(self, w: Tensor, dw: Tensor, curvature: Callable[[], Tensor]) -> None:
        self.__dict__.update(w=w, dw=dw, _curvature=curvature)

    @cached_property
    def d2w(self) -> Tensor:  # type: ignore[override]
        return self._curvature()


class _LateThermo(Thermo):
    _network: Layers
    _inputs: Tensor

    def __init__(self, network: Layers, S: Tensor, V: Tensor) -> None:
        self.__dict__.update(_network=network, _inputs=torch.stack([S, V], dim=1))

    @cached_property
    def _along_entropy(self) -> tuple[Tensor, Tensor, Tensor]:
        return self._network(self._inputs, 0).column()

    @cached_property
    def U(self) -> Tensor:  # type: ignore[override]
        if "_along_entropy" in self.__dict__:
            return self._along_entropy[0]
        return self._network.value(self._inputs)

    @cached_property
    def T(self) -> Tensor:  # type: ignore[override]
        return self._along_entropy[1]

    @cached_property
    def inv_c(self) -> Tensor:  # type: ignore[override]
        return self._along_entropy[2] / self.T

    @cached_property
    def P(self) -> Tensor:  # type: ignore[override]
        return -self._network.value_and_slope(self._inputs, 1)[1]

    @cached_property
    def P_V(self) -> Tensor:  # type: ignore[override]
        return -self._network(self._inputs, 1).column()[2]


class PublishedKernel(nn.Module):
    """W(x) = exp(N(x)) (1 - x^2)."""

    def __init__(self, hidden: list[int]) -> None:
        super().__init__()
        self.network = Layers([1, *hidden, 1], silu)

    def at_zero(self) -> Tensor:
        """W(0), the share of a particle in its own density."""
        zero = next(self.parameters()).new_zeros((1, 1))
        return self.network.value(zero)[0].exp()

    def forward(self, x: Tensor) -> KernelValues:
        n, dn = self.network.value_and_slope(x[:, None], 0)
        f, g = n.exp(), 1 - x**2
        return _LateKernelValues(f * g, (x < 1) * f * (dn * g - 2 * x), lambda: self._curvature(x))

    def _curvature(self, x: Tensor) -> Tensor:
        n, dn, d2n = self.network(x[:, None], 0).column()
        return (x < 1) * n.exp() * ((d2n + dn**2) * (1 - x**2) - 4 * x * dn - 2.0)


class ConvexEnergy(nn.Module):
    """U(S, V) of a convex network, rising with S and falling with V: T > 0, P > 0 and c > 0 for any weights."""

    def __init__(self, hidden: list[int]) -> None:
        super().__init__()
        self.network = ConvexLayers([2, *hidden, 1])

    def forward(self, S: Tensor, V: Tensor) -> Thermo:
        return _LateThermo(self.network, S, V)

    def entropy(self, T: Tensor, V: Tensor) -> Tensor:
        """S at which the temperature is T, by bisection: T rises with S, but between bounds.

        Raises
        ------
        UsageError
            No entropy has this temperature.
        """
        low, high = torch.full_like(V, -1.0), torch.full_like(V, 1.0)
        while bool(((self(high, V).T < T) | (self(low, V).T > T)).any()):
            low, high = 2 * low, 2 * high
            if float(high.max()) > _WIDEST:
                raise UsageError(
                    f"temperatures from {T.min().item():.3g} to {T.max().item():.3g} lie outside what this "
                    "energy can reach; give temperatures that it has been fitted to"
                )
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            colder = self(middle, V).T < T
            low, high = torch.where(colder, middle, low), torch.where(colder, high, middle)
        return 0.5 * (low + high)


class PublishedAmplitudes(nn.Module):
    """A_ij = a(x, T_i) a(x, T_j), and B and C alike."""

    def __init__(self, hidden: list[int]) -> None:
        super().__init__()
        self.a, self.b, self.c = (Layers([2, *hidden, 1], silu) for _ in range(3))

    def forward(self, x: Tensor, T_i: Tensor, T_j: Tensor) -> PairAmplitudes:
        inputs = torch.stack([x.repeat(2), torch.cat([T_i, T_j])], dim=1)

        def squared(network: Layers) -> tuple[Tensor, Tensor, Tensor]:
            at, slope = network.value_and_slope(inputs, 1)
            (at_i, at_j), (slope_i, slope_j) = (x < 1) * at.view(2, -1), slope.view(2, -1)
            return (at_i * at_j) ** 2, 2 * at_i * slope_i * at_j**2, 2 * at_j * slope_j * at_i**2

        (A2, A2_i, A2_j), (B2, B2_i, B2_j), (C2, C2_i, C2_j) = map(squared, (self.a, self.b, self.c))
        return PairAmplitudes(A2, B2, C2, A2_i, A2_j, B2_i, B2_j, C2_i, C2_j)


class PublishedLaws(Laws):
    """Laws of the published form, with the number of dimensions that they were fitted in.

    Parameters
    ----------
    hidden : sequence of int
        Features of the hidden layers of every network.
    cutoff : float
        h, in the length unit of the positions.
    n_dims : int
    mass, k_B : float
    """

    def __init__(
        self, hidden: list[int], cutoff: float, n_dims: int, mass: float = 1.0, k_B: float = 1.0
    ) -> None:
        super().__init__(
            PublishedKernel(hidden), ConvexEnergy(hidden), PublishedAmplitudes(hidden), cutoff, mass, k_B
        )
        self.n_dims = n_dims


_PARTS = {
    "model_W.MLP.layers": ("kernel.network", 2),
    "model_U_vol.layers": ("energy.network", 1),
    "model_A.layers": ("amplitudes.a", 2),
    "model_B.layers": ("amplitudes.b", 2),
    "model_C.layers": ("amplitudes.c", 2),
}
"""Their names, ours, and the steps in which they count the layers (activations count where the step is 2)."""


def load_published(path: str | Path, *, cutoff: float, n_dims: int) -> PublishedLaws:
    """Read weights that the authors of the method published: a PyTorch state dict of tensors.

    Parameters
    ----------
    path : path
    cutoff : float
        h that they were trained with; the file does not hold it.
    n_dims : int
        2 or 3, as above.

    Returns
    -------
    PublishedLaws
        In float64 on the CPU. The encoder of the entropy is left aside; see `published_encoder`.

    Raises
    ------
    InputError
        The file is missing, is no such state dict, or lacks a tensor.
    UsageError
        The cutoff or the number of dimensions is impossible, or that of the file is another one.
    """
    if n_dims not in (2, 3):
        raise UsageError(f"n_dims = {n_dims}: particles move in 2 or 3 dimensions")
    if not 0 < cutoff < float("inf"):
        raise UsageError(f"cutoff = {cutoff} is no distance; give that of the training")
    state = read_weights(Path(path))
    teacher = state.get("teacher.layers.0.weight")
    # Its inputs are a distance and the components of a relative velocity.
    if teacher is not None and teacher.ndim == 2 and teacher.shape[1] != 1 + n_dims:
        raise UsageError(
            f"{path} was fitted in {teacher.shape[1] - 1} dimensions, as its encoder shows, and n_dims is {n_dims}"
        )
    try:
        hidden = [
            state[name].shape[0] for name in ("model_U_vol.layers.0.weight", "model_U_vol.layers.1.weight")
        ]
        laws = PublishedLaws(
            hidden,
            float(cutoff),
            n_dims,
            mass=float(state["log_m"].double().exp()),
            k_B=float(state["log_k_B"].double().exp()),
        )
        ours = laws.state_dict()
        for theirs, (part, step) in _PARTS.items():
            for k in range(len(hidden) + 1):
                for kind in ("weight", "bias"):
                    ours[f"{part}.layers.{k}.{kind}"] = state[f"{theirs}.{step * k}.{kind}"].double()
        laws.load_state_dict(ours)
    except KeyError as error:
        raise InputError(
            f"{path} lacks the tensor {error}; it is no state dict of the published model"
        ) from None
    except RuntimeError as error:
        raise InputError(f"{path} does not fit the published model: {error}") from None
    return laws


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file of weights by name; `InputError` where there are none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give the file of published weights") from None
    except Exception as error:
        # What torch refuses with weights_only=True is of a type that only its own reader names.
        raise InputError(f"{path} is no file of PyTorch tensors: {error}") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no state dict of tensors but a {type(state).__name__}")
    return state

"""The parts of a filter that are fitted, as one module: what is optimised, moved, copied and saved."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from colloidlab.errors import ColloidlabError
from colloidlab.model.checkpoint import State
from colloidlab.model.filter import Filter


def trained_parts(filter_: Filter) -> nn.ModuleDict:
    """Laws, the inference of entropy, and an unknown localisation error where there is one."""
    parts = {"laws": filter_.laws, "inference": filter_.inference, "error": filter_.error}
    return nn.ModuleDict({name: part for name, part in parts.items() if part is not None})


def move(filter_: Filter, device: torch.device, dtype: torch.dtype) -> Filter:
    """Put a filter on a device, its numbers in a precision; the same filter is returned."""
    trained_parts(filter_).to(device=device, dtype=dtype)
    return filter_


def copied_weights(filter_: Filter) -> dict[str, Tensor]:
    """All parameters and constants by name, as they are now."""
    return {name: value.detach().clone() for name, value in trained_parts(filter_).state_dict().items()}


def set_weights(filter_: Filter, weights: dict[str, Tensor]) -> None:
    """Undo what happened since `copied_weights`, the precision included."""
    parts = trained_parts(filter_)
    parts.to(dtype=next(iter(weights.values())).dtype)
    parts.load_state_dict(weights)


class Best:
    """The weights of a filter that the validation block has liked best.

    Attributes
    ----------
    validation : float
        Mean log-likelihood there; minus infinity before the first look.
    """

    def __init__(self, filter_: Filter) -> None:
        self._filter = filter_
        self._weights: dict[str, Tensor] = {}
        self.validation = -math.inf

    def offer(self, validation: float) -> bool:
        """Keep the present weights if they are better; says whether they are."""
        better = validation > self.validation
        if better:
            self.validation, self._weights = validation, copied_weights(self._filter)
        return better

    def use(self) -> None:
        """Give the filter the best weights.

        Raises
        ------
        ColloidlabError
            No look has seen a finite likelihood: there is nothing to go on with.
        """
        if not self._weights:
            raise ColloidlabError(
                "no look of the fit at the validation block gave a finite likelihood; tracks with wild jumps there are "
                "the usual cause: look at them, at search_range_px, or give a larger sigma_px"
            )
        set_weights(self._filter, self._weights)

    def state(self) -> State:
        """As `Stateful`."""
        return {"validation": self.validation, "weights": self._weights}

    def restore(self, state: State) -> None:
        """As `Stateful`."""
        device = next(trained_parts(self._filter).parameters()).device
        self.validation = float(state["validation"])
        self._weights = {name: value.to(device) for name, value in state["weights"].items()}

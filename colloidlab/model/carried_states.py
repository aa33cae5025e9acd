"""States of the filter at the starts of the training windows, kept from visit to visit and shared by all processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from colloidlab.dataset.windows import Window
from colloidlab.model.checkpoint import State
from colloidlab.model.distributed import Machine
from colloidlab.model.filter import FilterState
from colloidlab.model.sequence import CarriedState, place_each


class CarriedStates:
    """By the frame at which a window starts: the state in which the last visit to the window before has left the filter.

    Windows can so be visited in any order.

    Parameters
    ----------
    machine : Machine
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._states: dict[int, CarriedState] = {}

    def __contains__(self, frame: int) -> bool:
        return frame in self._states

    def __getitem__(self, frame: int) -> CarriedState:
        return self._states[frame]

    def place(self, window: Window) -> FilterState:
        """The state in which to enter a window; stretches that no visit has led to start unseen."""
        return place_each([self._states.get(frame) for frame in window.frames], window)

    def keep(self, state: FilterState, window: Window) -> None:
        """Keep the state at the end of this process's window."""
        ends = [frame + window.n_frames - 1 for frame in window.frames]
        self._states.update(zip(ends, CarriedState.take_each(state, window), strict=True))

    def share(self, frames: Sequence[int]) -> None:
        """Give all processes what each has kept at some frames."""
        if self._machine.size == 1:
            return
        rows = torch.cat([_packed(frame, self._states[frame]) for frame in frames])
        template = self._states[frames[0]].state
        for found in self._machine.gathered(rows):
            for frame in found[:, 0].unique().tolist():
                self._states[int(frame)] = _unpacked(found[found[:, 0] == frame], template)

    def state(self) -> State:
        """As `Stateful`."""
        return {
            str(frame): {"slot": torch.as_tensor(carried.slot), **vars(carried.state)}
            for frame, carried in self._states.items()
        }

    def restore(self, state: State) -> None:
        """As `Stateful`."""
        device = self._machine.device
        for frame, values in state.items():
            fields = {name: value.to(device) for name, value in values.items() if name != "slot"}
            self._states[int(frame)] = CarriedState(values["slot"].numpy(), FilterState(**fields))


def _packed(frame: int, carried: CarriedState) -> Tensor:
    """One row a particle: frame, slot and all of its state; float64 holds every integer that occurs."""
    fields = [value.reshape(len(value), -1).double() for value in vars(carried.state).values()]
    slot = torch.as_tensor(carried.slot, device=fields[0].device).double()[:, None]
    return torch.cat([torch.full_like(slot, float(frame)), slot, *fields], dim=1)


def _unpacked(rows: Tensor, template: FilterState) -> CarriedState:
    fields, at = {}, 2
    for name, like in vars(template).items():
        width = like[:1].numel()
        fields[name] = rows[:, at : at + width].reshape(-1, *like.shape[1:]).to(like.dtype)
        at += width
    return CarriedState(rows[:, 1].cpu().numpy().astype("int64"), FilterState(**fields))

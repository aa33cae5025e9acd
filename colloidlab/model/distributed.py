"""Training in several processes, as `torchrun` starts them: each takes its share of every batch of windows.

    torchrun --nproc-per-node 2 -m colloidlab fit RUN

Gradients are averaged by DistributedDataParallel. The loss of a process is scaled so that the average is the gradient of
the mean over the whole batch: loss and weights are those of one process with the whole batch, but for round-off.
What a process finds out that others need (states carried to the next window, looks at the validation block) is
shared as plain tensors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Machine:
    """Where the arithmetic of a training is done, how precisely, and in how many processes.

    Attributes
    ----------
    device : torch.device
    dtype : torch.dtype
        Of the steps of the optimiser; what is reported is always computed in float64.
    rank, size : int
        This process, and how many there are.
    """

    device: torch.device = CPU
    dtype: torch.dtype = torch.float64
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """True for the one process that writes and draws."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Sum over all processes; carries no gradient."""
        if self.size == 1:
            return values.detach()
        summed = values.detach().clone()
        distributed.all_reduce(summed)
        return summed

    def agreed(self, values: Sequence[float]) -> list[float]:
        """Numbers as the leading process has them, so that all decide alike."""
        if self.size == 1:
            return list(values)
        shared = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return [float(x) for x in shared]

    def gathered(self, values: Tensor) -> list[Tensor]:
        """The tensors of all processes, in their order; shapes may differ in the first dimension."""
        if self.size == 1:
            return [values]
        lengths = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.size)]
        distributed.all_gather(lengths, torch.tensor([len(values)], device=self.device))
        longest = max(int(n) for n in lengths)
        padded = values.new_zeros(longest, *values.shape[1:])
        padded[: len(values)] = values
        found = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(found, padded)
        return [part[: int(n)] for part, n in zip(found, lengths, strict=True)]

    def agree_on(self, module: nn.Module) -> None:
        """Give every process the leading one's parameters."""
        if self.size > 1:
            for parameter in module.parameters():
                distributed.broadcast(parameter.data, 0)

    def parallel(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over the processes."""
        if self.size == 1:
            return module
        # Here, because some builds of torch come without it.
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(module, find_unused_parameters=True)


ALONE = Machine()
"""One process on the CPU, in float64."""


def process_count() -> int:
    """How many processes `torchrun` has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if launched() else 1


def launched() -> bool:
    """Has `torchrun` started this process?"""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def machine(device: torch.device = CPU, dtype: torch.dtype = torch.float64) -> Iterator[Machine]:
    """Join the processes that `torchrun` has started, if it has; part from them at the end.

    Parameters
    ----------
    device : torch.device
        With several CUDA devices each process takes that of its place on the computer.
    dtype : torch.dtype
    """
    if not launched():
        yield Machine(device, dtype)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Machine(device, dtype, distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()

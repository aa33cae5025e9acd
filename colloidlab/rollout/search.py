"""The search for pairs: cell lists of vesin-torch, which also knows the cells of a shear box, and a k-d tree beside it.

Both find the same pairs. Milliseconds on one thread of a busy machine, sorting included, for random places in a periodic
box:

| particles | 2D, 6.7 pairs a particle: vesin, tree | 3D, 18 pairs: vesin, tree |
|---|---|---|
| 10^3 | 3.3, 3.6 | 8.6, 10.3 |
| 10^4 | 25, 29 | 41, 66 |
| 10^5 | 309, 287 | 817, 2057 |

In open systems of a thousand the tree is up to 1.5 times faster, in larger ones they are alike.

Cells are limited in number: beyond 10^5 of them vesin 0.6.2 makes fewer and larger ones, and divides by zero where that
leaves none in a direction, which ends the program. The tree takes these. On a GPU positions stay there unless it is needed.

References
----------
Bigi et al., arXiv 2508.15704 (2025), of which vesin is a part.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.graph import find_pairs

try:
    from vesin_torch import NeighborList
except (ImportError, OSError):  # no build for this version of torch
    NeighborList = None

MOST_CELLS = 90_000


def search(
    r: Tensor, cutoff: float, scale: Tensor, lengths: np.ndarray | None = None, tilt: float = 0.0
) -> Tensor:
    """All pairs closer than the cutoff, scaled by particle size; parameters as in `dataset.graph.find_pairs`.

    Returns
    -------
    int64 tensor, shape (2, n_pairs)
        In any order, either end first, and more than once where several images of a box shorter than two cutoffs meet.
    """
    box = np.zeros(r.shape[1]) if lengths is None else np.asarray(lengths, dtype=float)
    found = search_in_cells(r, cutoff, scale, box, tilt)
    if found is None:
        positions, sizes = r.detach().cpu().numpy(), scale.cpu().numpy()
        found = torch.as_tensor(find_pairs(positions, cutoff, sizes, box, tilt), device=r.device)
    return found


def in_order(index: Tensor, n: int) -> Tensor:
    """Every pair of n particles once, i < j, sorted by i, then j, so that numbers drawn in this order are reproducible."""
    key = torch.unique(torch.minimum(index[0], index[1]) * n + torch.maximum(index[0], index[1]))
    return torch.stack([key // n, key % n])


def search_in_cells(r: Tensor, cutoff: float, scale: Tensor, box: np.ndarray, tilt: float) -> Tensor | None:
    """As `search`, by vesin; None where it cannot be had or trusted."""
    if NeighborList is None or r.device.type not in ("cpu", "cuda"):
        return None
    present = torch.isfinite(r).all(1).nonzero()[:, 0]
    if len(present) < 2:
        return present.new_empty((2, 0))
    n_dims = r.shape[1]
    points = r.new_zeros((len(present), 3), dtype=torch.float64)
    points[:, :n_dims] = r.detach()[present]
    size = scale[present].to(torch.float64)
    reach = cutoff * float(size.max())
    if _count_cells(points[:, :n_dims], reach, box) > MOST_CELLS:
        return None
    cell = torch.zeros((3, 3), dtype=torch.float64)
    cell.diagonal()[:n_dims] = torch.as_tensor(box)
    cell[1, 0] = tilt
    periodic = torch.tensor([*(length > 0 for length in box), False][:3])
    lists = NeighborList(cutoff=reach, full_list=False, n_threads=torch.get_num_threads())
    try:
        near, distance = lists.compute(points, cell.to(r.device), periodic.to(r.device), quantities="Pd")
    except RuntimeError:  # on a GPU it compiles its kernels, and holds so many pairs a particle
        return None
    i, j = near.unbind(1)
    close = distance < cutoff * 0.5 * (size[i] + size[j])
    return torch.stack([present[i[close]], present[j[close]]])


def _count_cells(points: Tensor, reach: float, box: np.ndarray) -> float:
    """As many as fit without overlap, an upper limit where the box is tilted."""
    span = (points.amax(0) - points.amin(0)).tolist()
    across = [length if length > 0 else extent for length, extent in zip(box.tolist(), span, strict=True)]
    return math.prod(max(a / reach, 1.0) for a in across)

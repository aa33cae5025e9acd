"""Normal equations of the profile that all particles share."""

from __future__ import annotations

import numpy as np
from numba import njit

BACKGROUND_TERMS = 10
_MOST_OVERLAPS = 24


@njit(cache=True, nogil=True)
def profile_system(
    image: np.ndarray, weight: np.ndarray, particles: np.ndarray, reach: float, nodes: int, stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of I = sum_k A_k t(r_k / s_k) + cubic background, for t at its nodes (hat functions).

    Every `stride`-th row is used, and in it every `stride`-th pixel; t is zero at `reach`, which is no node.
    """
    height, width = image.shape
    n = nodes + BACKGROUND_TERMS
    matrix, right = np.zeros((n, n)), np.zeros(n)
    rows = (height - 1) // stride + 1
    columns = (width - 1) // stride + 1
    count = np.zeros((rows, columns), np.int32)
    place = np.zeros((rows, columns, _MOST_OVERLAPS), np.int32)
    value = np.zeros((rows, columns, _MOST_OVERLAPS))
    for k in range(len(particles)):
        x, y, amplitude, scale = particles[k]
        extent = reach * scale
        for i in range(
            max(0, int(np.ceil((y - extent) / stride))), min(rows - 1, int((y + extent) // stride)) + 1
        ):
            for j in range(
                max(0, int(np.ceil((x - extent) / stride))), min(columns - 1, int((x + extent) // stride)) + 1
            ):
                u = np.hypot(j * stride - x, i * stride - y) / extent * nodes
                node = int(u)
                c = count[i, j]
                if node >= nodes or c + 2 > _MOST_OVERLAPS:
                    continue
                place[i, j, c], value[i, j, c] = node, amplitude * (1 - (u - node))
                place[i, j, c + 1], value[i, j, c + 1] = node + 1, amplitude * (u - node)
                count[i, j] = c + 2 if node + 1 < nodes else c + 1
    term = np.empty(BACKGROUND_TERMS)
    for i in range(rows):
        for j in range(columns):
            w = weight[i * stride, j * stride]
            if w <= 0:
                continue
            d = image[i * stride, j * stride]
            u, v = j * stride / width - 0.5, i * stride / height - 0.5
            fill_cubic(u, v, term)
            for a in range(count[i, j]):
                at, wa = place[i, j, a], w * value[i, j, a]
                right[at] += wa * d
                for b in range(count[i, j]):
                    matrix[at, place[i, j, b]] += wa * value[i, j, b]
                for b in range(BACKGROUND_TERMS):
                    matrix[at, nodes + b] += wa * term[b]
                    matrix[nodes + b, at] += wa * term[b]
            for a in range(BACKGROUND_TERMS):
                right[nodes + a] += w * term[a] * d
                for b in range(BACKGROUND_TERMS):
                    matrix[nodes + a, nodes + b] += w * term[a] * term[b]
    return matrix, right


@njit(cache=True, nogil=True)
def fill_cubic(u: float, v: float, term: np.ndarray) -> None:
    """The ten terms of a cubic in two variables."""
    term[0], term[1], term[2] = 1.0, u, v
    term[3], term[4], term[5] = u * u, u * v, v * v
    term[6], term[7], term[8], term[9] = u * u * u, u * u * v, u * v * v, v * v * v

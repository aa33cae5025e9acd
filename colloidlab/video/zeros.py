"""Blocks of zeros that a disk or a broken copy left in uncompressed pixels, where no checksum tells."""

from __future__ import annotations

import numpy as np

LEAST_BYTES = 256
"""Half of the smallest sector of a disk: what a lost one leaves of itself in the image before or after."""

_SAMPLE_EVERY = 61
"""Prime, so that the sample falls on all columns."""

_ELSEWHERE = 0.02
"""With more zeros than this elsewhere, as a fraction of the block, an image is taken to be dark by nature."""


def zeroed_block(image: np.ndarray, previous: np.ndarray | None = None) -> int:
    """Length of the block of lost pixels, px; 0 when the image shows none.

    A lost sector is one run of exact zeros along the rows, in an image that has next to
    no other zeros. A dark background, a vignette or a black label consist of many short
    runs; what stands still in the view was black before. Rows may be stored from the
    bottom up, so both orders are tried.

    Parameters
    ----------
    image : array, shape (height, width)
        As the file has it, uncompressed.
    previous : array, shape (height, width), optional
        The image before. Without one, a run of whole rows is taken for a black bar.

    >>> image = np.full((64, 64), 7, np.uint8)
    >>> image[10, 5:] = image[11:20] = image[20, :30] = 0
    >>> zeroed_block(image)
    665
    """
    least = max(LEAST_BYTES // image.dtype.itemsize, 2)
    n_zeros = image.size - int(np.count_nonzero(image))
    if n_zeros < least:
        return 0
    if _are_scattered(image):
        return 0
    before = None if previous is None or previous.shape != image.shape else previous
    for order in (slice(None), slice(None, None, -1)):
        start, length = _longest_run(image[order].ravel() == 0)
        if length < least or n_zeros - length > _ELSEWHERE * length:
            continue
        if before is not None:
            # A lost image just before proves nothing: the block goes on from there.
            stood_still = before.any() and not before[order].ravel()[start : start + length].any()
        else:
            stood_still = start % image.shape[1] == 0 and length % image.shape[1] == 0
        if not stood_still:
            return length
    return 0


def _are_scattered(image: np.ndarray) -> bool:
    """True when a sample of the pixels shows that the zeros are no single run: much faster than to search for one."""
    found = np.flatnonzero(image.ravel()[::_SAMPLE_EVERY] == 0)
    if len(found) < 50:
        return False
    low, high = found[[int(_ELSEWHERE * len(found)), int((1 - _ELSEWHERE) * len(found))]]
    broken_rows = 2 * image.shape[1] / _SAMPLE_EVERY  # of an image that is stored upside down
    return bool(high - low > 1.1 * len(found) + broken_rows + 2)


def _longest_run(true: np.ndarray) -> tuple[int, int]:
    """Where the longest run of True begins, and its length."""
    edges = np.flatnonzero(np.diff(true, prepend=False, append=False))
    starts, lengths = edges[::2], np.diff(edges)[::2]
    k = int(np.argmax(lengths))
    return int(starts[k]), int(lengths[k])

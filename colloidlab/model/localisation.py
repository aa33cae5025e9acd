"""What of the localisation error the filter takes for new in every frame, where that is fitted like the laws.

Trackers state how far a position is from the truth. Part of that does not change from frame to frame: light of
neighbours and a template that is not quite right pull in one direction as long as the neighbourhood stays. Only the
rest looks like noise. A filter that takes all of it for noise finds less noise in the motion than there is, and
temperatures that are too low.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from colloidlab.model.tensors import float64

_LEAST_SIGMA = 1e-4
"""Where the search for an unknown localisation error begins at the least, px."""


class LocalisationError(nn.Module):
    """One localisation error for all, px, where the recording states none."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.log(float64(max(sigma, _LEAST_SIGMA))))

    @property
    def variance(self) -> Tensor:
        return (2 * self.log_sigma).exp()

    def of(self, stated: Tensor) -> Tensor:
        """Variance of what is new, of the same shape as the stated one, px^2."""
        return stated + self.variance


class ErrorScale(nn.Module):
    """The share of the stated localisation errors that is new in every frame."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.log(float64(scale)))

    @property
    def scale(self) -> Tensor:
        """Factor on the stated sigma."""
        return self.log_scale.exp()

    def of(self, stated: Tensor) -> Tensor:
        """Variance of what is new, of the same shape as the stated one, px^2."""
        return stated * (2 * self.log_scale).exp()


FittedError = LocalisationError | ErrorScale

"""Finding particles in images: positions, apparent radii and believable localisation errors."""

from colloidlab.features.estimation import estimate
from colloidlab.features.localisation_error import calibrate_sigma
from colloidlab.features.location import FEATURE_COLUMNS, locate, locate_frames
from colloidlab.features.parameters import LocateParameters, default_separation

__all__ = [
    "FEATURE_COLUMNS",
    "LocateParameters",
    "calibrate_sigma",
    "default_separation",
    "estimate",
    "locate",
    "locate_frames",
]

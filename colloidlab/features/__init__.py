"""Finding particles in images: positions, apparent radii and believable localisation errors."""

from colloidlab.features.circles import CircleSearch
from colloidlab.features.estimation import Estimator, estimate
from colloidlab.features.frames import locate_frames
from colloidlab.features.joint_choice import MethodChoice, choose_method
from colloidlab.features.localisation_error import calibrate_sigma
from colloidlab.features.location import FEATURE_COLUMNS, locate
from colloidlab.features.parameters import LocateParameters, Method, default_separation
from colloidlab.features.template import Template

__all__ = [
    "FEATURE_COLUMNS",
    "CircleSearch",
    "Estimator",
    "LocateParameters",
    "Method",
    "MethodChoice",
    "Template",
    "calibrate_sigma",
    "choose_method",
    "default_separation",
    "estimate",
    "locate",
    "locate_frames",
]

"""Displays: figures of what smreg computed. They need matplotlib (``pip install smreg[plots]``)."""

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError(
        "smreg.plots needs matplotlib, which could not be imported: pip install smreg[plots]"
    ) from error

from smreg.plots._coefficient_path import CoefficientPathDisplay
from smreg.plots._coefficients import CoefficientDisplay
from smreg.plots._logit_plane import LogitPlaneDisplay
from smreg.plots._probability_temperature import ProbabilityTemperatureDisplay
from smreg.plots._reliability import ReliabilityDisplay
from smreg.plots._score_path import ScorePathDisplay
from smreg.plots._simplex import SimplexDisplay
from smreg.plots._style import class_colours
from smreg.plots._temperature import TemperatureDisplay

__all__ = [
    "CoefficientDisplay",
    "CoefficientPathDisplay",
    "LogitPlaneDisplay",
    "ProbabilityTemperatureDisplay",
    "ReliabilityDisplay",
    "ScorePathDisplay",
    "SimplexDisplay",
    "TemperatureDisplay",
    "class_colours",
]

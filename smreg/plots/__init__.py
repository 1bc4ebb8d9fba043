"""Displays: figures of what smreg computed. They need matplotlib (``pip install smreg[plots]``)."""

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError(
        "smreg.plots needs matplotlib, which could not be imported: pip install smreg[plots]"
    ) from error

from smreg.plots._coefficient_path import CoefficientPathDisplay
from smreg.plots._score_path import ScorePathDisplay
from smreg.plots._style import class_colours

__all__ = ["CoefficientPathDisplay", "ScorePathDisplay", "class_colours"]

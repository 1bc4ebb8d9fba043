"""A metric that was made for a problem, and is shared by the searches of its parts."""

from dataclasses import dataclass

from smreg.objective.coordinates import Coordinates
from smreg.optimize.metric import JITTER
from smreg.optimize.protocol import Preconditioner


@dataclass(frozen=True)
class Shared:
    """A metric, and the coordinates that it is in."""

    coordinates: Coordinates
    metric: Preconditioner


def is_apart(part: Coordinates, full: Coordinates) -> bool:
    """Whether coordinates of its own are needed: for fewer classes, or a feature of far less spread.

    Or, without a penalty, since other features determine others.
    """
    if len(part.coding) < len(full.coding):
        return True
    if part.determined is not None and ((part.spread > 0) != (full.spread > 0)).any():
        return True
    narrow = JITTER**0.25  # ratio of two spreads: a metric, with its jitter, can bear the square of more
    return bool(((part.spread > 0) & (part.spread < narrow * full.spread)).any())

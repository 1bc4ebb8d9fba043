"""Fewer features that suffice: which problem a problem is replaced by."""

from smreg.data.matrix import MatrixRows
from smreg.data.statistics import statistics
from smreg.objective.factors import Factors
from smreg.objective.penalty import Penalty
from smreg.objective.rowspace import RowSpace, is_resolved, is_wide
from smreg.objective.singletons import Singletons, has_singletons


def reduction(
    rows: MatrixRows | None,
    weakest: Penalty,
    strength: float,
    factors: Factors,
    *,
    n_used: int,
    centred: bool,
) -> RowSpace | Singletons | None:
    """The features that suffice, if they are fewer and X is at hand.

    Parameters
    ----------
    rows : MatrixRows or None
        With weights that sum to one.
    weakest : Penalty
        The weakest that will be asked for.
    strength : float
        Of it, without factors.
    factors : Factors
        Of the penalty.
    n_used : int
        Rows of positive weight.
    centred : bool
        Whether there are intercepts.
    """
    is_uniform = factors.is_uniform and weakest.is_uniform
    if rows is None or not (is_uniform or _has_units(weakest, factors, n_used)):
        return None
    penalty = float(weakest.ridge) if is_uniform else strength
    if is_wide(rows, n_used, penalised=penalty > 0):
        columns = statistics(rows)
        scaled = columns if is_uniform else columns.times(factors.units)
        if is_resolved(scaled, centred=centred, penalty=penalty):
            return RowSpace(rows, columns, centred=centred, penalty=penalty, factors=factors)
    return Singletons(rows) if is_uniform and has_singletons(rows) else None


def _has_units(weakest: Penalty, factors: Factors, n_used: int) -> bool:
    """Whether there is a ridge with factors that are units of features, but for a few without one."""
    if factors.is_uniform or weakest.is_zero or not (weakest.is_smooth and weakest.is_shared):
        return False
    return len(factors.free) < n_used and bool(factors.units.any())

"""Kernels: functions of a block of rows, the results that they leave, and requests for passes of them.

A *kernel* is a function of a `Block` and of arguments that are the same for all blocks. It belongs to a
module, not to a call, so that it can be sent to another process. What it returns for the blocks is added up
in their order (`sum_of`), so that the number of threads changes no bit of any sum, or kept (`Kept`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block

Array = NDArray[np.float64]


Result = TypeVar("Result")
Kernel = Callable[..., Result]


@dataclass(frozen=True)
class Kept(Generic[Result]):
    """One result for each block, to be handed to another kernel."""

    results: list[Result]
    thread_map: Callable[..., Any] = map

    def map_reduce(self, kernel: Callable[..., Any], *arguments: Any) -> Any:
        """The sum of ``kernel(result, *arguments)``."""
        return sum_of(self.keep(kernel, *arguments).results)

    def keep(self, kernel: Callable[..., Any], *arguments: Any) -> "Kept[Any]":
        """The results of another kernel, which takes these, and of each block what else is kept."""

        def of(number: int) -> Any:
            own = (a.results[number] if isinstance(a, Kept) else a for a in arguments)
            return kernel(self.results[number], *own)

        some_map = self.thread_map if len(self.results) > 1 else map
        return Kept(list(some_map(of, range(len(self.results)))), self.thread_map)

    def gather(self) -> list[Result]:
        """The results, in the order of the blocks."""
        return self.results

    def of(self, block: Block) -> Result:
        """The result of a block."""
        return self.results[block.number]


def sum_of(parts: Iterable[Result]) -> Result:
    """The sum of numbers, arrays or lists, or of each entry of tuples of them, made in the first."""
    return reduce(_added, parts)


def _added(total: Any, part: Any) -> Any:
    if isinstance(total, tuple):
        return tuple(map(_added, total, part))
    total += part
    return total


@dataclass(frozen=True)
class Sum:
    """The sum of what a kernel returns: a call of `Rows.map_reduce` that is still to be made.

    Attributes
    ----------
    kernel : callable
        To be called with each block and the arguments.
    arguments : tuple
        Those.
    size, dense, result
        Hints.
    name : str
        That of the pass.
    """

    kernel: Kernel[Any]
    arguments: tuple[Any, ...]
    size: int | None = None
    dense: bool = False
    result: int = 1
    name: str = ""

    @property
    def blocks(self) -> tuple[int | None, bool]:
        """The hints on which blocks depend."""
        return self.size, self.dense


@dataclass(frozen=True)
class Draw:
    """A systematic sample by the mass that a kernel gives every row.

    Attributes
    ----------
    kernel, arguments, hints
        As of a pass.
    size : int
        How many rows at most.
    thresholds : list of tuples
        What each part of the store gets, see `thresholds_of_parts`.
    """

    kernel: Kernel[Array]
    arguments: tuple[Any, ...]
    hints: dict[str, Any]
    size: int
    thresholds: list[tuple[float, float, int]]

    name = "sample"


def in_order(requests: Sequence[Sum | Draw], totals: Iterable[Any], samples: Iterable[Any]) -> list[Any]:
    """Sums and samples in the order in which they were asked for."""
    of_sums, of_draws = iter(totals), iter(samples)
    return [next(of_sums if isinstance(request, Sum) else of_draws) for request in requests]


def each(block: Block, sums: Sequence[Sum]) -> tuple[Any, ...]:
    """What the kernels of several sums return for a block."""
    return tuple(total.kernel(block, *total.arguments) for total in sums)


def listed(block: Block, kernel: Kernel[Result], *arguments: Any) -> list[Result]:
    """What a kernel returns for a block, as a list: their sum is that of all blocks."""
    return [kernel(block, *arguments)]


def of_edited(
    block: Block, edit: Callable[[Block], Block], kernel: Kernel[Result], *arguments: Any
) -> Result:
    """What a kernel returns for a block that has been edited."""
    return kernel(edit(block), *arguments)


def innermost(kernel: Kernel[Any], arguments: Sequence[Any]) -> Kernel[Any]:
    """The kernel that another is made of, which a pass is named after."""
    while kernel in (listed, of_edited):
        place = 0 if kernel is listed else 1
        kernel, arguments = arguments[place], arguments[place + 1 :]
    return kernel

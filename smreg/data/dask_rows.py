"""Rows in partitions that Dask holds or reads: what a pass costs there, and what it leaves nowhere.

A pass is one graph: a task for each partition, which runs the kernel on its blocks, and a tree of sums whose
shape depends on the number of partitions alone. The same partitions therefore give the same bits, whatever
the number of workers, their speed or their death. Dask schedules the tasks, moves the data and repeats what
was lost; parameters travel with the graph of a pass, so that they are never lost with a worker.

What a kernel leaves for another, see `smreg.data.rows.Kept`, stays where it was made. Only sums come back.

**Planning.** On w workers a pass over n rows, of p features and K classes, in m partitions takes each about
``4 n p K / w`` operations, or the time to read its part where the partitions are not in memory. Parameters of
``8 K p`` bytes go out to every worker once, gradients of that size come back along ``log_8 m`` levels of the
tree, and client and scheduler spend one to two milliseconds on each of ``8 m / 7`` tasks: 60 ms for 32
partitions, where 12500 x 50 numbers and 10 classes take a worker 3 ms for each. With 100 workers, 1000
partitions, p = 1000 and K = 10 that is 80 kB out and in for each, four levels, and two seconds for a pass:
partitions should take seconds, not milliseconds, so that n is a hundred million rows or more. Hessians return
``8 (K p)**2`` bytes from each partition and are factorised where `fit` was called: from K p of about 5000,
200 MB for each, that limits. Only the blocks of the classes are used then, and from p of about 3000 none, but
the search goes on with what L-BFGS learns: more passes, but each as cheap as before. The client holds a few
vectors of the coefficients and the factors of a metric, up to 256 MiB, whatever n is.

Dask's workers return freed memory to the system at once (``MALLOC_TRIM_THRESHOLD_`` in its configuration of
nannies), which makes evaluations a third slower than without: 94 ms in the place of 71 for 400000 x 50.
"""

from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from operator import is_
from typing import Any
from uuid import uuid4

import dask
import numpy as np
from dask._task_spec import List, Task, TaskRef
from dask.delayed import Delayed, delayed
from dask.highlevelgraph import HighLevelGraph
from dask.sizeof import sizeof
from numpy.typing import NDArray

from smreg.data.matrix import MatrixRows
from smreg.data.rows import (
    Kept,
    Kernel,
    Result,
    Rows,
    innermost,
    met_from,
    sum_of,
    thresholds_of_parts,
)
from smreg.data.threads import one_blas_thread

Array = NDArray[np.float64]

ARITY = 8  # of the tree of sums


class DaskRows(Rows):
    """Rows in the partitions of Dask collections.

    Parameters
    ----------
    parts : sequence of Delayed
        `MatrixRows`, with a row at least each.
    attributes
        What is known of all rows, see `smreg.data.rows.Rows`.

    Attributes
    ----------
    passes : int
        How often the rows were read.
    """

    can_sample = True

    def __init__(self, parts: Sequence[Delayed], **attributes: Any) -> None:
        self.parts, self.passes = parts, 0
        for name, value in attributes.items():
            setattr(self, name, value)

    def map_reduce(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Result:
        """The sum of what the kernel returns, in one pass."""
        self.passes += 1
        total: Result = total_of(_calls("map_reduce", self.parts, kernel, arguments, hints))
        return total

    def keep(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Kept[Result]:
        """What the kernel returns for every block, where the block is."""
        self.passes += 1
        return KeptByDask(_calls("keep", self.parts, kernel, arguments, hints))

    def sampled(self, mass: Kept[Array], size: int) -> "DaskRows":
        """A systematic sample, drawn in every partition by the mass of those before."""
        assert isinstance(mass, KeptByDask)
        self.passes += 1
        totals = np.array(dask.compute(*tasks("smreg-mass", _mass, mass.parts)))
        thresholds = thresholds_of_parts(totals, size)
        met = [place for place, (_, _, count) in enumerate(thresholds) if count > 0]
        drawn = [[items[place] for place in met] for items in (self.parts, mass.parts, thresholds)]
        parts = tasks("smreg-sample", _met, *drawn)
        known = {name: getattr(self, name) for name in Rows.__annotations__}
        known |= {"n_samples": size, "tally": None, "statistics": None}
        return DaskRows(dask.persist(*parts), **known)


class KeptByDask(Kept[Result]):
    """Results that stay in Dask's memory, one `Kept` for each partition."""

    def __init__(self, parts: Sequence[Delayed]) -> None:
        object.__setattr__(self, "parts", dask.persist(*parts))

    parts: Sequence[Delayed]

    def map_reduce(self, kernel: Callable[..., Any], *arguments: Any) -> Any:
        """The sum of ``kernel(result, *arguments)``."""
        return total_of(_calls("map_reduce", self.parts, kernel, arguments, {}))

    def keep(self, kernel: Callable[..., Any], *arguments: Any) -> "Kept[Any]":
        """The results of another kernel, which takes these."""
        return KeptByDask(_calls("keep", self.parts, kernel, arguments, {}))

    def gather(self) -> list[Result]:
        """The results, in the order of the blocks."""
        return [result for part in dask.compute(*self.parts) for result in part.gather()]


@dataclass(frozen=True)
class _Place:
    """Stands for what is kept of a partition, by its place among all that is kept."""

    number: int


def _calls(
    method: str,
    parts: Sequence[Delayed],
    kernel: Kernel[Any],
    arguments: Sequence[Any],
    hints: dict[str, Any],
) -> list[Delayed]:
    """A task for each partition that hands a kernel to a method of it, or of what is kept of it."""
    token, kept = uuid4().hex, [argument for argument in arguments if isinstance(argument, KeptByDask)]
    places = iter(range(len(kept)))
    sent = [_Place(next(places)) if isinstance(a, KeptByDask) else a for a in arguments]
    parameters = delayed((kernel, sent, hints), name=f"smreg-parameters-{token}", traverse=False)
    name = f"smreg-{innermost(kernel, arguments).__name__.strip('_').replace('_', '-')}"
    return tasks(name, _call, parts, *(argument.parts for argument in kept), method=method, sent=parameters)


def tasks(name: str, function: Callable[..., Any], *parts: Sequence[Any], **arguments: Any) -> list[Delayed]:
    """A task of that name for the items of every partition.

    All are one layer of a graph: as many calls of `delayed` would take twenty times as long.
    """
    layer, items, needed = f"{name}-{uuid4().hex}", list(zip(*parts, strict=True)), list[Delayed]()
    shared = {key: _reference(argument, needed) for key, argument in arguments.items()}
    made = {
        key: Task(key, _on_aligned, function, *(_reference(part, needed) for part in item), **shared)
        for key, item in ((f"{layer}-{number}", item) for number, item in enumerate(items))
    }
    graph = HighLevelGraph.from_collections(layer, made, needed)
    return [Delayed(key, graph, layer=layer) for key in made]


def _on_aligned(function: Callable[..., Any], *items: Any, **arguments: Any) -> Any:
    return function(*map(aligned, items), **aligned(arguments))


def aligned(value: Any) -> Any:
    """The same, with all arrays at addresses that suit their numbers.

    Others come out of messages between processes, and their products are summed up in another order: which
    worker has computed something would change the last bits.
    """
    if isinstance(value, np.ndarray):
        return value if value.flags.aligned else value.copy()
    if isinstance(value, list | tuple):
        made: Any = [aligned(each) for each in value]
        return value if all(map(is_, made, value)) else type(value)(made)
    if isinstance(value, dict):
        of_all = {key: aligned(each) for key, each in value.items()}
        return value if all(of_all[key] is each for key, each in value.items()) else of_all
    if isinstance(value, type) or not type(value).__module__.startswith(("smreg.", "scipy.sparse")):
        return value
    changed = {key: made for key, each in vars(value).items() if (made := aligned(each)) is not each}
    if changed:
        value = copy(value)
        vars(value).update(changed)
    return value


def _reference(item: Any, needed: list[Delayed]) -> Any:
    """An argument of a task: the result of another, which is needed then, a list of such, or what it is."""
    if isinstance(item, list):
        return List(*(_reference(each, needed) for each in item))
    if not isinstance(item, Delayed):
        return item
    needed.append(item)
    return TaskRef(item.key)


def _call(
    part: Any, *kept: Kept[Any], method: str, sent: tuple[Kernel[Any], list[Any], dict[str, Any]]
) -> Any:
    kernel, arguments, hints = sent
    own = [kept[a.number] if isinstance(a, _Place) else a for a in arguments]
    with one_blas_thread:
        return getattr(part, method)(kernel, *own, **hints)


def total_of(parts: list[Delayed]) -> Any:
    """The sum of what tasks return, by a tree that depends on their number alone."""
    while len(parts) > 1:
        groups = [parts[first : first + ARITY] for first in range(0, len(parts), ARITY)]
        parts = tasks("smreg-sum", _sum, groups)
    return aligned(parts[0].compute())


def _sum(parts: Sequence[Any]) -> Any:
    """The same of a few, none of which is changed: a task may be repeated."""
    return sum_of([deepcopy(parts[0]), *parts[1:]])


def _mass(kept: Kept[Array]) -> float:
    return float(sum(mass.sum() for mass in kept.gather()))


def _met(part: MatrixRows, kept: Kept[Array], thresholds: tuple[float, float, int]) -> MatrixRows:
    """Rows of a partition that are met, copied."""
    met = met_from(np.concatenate(kept.gather()), *thresholds)
    return part.copied(met.index, part.weights[met.index] * met.factors)


def _size(held: Any) -> int:
    """Bytes, by which Dask decides what to hold in memory: these are no arrays that it knows."""
    return sum(_size(value) if hasattr(value, "__dict__") else sizeof(value) for value in vars(held).values())


for kind in (MatrixRows, Kept):
    sizeof.register(kind, _size)

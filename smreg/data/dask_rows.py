"""Rows in partitions that Dask holds or reads: what a pass costs there, and what it leaves nowhere.

A pass is one graph: a task for each partition, which runs the kernel on its blocks, and a tree of sums whose
shape depends on the number of partitions alone. The same partitions therefore give the same bits, whatever
the number of workers, their speed or their death. Dask schedules the tasks, moves the data and repeats what
was lost; parameters travel with the graph of a pass, so that they are never lost with a worker.

What a kernel leaves for another, see `smreg.data.kernels.Kept`, stays where it was made. Only sums come back.

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
from typing import Any, Self
from uuid import uuid4
from weakref import WeakSet

import dask
import numpy as np
from dask._task_spec import List, Task, TaskRef
from dask.base import get_scheduler
from dask.delayed import Delayed, delayed
from dask.highlevelgraph import HighLevelGraph
from dask.sizeof import sizeof
from numpy.typing import NDArray

from smreg.data.kernels import Draw, Kept, Kernel, Result, Sum, in_order, innermost, sum_of
from smreg.data.matrix import MatrixRows
from smreg.data.parts import PartedRows, Read, answered
from smreg.data.rows import Rows
from smreg.data.systematic_sampling import thresholds_of_parts
from smreg.data.threads import one_blas_thread, one_blas_thread_for_tasks

Array = NDArray[np.float64]

ARITY = 8  # of the tree of sums

# Tasks are named after the module of their kernel, or where that says less to a reader of the dashboard, so.
# (The dashboard takes words of eight letters that begin with one from a to f, as "evaluate", for tokens.)
TASKS = {
    "cross_entropy": "evaluation",
    "null_metric": "information",
    "working": "information",
    "sampling": "sample",
    "recession": "separation",
    "overlap": "separation",
    "parts": "statistics",
    "tally": "statistics",
}


def client_in_use() -> Any:
    """The client of a cluster, or None."""
    client = getattr(get_scheduler(), "__self__", None)
    return client if hasattr(client, "scheduler_info") else None


class Held:
    """What a cluster holds for a fit.

    A result is freed when nothing refers to it any more, and all are by `release`: the traceback of an
    error, or of Ctrl-C, refers to much, for long.

    Parameters
    ----------
    keeps : bool
        Whether results that kernels leave for others are held: else they are made again for each use.
    """

    def __init__(self, keeps: bool = True) -> None:
        self._futures: WeakSet[Any] = WeakSet()
        self.keeps = keeps

    def persist(self, parts: Sequence[Any]) -> list[Any]:
        """The same, whose results are made now and held where they are made."""
        made = list(dask.persist(*parts))
        if client_in_use() is not None:
            from distributed import futures_of

            self._futures.update(futures_of(made))
        return made

    def release(self) -> None:
        """Free them."""
        for future in list(self._futures):
            future.release()


class DaskRows(PartedRows):
    """Rows in the partitions of Dask collections.

    Parameters
    ----------
    parts : sequence of Delayed
        `MatrixRows`, with a row at least each.
    held : Held
        To which is added what is kept of them.
    lengths : sequence of int
        Rows of all partitions of the collection, also of those that have none.
    attributes
        What is known of all rows, see `smreg.data.rows.Rows`.

    Attributes
    ----------
    passes : int
        How often the rows were read.
    """

    def __init__(
        self, parts: Sequence[Delayed], held: Held, *, lengths: Sequence[int] = (), **attributes: Any
    ) -> None:
        self.parts, self.held, self.lengths, self.passes = parts, held, lengths, 0
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
        return KeptByDask(_calls("keep", self.parts, kernel, arguments, hints), self.held)

    def close(self) -> None:
        """Free what a cluster holds."""
        self.held.release()

    def sampled(self, mass: Kept[Array], size: int) -> "DaskRows":
        """A systematic sample, drawn in every partition by the mass of those before."""
        assert isinstance(mass, KeptByDask)
        self.passes += 1
        totals = np.array(dask.compute(*tasks("smreg-mass", _mass, mass.parts)))
        of_parts = zip(self.parts, mass.parts, thresholds_of_parts(totals, size), strict=True)
        met = zip(*((part, masses, at) for part, masses, at in of_parts if at[-1] > 0), strict=True)
        return self._sample(self.held.persist(tasks("smreg-sample", _met, *met)))

    def read(self, requests: Sequence[Sum | Draw]) -> list[Any]:
        """Several sums and samples, each the same as by itself, in one pass."""
        self.passes += 1
        sums = [request for request in requests if isinstance(request, Sum)]
        draws = [request for request in requests if isinstance(request, Draw)]
        sent = delayed((sums, draws), name=f"smreg-parameters-{uuid4().hex}", traverse=False)
        name = _name(requests[0].name if len({request.name for request in requests}) == 1 else "shared")
        made = tasks(name, _answered, self.parts, range(len(self.parts)), sent=sent)
        total = _tree(tasks("smreg-sums", _sums, made))
        drawn = [
            tasks("smreg-sample", _drawn, _met_in(made, draw), place=1 + k) for k, draw in enumerate(draws)
        ]
        (totals, *samples) = self.held.persist([total, *drawn])
        return in_order(requests, aligned(totals.compute()), map(self._sample, samples))

    def of_parts(self, function: Callable[[MatrixRows], Result]) -> list[Result]:
        """What a function makes of every partition, in one pass."""
        self.passes += 1
        return list(dask.compute(*tasks(_name(function.__module__), function, self.parts)))

    def with_parts(
        self, function: Callable[..., MatrixRows], *items: Sequence[Any], **arguments: Any
    ) -> Self:
        """Rows whose partitions are what a function makes of these."""
        made = copy(self)
        made.parts = tasks(_name(function.__module__), function, self.parts, *items, **arguments)
        return made

    def _sample(self, parts: Sequence[Delayed]) -> "DaskRows":
        """The rows that were drawn, of which some may have been met several times."""
        size = sum(dask.compute(*tasks("smreg-length", _length, parts)))
        known = {name: getattr(self, name) for name in Rows.__annotations__}
        known |= {"n_samples": size, "tally": None, "statistics": None}
        return DaskRows(parts, self.held, **known)


class KeptByDask(Kept[Result]):
    """Results that Dask holds, one `Kept` for each partition, or how they are made."""

    parts: Sequence[Delayed]
    held: Held

    def __init__(self, parts: Sequence[Delayed], held: Held) -> None:
        object.__setattr__(self, "parts", held.persist(parts) if held.keeps else parts)
        object.__setattr__(self, "held", held)

    def map_reduce(self, kernel: Callable[..., Any], *arguments: Any) -> Any:
        """The sum of ``kernel(result, *arguments)``."""
        return total_of(_calls("map_reduce", self.parts, kernel, arguments, {}))

    def keep(self, kernel: Callable[..., Any], *arguments: Any) -> "Kept[Any]":
        """The results of another kernel, which takes these."""
        return KeptByDask(_calls("keep", self.parts, kernel, arguments, {}), self.held)

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
    name = _name(innermost(kernel, arguments).__module__)
    return tasks(name, _call, parts, *(argument.parts for argument in kept), method=method, sent=parameters)


def _name(module: str) -> str:
    """That of a pass with a kernel of a module."""
    module = module.rpartition(".")[2]
    return f"smreg-{TASKS.get(module, module.replace('_', '-'))}"


def tasks(name: str, function: Callable[..., Any], *parts: Sequence[Any], **arguments: Any) -> list[Delayed]:
    """A task of that name for the items of every partition, which has a thread.

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
    return alone(function, *map(aligned, items), **aligned(arguments))


def aligned(value: Any) -> Any:
    """The same, with all arrays at addresses that suit their numbers.

    Others come out of messages between processes, and their products are summed up in another order: which
    worker has computed something would change the last bits.
    """
    if isinstance(value, np.ndarray):
        return value if value.flags.aligned else value.copy("K")  # in the same order
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


def alone(function: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """Call a function with one thread: others belong to other tasks, or to nobody who is asked."""
    with one_blas_thread_for_tasks:
        return function(*arguments, **options)


def _call(
    part: Any, *kept: Kept[Any], method: str, sent: tuple[Kernel[Any], list[Any], dict[str, Any]]
) -> Any:
    kernel, arguments, hints = sent
    own = [kept[a.number] if isinstance(a, _Place) else a for a in arguments]
    return getattr(part, method)(kernel, *own, **hints)


def total_of(parts: list[Delayed]) -> Any:
    """The sum of what tasks return."""
    with one_blas_thread():
        return aligned(_tree(parts).compute())


def _tree(parts: list[Delayed]) -> Delayed:
    """The task that adds up, by a tree that depends on their number alone."""
    while len(parts) > 1:
        groups = [parts[first : first + ARITY] for first in range(0, len(parts), ARITY)]
        parts = tasks("smreg-sum", _sum, groups)
    return parts[0]


def _answered(part: MatrixRows, number: int, sent: tuple[list[Sum], list[Draw]]) -> tuple[Any, ...]:
    return answered(part, number, *sent)


def _met_in(parts: list[Delayed], draw: Draw) -> list[Delayed]:
    """Those of the partitions that a sample has rows of."""
    return [part for part, at in zip(parts, draw.thresholds, strict=True) if at[-1] > 0]


def _sums(made: tuple[Any, ...]) -> Any:
    return made[0]


def _drawn(made: tuple[Any, ...], place: int) -> MatrixRows:
    rows: MatrixRows = made[place][0]
    return rows


def _sum(parts: Sequence[Any]) -> Any:
    """The same of a few, none of which is changed: a task may be repeated."""
    return sum_of([deepcopy(parts[0]), *parts[1:]])


def _length(part: MatrixRows) -> int:
    return part.n_samples


def _mass(kept: Kept[Array]) -> float:
    return float(sum(mass.sum() for mass in kept.gather()))


def _met(part: MatrixRows, kept: Kept[Array], at: tuple[float, float, int]) -> MatrixRows:
    return part.met(kept, at)


def _size(held: Any) -> int:
    """Bytes, by which Dask decides what to hold in memory: these are no arrays that it knows."""
    return sum(_size(value) if hasattr(value, "__dict__") else sizeof(value) for value in vars(held).values())


for kind in (MatrixRows, Kept, Read):
    sizeof.register(kind, _size)

"""Passes over the rows that several fits share: each runs as it does alone, and they meet where they read.

Every *participant* is a thread. Where it asks for a sum over the rows it waits until all others that still
run ask for one, too, or have ended. One pass then makes all of these sums, each of them the same bits as
alone. So there are as many passes as the participant takes that takes most, not as all of them together.

Nothing is kept with the rows: what a kernel leaves for another is made again where it is used, so that any
number of participants takes no more memory than the rows.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from threading import Condition, Semaphore, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smreg.data.block import Block
from smreg.data.kernels import Draw, Kept, Kernel, Result, Sum, innermost
from smreg.data.rows import Rows
from smreg.data.systematic_sampling import thresholds_of_parts

Array = NDArray[np.float64]

# What participants get of one pass, beyond which others wait for the next: numbers that are returned for a
# partition, 32 MiB, and those that samples have, 256 MiB.
MOST_RETURNED, MOST_DRAWN = 2.0**22, 2.0**25


class SharedRows(Rows):
    """Rows that are read in passes which all participants of a `Meeting` share.

    Outside of one, every pass is made at once.

    Parameters
    ----------
    rows : Rows
        The store.
    """

    most_kept = 0.0

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        for name in set(Rows.__annotations__) - {"most_kept", "thread_map"}:
            setattr(self, name, getattr(rows, name))

    def map_reduce(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Result:
        """The sum of what the kernel returns, in a pass with others."""
        name, recipe = innermost(kernel, arguments).__module__, Recipe.of(kernel, arguments)
        total: Result = self._ask(Sum(recipe.kernel, recipe.arguments, **hints, name=name))
        return total

    def keep(self, kernel: Kernel[Result], *arguments: Any, **hints: Any) -> Kept[Result]:
        """How to make again what the kernel returns for every block: it takes no pass."""
        return Remade(self, Recipe.of(kernel, arguments), hints)

    def sampled(self, mass: Kept[Array], size: int) -> Rows:
        """A systematic sample, in two passes with others."""
        assert isinstance(mass, Remade)
        of_blocks = self.map_reduce(_numbered_masses, mass.recipe, **mass.hints)
        parts = np.cumsum([number == 0 for number, _ in of_blocks]) - 1  # each begins with its first block
        totals = np.bincount(parts, [total for _, total in of_blocks]).astype(np.float64)
        drawn: Rows = self._ask(Draw(mass.recipe, (), mass.hints, size, thresholds_of_parts(totals, size)))
        return drawn

    def _ask(self, request: Sum | Draw) -> Any:
        seat = _seat.get()
        return self.rows.read([request])[0] if seat is None else seat.ask(request)


@dataclass(frozen=True)
class Recipe:
    """A kernel with its arguments, among which may be other recipes, for what they make of the same block."""

    kernel: Kernel[Any]
    arguments: tuple[Any, ...]

    @classmethod
    def of(cls, kernel: Kernel[Any], arguments: Sequence[Any]) -> "Recipe":
        """With recipes in the place of what they make."""
        recipes = [argument.recipe if isinstance(argument, Remade) else argument for argument in arguments]
        if any(isinstance(argument, Recipe) for argument in recipes):
            return cls(_with_made, (kernel, *recipes))
        return cls(kernel, tuple(recipes))

    def __call__(self, block: Block) -> Any:
        """What it makes of a block."""
        return self.kernel(block, *self.arguments)


class Remade(Kept[Result]):
    """Results that are made again for each use."""

    def __init__(self, rows: SharedRows, recipe: Recipe, hints: dict[str, Any]) -> None:
        for name, value in {"rows": rows, "recipe": recipe, "hints": hints}.items():
            object.__setattr__(self, name, value)

    rows: SharedRows
    recipe: Recipe
    hints: dict[str, Any]

    def map_reduce(self, kernel: Callable[..., Any], *arguments: Any) -> Any:
        """The sum of ``kernel(result, *arguments)``, in a pass."""
        return self.rows.map_reduce(_of_result, self, kernel, *arguments, **self.hints)

    def keep(self, kernel: Callable[..., Any], *arguments: Any) -> Kept[Any]:
        """The results of another kernel, which takes these."""
        return self.rows.keep(_of_result, self, kernel, *arguments, **self.hints)

    def gather(self) -> list[Result]:
        """The results, in the order of the blocks, in a pass."""
        return list(self.rows.map_blocks(self.recipe.kernel, *self.recipe.arguments, **self.hints))


@dataclass(frozen=True)
class _Made:
    """A result for the block at hand, in the place of those for all."""

    result: Any

    def of(self, block: Block) -> Any:
        return self.result


def _with_made(block: Block, kernel: Kernel[Any], *arguments: Any) -> Any:
    return kernel(block, *(_Made(a(block)) if isinstance(a, Recipe) else a for a in arguments))


def _of_result(block: Block, made: _Made, kernel: Callable[..., Any], *arguments: Any) -> Any:
    return kernel(made.result, *(a.result if isinstance(a, _Made) else a for a in arguments))


def _numbered_masses(block: Block, masses: _Made) -> list[tuple[int, float]]:
    """A block's mass, in a list of those of all blocks."""
    return [(block.number, float(masses.result.sum()))]


_seat: ContextVar["_Seat | None"] = ContextVar("seat", default=None)


class _EndedError(BaseException):
    """Ends a participant, since another has failed."""


class Meeting:
    """Participants that share passes: who calls `run` makes them, whenever all that run wait for one.

    Parameters
    ----------
    rows : SharedRows
        What is read.
    most : int
        Participants at a time: others begin as these end.
    n_threads : int
        How many of them compute at a time.
    """

    def __init__(self, rows: SharedRows, most: int, n_threads: int) -> None:
        self._rows, self._most, self.slots = rows, most, Semaphore(n_threads)
        self.changed = Condition()
        self.is_ended = False
        self.n_running = 0
        self._seats: list[_Seat] = []
        self._queue: deque[_Seat] = deque()
        self._threads: list[Thread] = []

    def submit(self, job: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Add a participant, also from one that runs. The result is there when `run` has ended."""
        seat = _Seat(self, job, arguments)
        with self.changed:
            self._queue.append(seat)
            self._admit()
        return seat.result

    def run(self) -> None:
        """Make passes until all participants have ended; the first error ends all."""
        try:
            while seats := self._waiting():
                served = list(_together(seats, self._rows.numbers_per_row))
                requests = [seat.request for seat in served if seat.request is not None]
                self._answer(served, self._rows.rows.read(requests))  # to which no name refers afterwards
        finally:
            with self.changed:
                self.is_ended = True
                self._queue.clear()
                self.changed.notify_all()
            for thread in self._threads:
                thread.join()

    def _answer(self, seats: Sequence["_Seat"], answers: Sequence[Any]) -> None:
        """Let participants go on."""
        with self.changed:
            for seat, answer in zip(seats, answers, strict=True):
                seat.request, seat.answer = None, answer
            self.n_running += len(seats)
            self.changed.notify_all()

    def _waiting(self) -> list["_Seat"]:
        """Participants that wait for a pass, when no one does anything else."""
        with self.changed:
            self.changed.wait_for(lambda: self.n_running == 0)
            for seat in self._seats:
                if seat.result.done():
                    seat.result.result()  # raises the error, if it is one
            self._seats = [seat for seat in self._seats if not seat.result.done()]
            return self._seats

    def ended(self) -> None:
        """Count a participant that has ended, and let another begin."""
        with self.changed:
            self.n_running -= 1
            self._admit()
            self.changed.notify_all()

    def _admit(self) -> None:
        """Let those begin for whom there is room."""
        n_present = sum(not seat.result.done() for seat in self._seats)
        while self._queue and n_present < self._most:
            seat, n_present = self._queue.popleft(), n_present + 1
            self._seats.append(seat)
            self.n_running += 1
            thread = Thread(target=copy_context().run, args=(seat.run,), daemon=True)
            self._threads.append(thread)
            thread.start()


class _Seat:
    """A participant: what it asks for, and what it has got."""

    def __init__(self, meeting: Meeting, job: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._meeting, self._job, self._arguments = meeting, job, arguments
        self.request: Sum | Draw | None = None
        self.answer: Any = None
        self.result = Future[Any]()

    def run(self) -> None:
        """Do the job, in a thread."""
        _seat.set(self)
        try:
            with self._meeting.slots:
                self.result.set_result(self._job(*self._arguments))
        except BaseException as error:
            self.result.set_exception(error)
        finally:
            self._meeting.ended()

    def ask(self, request: Sum | Draw) -> Any:
        """Wait for the pass that makes it."""
        meeting = self._meeting
        meeting.slots.release()
        try:
            with meeting.changed:
                self.request = request
                meeting.n_running -= 1
                meeting.changed.notify_all()
                meeting.changed.wait_for(lambda: self.request is None or meeting.is_ended)
                if self.request is not None:
                    meeting.n_running += 1
                    raise _EndedError
                answer, self.answer = self.answer, None
        finally:
            meeting.slots.acquire()
        return answer


def _together(seats: Sequence[_Seat], numbers_per_row: float) -> Iterator[_Seat]:
    """The first participants whose requests go together."""
    returned = drawn = 0.0
    for seat in seats:
        request = seat.request
        if isinstance(request, Draw):
            drawn += request.size * numbers_per_row
        elif request is not None:
            returned += request.result
        if seat is not seats[0] and (returned > MOST_RETURNED or drawn > MOST_DRAWN):
            return
        yield seat

"""A race of solvers on a data set: who reaches the goal, the seconds of timed rounds, and a table of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import geometric_mean, median
from time import perf_counter
from typing import Any, ClassVar

from fits import Worker

TOLERANCES = [10.0**-i for i in range(1, 10)]
MAX_HESSIAN = 10_000  # coefficients up to which newton-cholesky, which stores their square, is run


@dataclass
class Entry:
    """A solver, its iterations, and if it reached the goal, the seconds of every timed fit, by setting."""

    solver: str
    count: str = ""
    rounds: dict[Any, list[float]] = field(default_factory=dict)

    @property
    def missed(self) -> bool:
        """Whether the solver did not reach the goal."""
        return not self.rounds

    @property
    def setting(self) -> Any:
        """The fastest setting that reached the goal."""
        return min(self.rounds, key=lambda setting: median(self.rounds[setting]))

    def seconds(self, limit: float) -> list[float]:
        """Of every round; the limit for a miss."""
        return [limit] if self.missed else self.rounds[self.setting]

    def ratio(self, ours: "Entry", limit: float) -> float:
        """Median of the rounds' ratios to ours."""
        theirs, own = self.seconds(limit), ours.seconds(limit)
        if self.missed or ours.missed:
            return median(theirs) / median(own)
        return median(a / b for a, b in zip(theirs, own, strict=False))


def affordable(solvers: Sequence[str], n_coefficients: int) -> list[str]:
    """The solvers whose memory suffices for so many coefficients."""
    return [solver for solver in solvers if solver != "newton-cholesky" or n_coefficients <= MAX_HESSIAN]


def time_rounds(worker: Worker[Any], entries: Sequence[Entry], rounds: int) -> None:
    """Time those that reached the goal, in turn, for a number of rounds, or for a second up to five times it.

    Who would use up half the limit in all has no further round.
    """
    began = perf_counter()
    for number in range(5 * rounds):
        if number >= rounds and perf_counter() - began > 1:
            break
        for setting, seconds in ((s, r) for entry in entries for s, r in entry.rounds.items()):
            if not seconds or sum(seconds) + seconds[-1] < worker.limit / 2:
                fitted = worker.fit(setting)
                seconds.append(fitted.seconds if fitted else worker.limit)


class Table:
    """A table, aligned or in Markdown, printed as its rows come."""

    heads: ClassVar[tuple[str, ...]]
    widths: ClassVar[tuple[int, ...]]
    to_the_right: ClassVar[frozenset[str]]

    def __init__(self, *, markdown: bool) -> None:
        self.markdown = markdown
        self.row(*self.heads)
        if markdown:
            self.row(*("---:" if head in self.to_the_right else "---" for head in self.heads))

    def row(self, *cells: str) -> None:
        """Print a row."""
        padded = [f"{cell:<{width}}" for cell, width in zip(cells, self.widths, strict=True)]
        print(f"| {' | '.join(cells)} |" if self.markdown else "  ".join(padded).rstrip(), flush=True)


def seconds_and_ratio(entry: Entry, ours: Entry, limit: float) -> tuple[str, str]:
    """The cells of an entry's seconds and of their ratio to ours."""
    sign = ">" * entry.missed
    return f"{sign}{median(entry.seconds(limit)):.3g}", f"{sign}{_number(entry.ratio(ours, limit))}"


def _number(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"


def report_means(ratios: Mapping[str, Sequence[tuple[float, bool]]], data: str, limit: float) -> None:
    """Geometric means of the ratios, and the misses, of every solver on such data."""
    if not ratios:
        return
    print(f"\ngeometric mean of the ratios to smreg, on {data}:")
    for solver, pairs in ratios.items():
        misses = sum(missed for _, missed in pairs)
        text = f"{misses} missed, counted as {limit:g} s" if misses else "none missed"
        mean = geometric_mean(ratio for ratio, _ in pairs)
        print(f"  {solver:<15}  {_number(mean):>5}  {len(pairs)} sets, {text}")

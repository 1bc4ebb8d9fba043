"""The gate: no listed fit may cost more evaluations, passes or refreshes than it did.

From the root of the repository: ``python tests/benchmarks/gate.py``. Where a change is worth more counts, or
takes some away, ``python tests/benchmarks/gate.py --update "reason"`` writes `gate.json` anew.

A count is too high if it exceeds the one in `gate.json` by more than the larger of 2 and 10 %. A fit that
converged and no longer does, and a case that only one of the two knows, are faults as well. Evaluations
compute objective and gradient; passes read the rows, of X or of what stands in its place, for any purpose;
refreshes make the preconditioner anew, and of paths, searches and temperatures are not recorded. Seconds are
printed, never judged.

Counts move by some per cent with the kernel that BLAS chooses for the processor, and with NumPy's own loops.
On x86 with AVX2 both are held to what AVX2 has, by running the program anew with the variables that say so;
elsewhere counts are those of another kernel, and it says so.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from environment import describe, pinned
from gated import ALL, Case, Counts
from threadpoolctl import threadpool_info

RECORD = Path(__file__).with_name("gate.json")
JUDGED = ("evaluations", "passes", "refreshes")
MORE, PART = 2, 0.1  # by which a count may exceed that of the record: the larger of both


@dataclass(frozen=True)
class Record:
    """Counts of the cases, the kernel that they were made on, and the reasons of all updates, in order."""

    kernel: str
    reasons: tuple[str, ...]
    counts: Mapping[str, Counts]

    @classmethod
    def read(cls, path: Path) -> "Record":
        """The record in a file, an empty one if there is none."""
        if not path.exists():
            return cls("", (), {})
        stored = json.loads(path.read_text())
        counts = {name: Counts(**counts) for name, counts in stored["counts"].items()}
        return cls(stored["kernel"], tuple(stored["reasons"]), counts)

    def write(self, path: Path) -> None:
        """A case a line, for a difference to be read."""
        lines = (f"{json.dumps(name)}: {json.dumps(asdict(counts))}" for name, counts in self.counts.items())
        reasons = ",\n  ".join(map(json.dumps, self.reasons))
        path.write_text(
            f'{{\n "kernel": {json.dumps(self.kernel)},\n "reasons": [\n  {reasons}\n ],\n "counts": {{\n  '
            + ",\n  ".join(lines)
            + "\n }\n}\n"
        )


def faults(now: Mapping[str, Counts], before: Mapping[str, Counts]) -> list[str]:
    """What is worse than it was, and cases that are new or gone, a line each."""
    told = [f"{name}: {fault}" for name in now if name in before for fault in worse(now[name], before[name])]
    told += [f"{name}: a new case, which --update would add" for name in now if name not in before]
    return told + [
        f"{name}: a case that is gone, which --update would drop" for name in before if name not in now
    ]


def worse(now: Counts, before: Counts) -> list[str]:
    """What of a fit is worse than it was."""
    told = ["converges no longer"] if before.converged and not now.converged else []
    for name in JUDGED:
        count, known = getattr(now, name), getattr(before, name)
        if count is not None and known is not None and count > known + max(MORE, PART * known):
            told.append(f"{count} {name}, {known} before")
    return told


def run(cases: Mapping[str, Case], before: Record) -> dict[str, Counts]:
    """Fit all cases, and print the counts beside those of the record."""
    width = max(map(len, cases))
    print(f"{'case':{width}}" + "".join(f"  {name:>13}" for name in JUDGED) + "  seconds")
    made = {}
    for name, case in cases.items():
        made[name], seconds = case.run()
        cells = (_cell(getattr(made[name], count), before.counts.get(name), count) for count in JUDGED)
        print(
            f"{name:{width}}" + "".join(f"  {cell:>13}" for cell in cells) + f"  {seconds:7.3f}", flush=True
        )
    return made


def _cell(count: int | None, before: Counts | None, name: str) -> str:
    """A count, and in brackets that of the record where it is another."""
    if count is None:
        return ""
    known = count if before is None else getattr(before, name)
    return f"{count}" if known == count else f"{count} ({known})"


def kernel() -> str:
    """The kernels of the BLAS libraries, and what NumPy's own loops use beyond the least that it needs."""
    names = {
        f"{info.get('architecture', info['internal_api'])}" for info in threadpool_info() if _is_blas(info)
    }
    return f"BLAS {' and '.join(sorted(names))}, NumPy {' '.join(_found()) or 'baseline'}"


def _is_blas(info: dict[str, str]) -> bool:
    return info["user_api"] == "blas"


def _found() -> list[str]:
    """Extensions of the processor's instructions that NumPy uses."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[call-overload]
    return list(extensions.get("found", []))


def pin() -> None:
    """On x86 with AVX2 run this program anew, if need be, with the kernels for that and a single thread."""
    wanted = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if {"AVX2", "X86_V3"} & set(_found()):
        wanted["OPENBLAS_CORETYPE"] = "Haswell"
        newer = [name for name in _found() if name.startswith("AVX512") or name == "X86_V4"]
        wanted |= {"NPY_DISABLE_CPU_FEATURES": " ".join(newer)} if newer else {}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})


def main(arguments: list[str] | None = None, cases: Mapping[str, Case] = ALL, path: Path = RECORD) -> int:
    """Run the gate; 1 if something is worse and nobody says why."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--update", metavar="REASON", help="write the record anew, and keep the reason in it")
    options = parser.parse_args(arguments)
    if options.update is not None and not options.update.strip():
        parser.error("--update needs a reason.")
    before = Record.read(path)
    print(f"{describe()}\nkernel: {kernel()}\n")
    with pinned(1, 1):
        made = run(cases, before)
    print()
    if options.update is not None:
        Record(kernel(), (*before.reasons, options.update), made).write(path)
        print(f"{path.name} is written anew: {options.update}")
        return 0
    found = faults(made, before.counts)
    if before.kernel != kernel():
        print(f"The record is that of another kernel: {before.kernel or 'none'}.")
    print("\n".join([*found, f"{len(found)} faults in {len(made)} cases."]))
    return int(bool(found))


if __name__ == "__main__":
    pin()
    sys.exit(main())

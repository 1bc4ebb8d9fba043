"""Memory that a function takes, counted by NumPy's allocations: the same on every machine."""

import tracemalloc


def peak_of(function, *arguments):
    """Most bytes allocated at a time while the function runs, beyond what there was before."""
    function(*arguments)  # what is loaded or cached the first time does not count
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

"""A callback that records its calls."""


class Recorder:
    """Notes every hook, and asks to stop, or raises, at the end of a given step."""

    def __init__(self, stop_at=None, error=None, error_in=None):
        self.stop_at, self.error, self.error_in = stop_at, error, error_in
        self.events, self.fitted, self.seen = [], [], []

    def setup(self, estimator, context):
        """Note it."""
        self._note("setup", context)

    def teardown(self, estimator, context):
        """Note it."""
        self._note("teardown", context)

    def on_fit_task_begin(self, estimator, context):
        """Note it."""
        self._note("begin", context)

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        """Note it, and what came with it; whether to stop."""
        self._note("end", context)
        self.fitted.append(fitted_estimator)
        self.seen.append((X, y, metadata))
        at_last = context.task_name == "step" and context.task_id + 1 == self.stop_at
        if at_last and self.error is not None and self.error_in is None:
            raise self.error
        return at_last

    def _note(self, event, context):
        self.events.append((event, context.task_name, context.task_id))
        if self.error is not None and self.error_in == (event, context.task_name):
            raise self.error

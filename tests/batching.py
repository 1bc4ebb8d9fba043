"""A factory of batches that counts how often they are read."""


class Counted:
    """A factory that counts its calls."""

    def __init__(self, batches):
        self.batches, self.calls = batches, 0

    def __call__(self):
        """The batches, from the first on."""
        self.calls += 1
        return iter(self.batches)

"""What a model is fitted to: features in blocks of rows, targets and weights; threads over blocks.

Here is all that knows how X is stored, and all validation of what users pass. What is computed of a block of
rows belongs to `smreg.objective`.
"""

from smreg.data.batches import Batches

__all__ = ["Batches"]

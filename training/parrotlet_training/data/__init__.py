"""The training data path: from a corpus, a data set of the Hub or a cache to rows of tokens.

::

    units ─→ sequences ─→ stream ─→ loader          text, or a cache, at the left end
      └────→ documents ─→ document_rows             for evaluation
"""

from .evaluation import text_rows
from .loader import RowLoader
from .options import HubOptions
from .source import TrainingData
from .stream import RowOptions
from .units import DataError

__all__ = ["DataError", "HubOptions", "RowLoader", "RowOptions", "TrainingData", "text_rows"]

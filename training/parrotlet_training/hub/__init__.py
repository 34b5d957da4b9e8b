"""Publishing checkpoints on the Hugging Face Hub while they are made, and afterwards."""

from .failure import PushError
from .publisher import Patience, Publisher

__all__ = ["Patience", "Publisher", "PushError"]

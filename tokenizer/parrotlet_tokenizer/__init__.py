"""Parrotlet's tokenizer: a byte-level BPE tuned to Python, and the prompt grammar."""

from .prompt import Header
from .tokenizer import CodeTokenizer, TokenizerError

__all__ = ["CodeTokenizer", "Header", "TokenizerError"]

"""From what the model wrote to what is worth showing: one small function for each objection."""

from .chain import Filtered, post_process

__all__ = ["Filtered", "post_process"]

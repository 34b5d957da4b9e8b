"""Measures of a vocabulary: the report, and the sweep over sizes."""

from .page import page, text
from .peers import PEERS
from .report import Report, build_report
from .sweep import Size, sweep

__all__ = ["PEERS", "Report", "Size", "build_report", "page", "sweep", "text"]

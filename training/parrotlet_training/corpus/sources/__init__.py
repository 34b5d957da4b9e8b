"""Where Python comes from: one module for each kind of source."""

from .archive import Archive
from .base import Changing, Source, SourceError
from .bigquery import BigQueryExport
from .distribution import Distribution, repository_of
from .folder import Folder, standard_library
from .hub import HubDataset
from .opening import open_sources, parse_source, read_recipe
from .pypi import Wheel, download_release
from .repository import GitRepository

__all__ = [
    "Archive",
    "BigQueryExport",
    "Changing",
    "Distribution",
    "Folder",
    "GitRepository",
    "HubDataset",
    "Source",
    "SourceError",
    "Wheel",
    "download_release",
    "open_sources",
    "parse_source",
    "read_recipe",
    "repository_of",
    "standard_library",
]

"""Model bundles: their format, their check, and their making from a checkpoint."""

from .errors import BundleError
from .manifest import Bundle, Manifest, open_bundle

__all__ = ["Bundle", "BundleError", "Manifest", "open_bundle"]

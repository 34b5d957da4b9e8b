"""Near-duplicates: MinHash signatures → buckets of alike bands → exact Jaccard → what to drop.

The method is that of the deduplication of The Stack and SantaCoder (Allal et al., "SantaCoder:
don't reach for the stars!", 2023, section 4.2): 5-grams at a Jaccard similarity of 0.7.
"""

from .duplicates import DuplicateReport, near_duplicates
from .ranks import name_key, rank_documents
from .shingles import jaccard, shingles
from .signatures import SIGNATURE_WIDTH, Signatures, SignaturesError, signature, signatures_of

__all__ = [
    "SIGNATURE_WIDTH",
    "DuplicateReport",
    "Signatures",
    "SignaturesError",
    "jaccard",
    "name_key",
    "near_duplicates",
    "rank_documents",
    "shingles",
    "signature",
    "signatures_of",
]

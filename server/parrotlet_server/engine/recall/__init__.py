"""A cache language model: what the user's own files say next has a say beside the model.

Code is local: a file, and the project around it, repeats its own names and phrases (Tu, Su &
Devanbu 2014, "On the Localness of Software"). A model of a thousand tokens' sight and a few million
weights knows none of these; the files' n-grams do, as soon as they are there, without training
(Kuhn & De Mori 1990, "A Cache-Based Natural Language Model for Speech Recognition").
"""

from .mixture import Mixture, log_sum
from .ngrams import LARGEST_VOCABULARY, LONGEST, MOST_FILES, Ngrams, Tokens
from .paragraphs import LONGEST_PIECE, Paragraphs, encode, pieces

__all__ = [
    "LARGEST_VOCABULARY",
    "LONGEST",
    "LONGEST_PIECE",
    "MOST_FILES",
    "Mixture",
    "Ngrams",
    "Paragraphs",
    "Tokens",
    "encode",
    "log_sum",
    "pieces",
]

"""The language that people write comments and docstrings in.

py3langid: a naive Bayes classifier on byte n-grams (Lui and Baldwin 2012, "langid.py: An
Off-the-shelf Language Identification Tool", ACL), deterministic, 5 MB with its model, offline.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LANGUAGES = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""Those that are told apart. Fewer choices mean fewer false ones on prose full of identifiers."""

UNSURE = "not sure"
LITTLE = "too little prose"
MIN_LETTERS = 40
"""Fewer say nothing."""
MIN_WIDE_LETTERS = 12
"""The same for scripts in which a letter is a syllable or a word."""
MIN_CONFIDENCE = 0.8


def language_of(prose: str) -> str:
    """English name of the language of `prose`, or `UNSURE` or `LITTLE`."""
    letters = sum(map(str.isalpha, prose))
    wide = sum(1 for letter in prose if letter >= "\u3040" and letter.isalpha())
    if letters < MIN_LETTERS and wide < MIN_WIDE_LETTERS:
        return LITTLE
    code, confidence = _identifier().classify(prose)
    return LANGUAGES[code] if confidence >= MIN_CONFIDENCE else UNSURE


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(LANGUAGES))
    return identifier

"""From a file's bytes to its text."""

from __future__ import annotations

import codecs
import io
import tokenize


class UndecodableError(ValueError):
    """The bytes are no text of the encoding they declare (PEP 263), or no text at all."""


def decode_python(data: bytes) -> str:
    """Text of a Python file: coding cookie and byte-order mark heeded, line ends made ``\\n``.

    Raises:
        UndecodableError: on NUL bytes, an unknown encoding, or bytes that are none of it.
    """
    if b"\0" in data:
        raise UndecodableError("NUL byte")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        text.encode("utf-8")  # exotic codecs can give lone surrogates
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise UndecodableError(str(error)) from error
    text = text.removeprefix(codecs.BOM_UTF8.decode("utf-8"))
    return text.replace("\r\n", "\n").replace("\r", "\n")

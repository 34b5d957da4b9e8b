"""Replaces secrets, e-mail addresses and IP addresses by tokens: ``<KEY>``, ``<EMAIL>``, ....

After StarCoder's redaction (Li et al. 2023, section 4) without its neural model. Only strings and
comments are changed, so a file that parses still does. Secrets are what detect-secrets finds line
by line, its noisy plugins (keyword, basic authentication) left out, and the blocks of private
keys whole. Two judgements:

- Hexadecimal digests stay unless the line names a secret: code and tests are full of the sums of
  files and of commits, which give nobody away.
- Base64 strings of high entropy go only if they change between capitals, small letters and digits
  as random ones do. BigCode's pipeline has a model of gibberish for this.
"""

from __future__ import annotations

import ipaddress
import re
import string
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from .runs import Run

EMAIL = "<EMAIL>"
KEY = "<KEY>"
IP_ADDRESS = "<IP_ADDRESS>"


@dataclass(frozen=True)
class Redacted:
    """A text without its secrets.

    Attributes:
        text: with replacement tokens; the very text that came in where there was nothing.
        counts: replacements by kind: ``email``, ``key``, ``ip_address``; without zeros.
    """

    text: str
    counts: dict[str, int]


class _Span(NamedTuple):
    start: int
    end: int
    kind: str
    token: str


@dataclass(frozen=True)
class Redactor:
    """Redaction with its switches.

    Attributes:
        keys: replace secrets.
        emails: replace e-mail addresses.
        ip_addresses: replace public IP addresses.
        base64_limit: bits of entropy per character above which a quoted string of base64's
            characters may be a secret (detect-secrets' default, which BigCode uses).
        hex_limit: the same for hexadecimal digits.
    """

    keys: bool = True
    emails: bool = True
    ip_addresses: bool = True
    base64_limit: float = 4.5
    hex_limit: float = 3.0

    def __call__(self, text: str) -> Redacted:
        """Redacts `text`."""
        found: list[_Span] = []
        if self.keys:
            found += _private_keys(text)
            found += _secrets(text, self.base64_limit, self.hex_limit)
        if self.emails:
            found += _emails(text)
        if self.ip_addresses:
            found += _ip_addresses(text)
        if not found:
            return Redacted(text, {})
        return _replace(text, _inside_literals(text, found))


_DEFAULT = Redactor()


def redact(text: str) -> Redacted:
    """Redacts `text` with every kind switched on."""
    return _DEFAULT(text)


def _replace(text: str, spans: Iterable[_Span]) -> Redacted:
    parts: list[str] = []
    counts: Counter[str] = Counter()
    done = 0
    for span in sorted(spans, key=lambda s: s.start):
        if span.start < done:  # two kinds at one place: the first that was looked for stands
            continue
        parts += (text[done : span.start], span.token)
        counts[span.kind] += bool(span.token)
        done = span.end
    if not done:
        return Redacted(text, {})
    parts.append(text[done:])
    return Redacted("".join(parts), dict(counts))


_LITERAL = re.compile(
    r"#[^\n]*+|'''(?:\\.|[^\\])*?(?:'''|\Z)|\"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\Z)"
    r"|'(?:\\.|[^'\\\n])*+'?|\"(?:\\.|[^\"\\\n])*+\"?",
    re.S,
)


_ESCAPE = re.compile(r"\\(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[0-7]{1,3}|.)", re.S)


def _inside_literals(text: str, spans: list[_Span]) -> Iterator[_Span]:
    """Those of `spans` that lie in one string or comment, so that code stays as it is.

    A span that starts inside an escape, as in ``"\\nmail@..."``, starts after it instead.
    """
    places = [match.span() for match in _LITERAL.finditer(text)]
    starts = [start for start, _ in places]
    for span in spans:
        at = bisect_right(starts, span.start) - 1
        if at < 0 or span.end > places[at][1]:
            continue
        slashes = span.start
        while text[slashes - 1 : slashes] == "\\":
            slashes -= 1
        if (span.start - slashes) % 2:
            escape = _ESCAPE.match(text, span.start - 1)
            span = span._replace(start=escape.end() if escape else span.start + 1)
        if span.start < span.end:
            yield span


# ---------------------------------------------------------------------------------- private keys

_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>(?:[A-Z0-9]+ )*)PRIVATE KEY(?: BLOCK)?-----"
    r"(?P<body>[A-Za-z0-9+/=\s\\\"'(),:.#-]{40,20000}?)"
    r"-----END (?P=kind)PRIVATE KEY(?: BLOCK)?-----"
)
_BASE64_LINE = re.compile(r"[A-Za-z0-9+/]{40}")
_BASE64_RUN = re.compile(r"(?:(?<=\\n)|(?<![\\A-Za-z0-9+/=]))[A-Za-z0-9+/=]{8,}")


def _private_keys(text: str) -> Iterator[_Span]:
    """Whole blocks within one string; of a block in many strings, the runs of base64."""
    if "-----BEGIN" not in text:
        return
    for match in _PRIVATE_KEY.finditer(text):
        body = match["body"]
        if not _BASE64_LINE.search(body):
            continue
        if '"' not in body and "'" not in body and "#" not in body:
            yield _Span(*match.span(), "key", KEY)
            continue
        token = KEY
        for run in _BASE64_RUN.finditer(text, *match.span("body")):
            yield _Span(*run.span(), "key", token)
            token = ""


# ---------------------------------------------------------------------------------- other secrets

# A line can hold a secret only if it has a digit and a long run of a secret's characters.
_DIGIT = re.compile(r"[0-9]")
_RUN = Run(f"{string.ascii_letters}{string.digits}+/=_-".encode(), 16)
_TOKEN_CHARACTERS = re.compile(r"[A-Za-z0-9_+/=.:~-]+")
_NAMES_SECRET = re.compile(
    r"secret|passw|passphrase|pwd|token|credential|api_?key|apikey|private_?key|access_?key"
    r"|auth_?key|client_?key|encryption_?key|signing_?key",
    re.I,
)
_NAMES_HASH = re.compile(
    r"sha\d|sha_|\bsha\b|md5|hash|digest|checksum|crc|blake|integrity|fingerprint|commit|revision"
    r"|uuid|guid|bytes\.fromhex|unhexlify",
    re.I,
)
# Django's and Flask's: random, with signs that no encoding of bytes has.
_SECRET_KEY = re.compile(
    r"""secret_key["']?\]?[ \t]*[:=][ \t]*[bru]?(["'])(?:django-insecure-)?"""
    r"""(?P<value>[^\s"'\\]{30,128})\1""",
    re.I,
)
# Public formats that came after detect-secrets' list.
_NEWER = re.compile(
    r"\bgithub_pat_[A-Za-z0-9_]{36,255}|\bhf_[A-Za-z0-9]{30,40}\b|\bAIza[0-9A-Za-z_-]{35}(?![\w-])"
    r"|\bsk-(?:proj|ant|svcacct)-[A-Za-z0-9_-]{20,}|\bya29\.[0-9A-Za-z_-]{30,}"
    r"|\bdop_v1_[a-f0-9]{64}\b|\bglsa_[A-Za-z0-9]{32}_[a-f0-9]{8}\b"
)
_LAST_ESCAPE = re.compile(r"(?:\\[nrt])+$")  # detect-secrets' base64 takes backslashes for part
# Their patterns also fit long dotted names and words in capitals.
_LOOSE = frozenset({"Artifactory Credentials", "Discord Bot Token"})


# A line without any of these has nothing that the plugin's patterns match; a plugin that is not
# named is always asked. Small letters stand for either case.
_HINTS = {
    "AWS Access Key": ("A3T", "ABIA", "ACCA", "AKIA", "ASIA", "aws"),
    "Artifactory Credentials": ("AKC", "AP"),
    "Azure Storage Account access key": ("accountkey=",),
    "Cloudant Credentials": ("cl",),
    "GitHub Token": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    "GitLab Token": ("gl", "GR1348941"),
    "IBM COS HMAC Credentials": ("secret",),
    "IBM Cloud IAM Key": ("key", "pw", "pass", "token"),
    "JSON Web Token": ("eyj",),
    "Mailchimp Access Key": ("-us",),
    "NPM tokens": ("_authtoken",),
    "OpenAI Token": ("T3BlbkFJ",),
    "PyPI Token": ("pypi-ag",),
    "SendGrid API Key": ("SG.",),
    "Slack Token": ("xox", "slack"),
    "SoftLayer Credentials": ("sl", "softlayer"),
    "Square OAuth Secret": ("sq0csp-",),
    "Stripe Access Key": ("k_live_",),
    "Telegram Bot Token": (":",),
    "Twilio API Key": ("AC", "SK"),
}


def may_hold(line: str, plugin: str) -> bool:
    """Whether a line can hold what a plugin of detect-secrets looks for, by its name."""
    hints = _HINTS.get(plugin)
    # outside of ASCII, patterns that take either case also take other letters
    if hints is None or not line.isascii():
        return True
    lowered = line.lower()
    return any(hint in lowered or hint in line for hint in hints)


@lru_cache(maxsize=1)
def _format_plugins() -> list[Any]:
    """detect-secrets' plugins that know a secret by its format."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    without = {"Basic Auth Credentials", "Private Key", "Public IP (ipv4)", "Secret Keyword"}
    classes: dict[str, Any] = get_mapping_from_secret_type_to_class()
    return [
        kind()
        for name, kind in sorted(classes.items())
        if name not in without and issubclass(kind, RegexBasedDetector)
    ]


@lru_cache(maxsize=4)
def _entropy_plugins(base64_limit: float, hex_limit: float) -> tuple[Any, Any]:
    from detect_secrets.plugins.high_entropy_strings import (
        Base64HighEntropyString,
        HexHighEntropyString,
    )

    return Base64HighEntropyString(base64_limit), HexHighEntropyString(hex_limit)


def _secrets(text: str, base64_limit: float, hex_limit: float) -> Iterator[_Span]:
    for match in _SECRET_KEY.finditer(text):
        value = match["value"]
        if _DIGIT.search(value) and not _is_made_up(value) and _changes(value) >= 0.42:
            yield _Span(*match.span("value"), "key", KEY)
    for start, end in _RUN.lines(text):
        line = text[start:end]
        if not _DIGIT.search(line):
            continue
        for a, b in (*_of_known_format(line), *_of_high_entropy(line, base64_limit, hex_limit)):
            yield _Span(start + a, start + b, "key", KEY)


def _of_known_format(line: str) -> Iterator[tuple[int, int]]:
    for match in _NEWER.finditer(line):
        yield match.span()
    for plugin in _format_plugins():
        name = plugin.secret_type
        if not may_hold(line, name):
            continue
        for pattern in plugin.denylist:
            for match in pattern.finditer(line):
                if name == "JSON Web Token" and not plugin.is_formally_valid(match[0]):
                    continue
                start, end = _token_span(line, match)
                value = line[start:end]
                if end - start < 8 or _is_made_up(value):
                    continue
                if name in _LOOSE and not _is_random(value):
                    continue
                yield start, end


def _token_span(line: str, match: re.Match[str]) -> tuple[int, int]:
    """Where the secret is: the longest long group, else all; without quotes, to its very end."""
    groups = [match.span(i) for i in range(1, (match.re.groups or 0) + 1)]
    span = max((s for s in groups if s[1] - s[0] >= 16), key=lambda s: s[1] - s[0], default=None)
    start, end = span or match.span()
    tokens = [t.span() for t in _TOKEN_CHARACTERS.finditer(line, start) if t.start() < end]
    start, end = max(tokens, key=lambda t: t[1] - t[0], default=(start, start))
    while start < end and line[start] in "=:.":
        start += 1
    while start < end and line[end - 1] in ".:":
        end -= 1
    return start, end


def _of_high_entropy(line: str, base64_limit: float, hex_limit: float) -> Iterator[tuple[int, int]]:
    from detect_secrets.filters.heuristic import (
        is_likely_id_string,
        is_potential_uuid,
        is_sequential_string,
    )

    if '"' not in line and "'" not in line:
        return
    base64, hexadecimal = _entropy_plugins(base64_limit, hex_limit)
    for match in base64.regex.finditer(line):
        value = _LAST_ESCAPE.sub("", match[2])
        if (
            20 <= len(value) <= 200  # longer ones are data
            and "\\" not in value
            and _is_random(value)
            and not _NAMES_HASH.search(line)
            and not _is_made_up(value)
            and base64.calculate_shannon_entropy(value) > base64_limit
            and not is_sequential_string(value)
            and not is_potential_uuid(value)
            and not is_likely_id_string(value, line, base64)
        ):
            yield match.start(2), match.start(2) + len(value)
    for match in hexadecimal.regex.finditer(line):
        value = match[2]
        if (
            16 <= len(value) <= 200
            and _NAMES_SECRET.search(line)
            and not _NAMES_HASH.search(line)
            and not value.isdigit()
            and not _is_made_up(value)
            and not _repeats(value)
            and hexadecimal.calculate_shannon_entropy(value) > hex_limit
            and not is_sequential_string(value)
        ):
            yield match.span(2)


def _is_made_up(value: str) -> bool:
    """Whether a secret says that it is an example."""
    lowered = value.lower()
    return "example" in lowered or "xxxx" in lowered


def _repeats(value: str) -> bool:
    return value in (value + value)[1:-1]


def _is_random(value: str) -> bool:
    """Capitals, small letters and digits, changing about as often as in random text.

    Of random base64 two neighbours differ in class about 65 times in 100; in names and words far
    more rarely.
    """
    return {"a", "A", "0"} <= set(map(_class, value)) and _changes(value) >= 0.42


def _changes(value: str) -> float:
    """In how many of the places between two characters the class changes, as a share."""
    return sum(a != b for a, b in pairwise(map(_class, value))) / max(1, len(value) - 1)


def _class(sign: str) -> str:
    return "a" if sign.islower() else "A" if sign.isupper() else "0" if sign.isdigit() else "-"


# ---------------------------------------------------------------------------------- e-mail

# What stands before an at sign and after it; looking for both at once is slow.
_USER = re.compile(r"(?<![\w.+%@/-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}\Z")
_USER_CHARACTERS = frozenset(f"{string.ascii_letters}{string.digits}._%+-")
_DOMAIN = re.compile(
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+(?:[A-Za-z]{2,24}))(?![\w@-]|\.\w|\()"
)
# RFC 2606 and RFC 6761.
_RESERVED_DOMAIN = re.compile(
    r"(?:^|\.)(?:example\.(?:com|net|org)|example|test|invalid|localhost|local|localdomain)$", re.I
)
_ACCOUNT_OF_HOST = frozenset({"git", "hg", "svn"})  # git@github.com: an address of code


def _emails(text: str) -> Iterator[_Span]:
    at = text.find("@")
    while at >= 0:
        if text[at - 1 : at] in _USER_CHARACTERS and (domain := _DOMAIN.match(text, at)):
            user = _USER.search(text, max(0, at - 65), at)
            if (
                user is not None
                and user[0].lower() not in _ACCOUNT_OF_HOST
                and not _RESERVED_DOMAIN.search(domain[1])
            ):
                yield _Span(user.start(), domain.end(), "email", EMAIL)
        at = text.find("@", at + 1)


# ---------------------------------------------------------------------------------- IP addresses

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?<![\w.+-])(?:{_OCTET}\.){{3}}{_OCTET}(?![\w+]|[.-]\w)")
# Global unicast, RFC 4291 section 2.4: 2000::/3, the only addresses that lead to somebody.
_IPV6 = re.compile(
    r"(?<![\w:.])[23][\da-fA-F]{3}:[\da-fA-F:]{2,}(?::(?:\d+\.){3}\d+)?(?![\w:]|\.\d)"
)
_NAMES_VERSION = re.compile(
    r"version|release|[<>=~!]=|\brev\b|\brc\d|\boid|\bsnmp|object.?identifier|section|chapter|§|rfc"
    r"|firmware|driver|mozilla|user.?agent|changelog|upgrade|\bmib\b|\bv\d",
    re.I,
)
_NAMES_HOST = re.compile(r"dns|server|host|addr|\bip|ipv4|network|route|gateway|://", re.I)
_RESOLVERS = frozenset(
    {"1.0.0.1", "1.1.1.1", "4.2.2.1", "4.2.2.2", "8.8.4.4", "8.8.8.8", "9.9.9.9"}
    | {"149.112.112.112", "208.67.220.220", "208.67.222.222"}
    | {"2001:4860:4860::8844", "2001:4860:4860::8888", "2606:4700:4700::1001"}
    | {"2606:4700:4700::1111", "2620:fe::fe", "2620:fe::9"}
)


# Without a number between dots there is no address, nor without four digits before a colon.
_DOTTED = bytes(b"0."[c == 46] if c in b"0123456789." else 32 for c in range(256))
_NUMBERS = (b".0.", b".00.", b".000.")
_COLONS = bytes(b"0:"[c == 58] if c in b"0123456789abcdefABCDEF:" else 32 for c in range(256))
_GROUP = b"0000:"


def _ip_addresses(text: str) -> Iterator[_Span]:
    data = text.encode("ascii", "replace")
    dotted = data.translate(_DOTTED)
    for match in _IPV4.finditer(text) if any(one in dotted for one in _NUMBERS) else ():
        if not _is_kept(match[0]) and not _is_version(text, match):
            yield _Span(*match.span(), "ip_address", IP_ADDRESS)
    for match in _IPV6.finditer(text) if _GROUP in data.translate(_COLONS) else ():
        if len([part for part in match[0].split(":") if part]) >= 3 and not _is_kept(match[0]):
            yield _Span(*match.span(), "ip_address", IP_ADDRESS)


def _is_kept(value: str) -> bool:
    """No address, or one of nobody: private, reserved, documentation (RFC 5737, 3849), resolver."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return True
    if not address.is_global or address.is_multicast or str(address) in _RESOLVERS:
        return True
    if address.version == 6:
        return False
    # Equal or evenly rising numbers (1.2.3.4, 123.123.123.123) are made up.
    return len({b - a for a, b in pairwise(address.packed)}) == 1


def _is_version(text: str, match: re.Match[str]) -> bool:
    """Whether four numbers are rather a version, an object identifier or a section."""
    start, end = match.span()
    if re.search(r"[A-Za-z][/ ]?v?$|\bv\.?$", text[max(0, start - 3) : start]) and (
        text[start - 1] == "/" or text[start - 1] == "v"
    ):
        return True  # Chrome/4.0.222.6
    line = text[text.rfind("\n", 0, start) + 1 : end + 40].partition("\n")[0]
    line = line[-400:]
    if _NAMES_HOST.search(line):
        return False
    octets = [int(part) for part in match[0].split(".")]
    return max(octets) < 10 or _NAMES_VERSION.search(line) is not None or octets[0] < 3

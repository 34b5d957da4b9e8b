"""Redaction: what goes, what stays, and that Python stays Python."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parrotlet_training.corpus import redaction
from parrotlet_training.corpus.redaction import Redactor, redact

LIBRARY = Path(sysconfig.get_path("stdlib"))

# Put together here, so that no scanner takes this file for a leak.
RANDOM = "q7Rk2Vb9xLw4Tn8Zp3Ym6Hs1Jd5Fg0Ca"
SECRETS = {
    "aws": "AKIA" + "Q3EGRN2LZ7KM4TWX",
    "github": "ghp_" + RANDOM + "x7Qz",
    "github, fine": "github_pat_" + RANDOM + RANDOM,
    "gitlab": "glpat-" + "x7Qz9Lw4Tn8Zp3Ym6Hs1",
    "slack": "xoxb-" + "123456789012-123456789012-a1b2c3d4e5f6",
    "stripe": "sk_live_" + "x7Qz9Lw4Tn8Zp3Ym6Hs1Jd5F",
    "sendgrid": "SG." + "x7Qz9Lw4Tn8Zp3Ym6Hs1Jd." + RANDOM + "x7Qz9Lw4Tn8",
    "telegram": "123456789:" + RANDOM + "x7Q",
    "twilio": "SK" + "0f3a9c1e5b7d2468ace013579bdf0246",
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + RANDOM * 3,
    "openai": "sk-" + "x7Qz9Lw4Tn8Zp3Ym6Hs1" + "T3BlbkFJ" + "x7Qz9Lw4Tn8Zp3Ym6Hs1",
    "openai, project": "sk-" + "proj-" + RANDOM,
    "hugging face": "hf_" + RANDOM + "Qz",
    "google": "AIza" + RANDOM + "x7Q",
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + RANDOM,
    "random": RANDOM,
}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("line", ["key = '{}'", 'call(a, "{}", b)', "x = {{'a': '{}'}}  # b"])
def test_secrets_go_whole(name, line):
    before = f"import os\n\n{line.format(SECRETS[name])}\nx = 1\n"
    after = redact(before)
    assert after.counts == {"key": 1}
    assert after.text == f"import os\n\n{line.format('<KEY>')}\nx = 1\n"


def test_secrets_of_services_by_the_name_of_the_variable():
    forty = RANDOM + "x7Qz/+Lw"
    after = redact(f"aws_secret_access_key = '{forty}'\nsoftlayer_api_key = '{'0f3a9c1e' * 8}9'\n")
    assert forty not in after.text
    account = RANDOM * 2 + "x7Qz9Lw4Tn8Zp3Ym6Hs1Jd" + "=="
    account = account.ljust(88, "A")[:88]
    connection = f"'DefaultEndpointsProtocol=https;AccountKey={account};EndpointSuffix=core'"
    assert account not in redact(f"x = {connection}\n").text


def test_tokens_in_comments_go_and_names_in_code_stay():
    assert redact(f"# {SECRETS['github']}\n").text == "# <KEY>\n"
    code = f"{SECRETS['github']} = 1\nclass Me: email = b@c.com\n"
    assert redact(code).text is code


@pytest.mark.parametrize(
    "line",
    [
        "sha256 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'",
        "commit = 'e0c0894f3b1c7d659a2feaa0c55ad015a3bf4f1b'",
        "DIGITS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'",
        "TOKEN = '0123456789abcdef0123456789abcdef'",
        "password = 'AKIAIOSFODNN7EXAMPLE'",
        "name = 'test_multi_head_attention_2d_layer_normalization'",
        "name = 'MultiHeadAttention2DLayerNormalizationWithResidual'",
        "path = 'site-packages/some_package-1.2.3/some_module.py'",
        "uuid = '123e4567-e89b-12d3-a456-426614174000'",
        "password = 'correct horse battery staple'",
        "x = 'https://github.com/python/cpython/issues/123456789'",
        "value = '00000000000000000000000000000001'",
        "if text.startswith('-----BEGIN PRIVATE KEY-----') and text.endswith('-----END PRIVATE KEY"
        "-----'): pass",
    ],
)
def test_what_only_looks_like_a_secret_stays(line):
    assert redact(line).text is line


def test_hexadecimal_strings_go_where_the_line_names_a_secret():
    digits = "'09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7'"
    assert redact(f"SECRET_KEY = {digits}").text == "SECRET_KEY = '<KEY>'"
    assert redact(f"expected = {digits}").counts == {}
    assert redact(f"token_sha256 = {digits}").counts == {}


BODY = [RANDOM * 2, RANDOM[::-1] * 2, RANDOM[:20] + "=="]
KINDS = ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "]


@pytest.mark.parametrize("kind", KINDS)
def test_private_keys_go_whole(kind):
    begin, end = f"-----BEGIN {kind}PRIVATE KEY-----", f"-----END {kind}PRIVATE KEY-----"
    block = "\n".join([begin, *BODY, end])
    for text in (f'KEY = """{block}\n"""\n', f"KEY = '{block}'\n".replace("\n", "\\n")[:-2]):
        after = redact(text)
        assert after.counts == {"key": 1}
        assert "PRIVATE" not in after.text
        assert not any(part in after.text for part in BODY)
        ast.parse(after.text)
    strings = "".join(f'    "{part}\\n"\n' for part in [begin, *BODY, end])
    after = redact(f"KEY = (\n{strings})\n")
    assert not any(part in after.text for part in BODY)
    assert after.counts == {"key": 1}
    assert "<KEY>" in ast.literal_eval(ast.parse(after.text).body[0].value)
    comment = "".join(f"# {part}\n" for part in [begin, *BODY, end])
    assert not any(part in redact(comment).text for part in BODY)


def test_headers_of_an_encrypted_key_are_no_obstacle():
    lines = ["-----BEGIN RSA PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"]
    lines += ["DEK-Info: AES-128-CBC,0F3A9C1E5B7D2468", "", *BODY, "-----END RSA PRIVATE KEY-----"]
    assert redact('k = """' + "\n".join(lines) + '"""').text == 'k = """<KEY>"""'


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("# Ann Lee <ann.lee@uni-x.edu>", "# Ann Lee <<EMAIL>>"),
        ("__email__ = 'ann@lee.io'", "__email__ = '<EMAIL>'"),
        ("x = 'mailto:ann+news@mail.lee.co.uk?subject=x'", "x = 'mailto:<EMAIL>?subject=x'"),
        ("x = 'hello\\nann@lee.io'", "x = 'hello\\n<EMAIL>'"),
        ("x = '\\u00e4nn@lee.io'", "x = '\\u00e4<EMAIL>'"),
        ("'''Mail ann@lee.io, or\nbob@lee.io.'''", "'''Mail <EMAIL>, or\n<EMAIL>.'''"),
    ],
)
def test_email_addresses_go(line, after):
    assert redact(line).text == after
    ast.parse(redact(line).text)


@pytest.mark.parametrize(
    "line",
    [
        "'user@example.com'",
        "'user@mail.example.org'",
        "'user@host.test'",
        "'root@localhost'",
        "'git@github.com:owner/name.git'",
        "# @pytest.mark.parametrize",
        "x = a@b.at\ny = weights@inputs.mean(0)",
        "'user@host'",
        "'a@b.mean(x)'",
        "'npm:@scope/package@1.2.3'",
    ],
)
def test_reserved_addresses_and_operators_stay(line):
    assert redact(line).text is line


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "24.201.139.93", "2a00:1450:4001:81b::200e", "2604:1380:2000:c100:0:0:0:3"],
)
@pytest.mark.parametrize("line", ["host = '{}'", "x = 'http://{}/'", "# at {}, or", "# from {}."])
def test_public_ip_addresses_go(address, line):
    shown = f"[{address}]" if ":" in address and "://" in line else address
    after = redact(line.format(shown))
    assert after.text == line.format(shown.replace(address, "<IP_ADDRESS>"))
    assert after.counts == {"ip_address": 1}


@pytest.mark.parametrize(
    "line",
    [
        "'127.0.0.1'",
        "'0.0.0.0'",
        "'::1'",
        "'255.255.255.255'",
        "'192.168.1.17'",
        "'10.20.30.41'",
        "'fe80::1'",
        "host = '192.0.2.55'",
        "host = '198.51.100.7'",
        "host = '203.0.113.9'",
        "host = '2001:db8:85a3::8a2e:370:7334'",
        "dns = ['8.8.8.8', '1.1.1.1', '2001:4860:4860::8888']",
        "ip = '1.2.3.4'",
        "version = '21.4.10.3'",
        "install_requires=['package==24.1.10.2']",
        "agent = 'Chrome/24.0.222.6'",
        "oid = '2.5.29.17'",
        "# section 8.2.4.45",
        "x = '4.5.0.1'",
        "number = '1.22.333.4444'",
        "path = 'lib-12.34.56.79-py3.whl'",
        "long = '12.34.56.79.80'",
        "when = '2012:10:11 12:13:14'",
        "part = x['2001:3000:2']",
        "part = x[2001:3000:2]",
        "y = 24.201",
    ],
)
def test_other_numbers_stay(line):
    assert redact(line).text is line


def test_each_kind_has_its_switch():
    text = f"# ann@lee.io 93.184.216.34\nkey = '{RANDOM}'\n"
    assert redact(text).counts == {"email": 1, "ip_address": 1, "key": 1}
    assert Redactor(keys=False, emails=False, ip_addresses=False)(text).text is text
    assert Redactor(keys=False)(text).counts == {"email": 1, "ip_address": 1}
    assert Redactor(base64_limit=6.0)(text).counts == {"email": 1, "ip_address": 1}


@given(
    st.lists(
        st.sampled_from([*SECRETS.values(), "ann@lee.io", "93.184.216.34", "\\", "'", '"', "'''"])
        | st.sampled_from(["\n", "#", "=", "x", "-----BEGIN PRIVATE KEY-----", "{", "\\n"])
        | st.text(max_size=3),
        max_size=12,
    ),
    st.sampled_from([" ", "\n", ", ", "' '"]),
)
def test_redaction_is_idempotent_and_keeps_lines_outside_blocks(parts, between):
    text = between.join(parts)
    once = redact(text)
    assert redact(once.text).text == once.text
    assert once.text.count("\n") == text.count("\n")


def test_library_stays_python_and_hardly_changes():
    """Real files: what parses still does, and next to nothing is taken for a secret."""
    files = sorted(LIBRARY.glob("[a-h]*.py")) + sorted(LIBRARY.glob("email/*.py"))
    keys, addresses, changed = 0, 0, 0
    for file in files:
        text = file.read_text(encoding="utf-8")
        after = redact(text)
        keys += after.counts.get("key", 0)
        addresses += after.counts.get("ip_address", 0)
        if after.counts:
            changed += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(after.text)
    assert keys == 0
    assert addresses < 10
    assert 0 < changed < len(files) / 3


def test_detect_secrets_is_imported_only_when_used():
    script = (
        "import sys\nimport parrotlet_training.corpus.redaction\n"
        "assert 'detect_secrets' not in sys.modules and 'requests' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


PATTERNS = [
    (plugin.secret_type, pattern)
    for plugin in redaction._format_plugins()
    for pattern in plugin.denylist
]
ASCII = st.characters(codec="ascii", exclude_characters="\n")


@pytest.mark.parametrize(("name", "pattern"), PATTERNS)
def test_no_secret_of_a_known_format_is_passed_over(name, pattern):
    """Lines made to match the patterns of detect-secrets all get past the hints."""

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.from_regex(pattern, alphabet=ASCII))
    def check(line):
        assert redaction.may_hold(line, name)

    check()


ADDRESS = re.compile(
    r"(?<![\w.+%@/-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@"
    r"((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+(?:[A-Za-z]{2,24}))(?![\w@-]|\.\w|\()"
)
LETTERS = ["a", "b" * 63, "@", "@cd.ef", ".com", ".", "-", "+", "%", "1", "(", " ", "é"]
DIGITS = ["91.198.174.192", "1.2", ".3", "345", ".", ":", "2a02:ec80:300:ed1a::1", "2", "::", " "]


def joined(parts):
    return st.lists(st.sampled_from(parts)).map("".join)


@settings(max_examples=500)
@given(joined(LETTERS))
def test_addresses_are_those_of_the_plain_search(text):
    found = [(span.start, span.end) for span in redaction._emails(text)]
    assert found == [match.span() for match in ADDRESS.finditer(text)]


@settings(max_examples=300)
@given(joined([*DIGITS, "é", "\n", "ab", "٣"]))
def test_numbers_are_those_of_the_plain_search(text):
    plain = [
        match.span()
        for match in redaction._IPV4.finditer(text)
        if not redaction._is_kept(match[0]) and not redaction._is_version(text, match)
    ]
    plain += [
        match.span()
        for match in redaction._IPV6.finditer(text)
        if len([part for part in match[0].split(":") if part]) >= 3
        and not redaction._is_kept(match[0])
    ]
    assert [(span.start, span.end) for span in redaction._ip_addresses(text)] == plain


@given(st.text(st.sampled_from("abcX1/+=_- \né\ud800"), max_size=120))
def test_lines_with_a_long_run_are_those_of_the_plain_search(text):
    plain = [
        line.span()
        for line in re.finditer(r"^[^\n]*$", text, re.M)
        if re.search(r"[A-Za-z0-9+/=_-]{16}", line[0])
    ]
    assert list(redaction._RUN.lines(text)) == plain


@pytest.mark.parametrize(
    ("line", "redacted"),
    [
        ("SECRET_KEY = 'q1$x&7(z*m#k0v!p8@w^t5_u=r2+y9-e4%s)h3j6'", "SECRET_KEY = '<KEY>'"),
        (
            'SECRET_KEY = "django-insecure-q1$x&7(z*m#k0v!p8@w^t5_u=r2+y9-e4%s)h3"',
            'SECRET_KEY = "django-insecure-<KEY>"',
        ),
        (
            "app.config['SECRET_KEY'] = 'q1$x&7(z*m#k0v!p8@w^t5_u=r2+y9-e4'",
            "app.config['SECRET_KEY'] = '<KEY>'",
        ),
        ("SECRET_KEY = 'change-this-key-before-you-run-it-in-2024'", None),
        ("SECRET_KEY = '{{ cookiecutter.project_slug.secret_key_2 }}'", None),
        ("SECRET_KEY = os.environ['DJANGO_SECRET_KEY_OF_SERVER_1']", None),
        ("SECRET_KEY_FILE = '/etc/django/keys/secret_key_of_server_1.txt'", None),
        ("PUBLIC_KEY = 'q1$x&7(z*m#k0v!p8@w^t5_u=r2+y9-e4%s)h3j6'", None),
    ],
)
def test_the_keys_of_web_frameworks_are_seen_with_their_signs(line, redacted):
    assert redact(f"import os\n{line}\n").text == f"import os\n{redacted or line}\n"

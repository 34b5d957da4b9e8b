"""Settings: any value gives settings, and a message for each wrong one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_server.lsp.settings import Settings


@pytest.mark.parametrize(
    "options",
    [
        {"enable": False, "model": " m ", "multiline": "never"},
        {"parrotlet": {"enable": False, "model": "m", "multiline": "never"}},
        {"enable": False, "model": "m", "multiline": "never", "pythonPath": 3, "trace": {}},
    ],
)
def test_settings_are_read(options):
    assert Settings.parse(options) == (Settings(False, "m", "never"), [])


@pytest.mark.parametrize("options", [None, {}, {"parrotlet": {}}, {"enable": None, "model": None}])
def test_what_is_left_open_is_as_usual(options):
    assert Settings.parse(options) == (Settings(True, "", "auto"), [])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"enable": 1}, "parrotlet.enable: expected true or false, not 1"),
        ({"enable": "true"}, "parrotlet.enable"),
        ({"model": 3}, "parrotlet.model: expected a string"),
        ({"multiline": "always"}, "parrotlet.multiline: expected 'auto' or 'never'"),
        ({"multiline": ["auto"]}, "parrotlet.multiline"),
        ("text", "parrotlet: expected an object"),
        ([], "parrotlet: expected an object"),
        ({"parrotlet": {"multiline": False}}, "parrotlet.multiline"),
    ],
)
def test_wrong_values_are_named_and_count_as_the_default(options, named):
    settings, messages = Settings.parse(options)
    assert settings == Settings()
    (message,) = messages
    assert message.startswith(named)


def test_one_wrong_value_leaves_the_others():
    settings, messages = Settings.parse({"enable": 3, "multiline": "never"})
    assert settings == Settings(multiline="never")
    assert len(messages) == 1


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: (
        st.lists(children)
        | st.dictionaries(
            st.sampled_from(["parrotlet", "enable", "model", "multiline", "other"]), children
        )
    ),
)


@given(json)
def test_anything_gives_settings(options):
    settings, messages = Settings.parse(options)
    assert isinstance(settings.enable, bool)
    assert isinstance(settings.model, str)
    assert settings.multiline in ("auto", "never")
    assert all(len(message) < 200 for message in messages)

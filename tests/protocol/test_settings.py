"""Settings: any value gives settings, and a message for each wrong one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_server.backends.options import BackendOptions
from parrotlet_server.lsp.settings import CONTEXT, LONGEST_WAIT, Settings

ALL = {
    "enable": False,
    "model": "m",
    "multiline": "always",
    "debounce": 40,
    "minimumScore": -1.5,
    "comments": False,
    "strings": False,
    "exclude": ["tests/", "!tests/a.py"],
    "popup": False,
    "statistics": False,
    "prefetch": False,
    "recall": "file",
    "backend": "openai",
    "device": "cuda:1",
    "endpointUrl": "https://models.example/v1",
    "endpointModel": "q",
    "endpointPrompt": "qwen",
    "endpointTimeout": 2.5,
    "context": "all",
}
READ = Settings(
    enable=False,
    model="m",
    multiline="always",
    debounce=40,
    minimum_score=-1.5,
    comments=False,
    strings=False,
    exclude=("tests/", "!tests/a.py"),
    popup=False,
    statistics=False,
    prefetch=False,
    recall="file",
    backend="openai",
    device="cuda:1",
    endpoint_url="https://models.example/v1",
    endpoint_model="q",
    endpoint_prompt="qwen",
    endpoint_timeout=2.5,
    context="all",
)


@pytest.mark.parametrize(
    "options",
    [ALL, {"parrotlet": ALL}, {**ALL, "model": " m ", "pythonPath": 3, "trace": {}}],
)
def test_settings_are_read(options):
    assert Settings.parse(options) == (READ, [])


@pytest.mark.parametrize(
    "options", [None, {}, {"parrotlet": {}}, dict.fromkeys(ALL)], ids=["none", "empty", "", "null"]
)
def test_what_is_left_open_is_as_usual(options):
    assert Settings.parse(options) == (Settings(), [])


@pytest.mark.parametrize(
    ("value", "read"),
    [("auto", "auto"), ("manual", "manual"), (0, 0), (150, 150), (99.6, 100), (LONGEST_WAIT,) * 2],
)
def test_debounce(value, read):
    assert Settings.parse({"debounce": value}) == (Settings(debounce=read), [])


@pytest.mark.parametrize(
    ("settings", "recalls", "context"),
    [
        (Settings(), True, "similar"),
        (Settings(), False, "auto"),
        (Settings(context="all"), True, "all"),
        (Settings(context="imports"), False, "imports"),
    ],
)
def test_prompts_hold_text_of_other_files_where_it_pays(settings, recalls, context):
    assert settings.beside(recalls) == replace(settings, context=context)


def test_the_workspaces_n_grams_are_for_models_that_run_here():
    assert Settings().recalls
    assert Settings(backend="torch").recalls
    assert not Settings(backend="openai").recalls
    assert not Settings(recall="file").recalls


@pytest.mark.parametrize("value", CONTEXT)
def test_context(value):
    assert Settings.parse({"context": value}) == (Settings(context=value), [])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"enable": 1}, "parrotlet.enable: expected true or false, not 1; it counts as True"),
        ({"enable": "true"}, "parrotlet.enable"),
        ({"model": 3}, "parrotlet.model: expected a string"),
        ({"multiline": "often"}, "parrotlet.multiline: expected 'auto', 'always' or 'never'"),
        ({"multiline": ["auto"]}, "parrotlet.multiline"),
        ({"debounce": -1}, "parrotlet.debounce: expected 'auto', 'manual' or milliseconds from 0"),
        ({"debounce": "fast"}, "parrotlet.debounce"),
        ({"context": 9}, "parrotlet.context: expected 'auto', 'off', 'imports', 'similar' or"),
        ({"context": ["all"]}, "parrotlet.context"),
        ({"debounce": True}, "parrotlet.debounce"),
        ({"debounce": 10**400}, "parrotlet.debounce"),
        ({"debounce": float("nan")}, "parrotlet.debounce"),
        (
            {"minimumScore": 0.5},
            "parrotlet.minimumScore: expected 'all' or a number that is at most 0",
        ),
        ({"minimumScore": "-1"}, "parrotlet.minimumScore"),
        ({"minimumScore": float("-inf")}, "parrotlet.minimumScore"),
        ({"comments": "no"}, "parrotlet.comments"),
        ({"strings": 0}, "parrotlet.strings"),
        ({"exclude": "tests/"}, "parrotlet.exclude: expected a list of patterns"),
        ({"exclude": ["a", 3]}, "parrotlet.exclude"),
        ({"exclude": ["!"]}, "parrotlet.exclude: expected a list of patterns"),
        ({"popup": []}, "parrotlet.popup"),
        ({"prefetch": "never"}, "parrotlet.prefetch"),
        ({"recall": True}, "parrotlet.recall"),
        ({"backend": "cuda"}, "parrotlet.backend: expected 'onnx', 'torch' or 'openai'"),
        ({"device": 1}, "parrotlet.device"),
        ({"endpointUrl": "localhost:8080"}, "parrotlet.endpointUrl: expected an address"),
        ({"endpointUrl": 8080}, "parrotlet.endpointUrl"),
        ({"endpointPrompt": "gpt"}, "parrotlet.endpointPrompt: expected 'tokens', 'suffix', "),
        ({"endpointPrompt": ["tokens"]}, "parrotlet.endpointPrompt"),
        ({"endpointTimeout": 0}, "parrotlet.endpointTimeout: expected seconds"),
        ({"endpointTimeout": "1"}, "parrotlet.endpointTimeout"),
        ({"endpointTimeout": 1e6}, "parrotlet.endpointTimeout"),
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
    settings, messages = Settings.parse({**ALL, "enable": 3})
    assert settings.multiline == "always"
    assert settings.exclude == READ.exclude
    assert len(messages) == 1


def test_what_runs_the_model():
    assert Settings().backend_options(None) == BackendOptions()
    assert Settings().backend_options("theirs").model == "theirs"
    assert Settings(model="mine").backend_options("theirs").model == "mine"
    assert Settings(device="cuda", endpoint_url="http://h").backend_options(None).url == ""
    torch = Settings(backend="torch").backend_options(None)
    assert (torch.kind, torch.device) == ("torch", None)
    remote = READ.backend_options(None)
    assert (remote.kind, remote.url) == ("openai", "https://models.example/v1")
    assert (remote.served_model, remote.prompt, remote.timeout) == ("q", "qwen", 2.5)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: (
        st.lists(children)
        | st.dictionaries(st.sampled_from(["parrotlet", "other", *ALL]), children)
    ),
)


@given(json)
def test_anything_gives_settings(options):
    settings, messages = Settings.parse(options)
    assert isinstance(settings.enable, bool)
    assert isinstance(settings.model, str)
    assert settings.multiline in ("auto", "always", "never")
    assert settings.debounce in ("auto", "manual") or 0 <= settings.debounce <= LONGEST_WAIT
    assert settings.context in CONTEXT
    assert settings.minimum_score == "all" or settings.minimum_score <= 0
    assert all(isinstance(glob, str) for glob in settings.exclude)
    assert all(len(message) < 250 for message in messages)

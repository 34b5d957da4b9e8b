"""The user's settings, section ``parrotlet``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

SECTION = "parrotlet"


@dataclass(frozen=True)
class Settings:
    """What the user may choose.

    Attributes:
        enable: whether anything is suggested.
        model: a bundle folder, a checkpoint folder or ``owner/name@revision`` on the Hub; empty
            for the one that the server was started with.
        multiline: "auto" allows several lines where a block is to be written, "never" does not.
    """

    enable: bool = True
    model: str = ""
    multiline: Literal["auto", "never"] = "auto"

    @classmethod
    def parse(cls, options: object) -> tuple[Settings, list[str]]:
        """Reads what a client sent.

        A wrong value counts as its default. A missing or null one does so silently, and settings
        that are the client's own are passed over.

        Args:
            options: the settings' object, or one that holds it under ``parrotlet``.

        Returns:
            The settings, and one message for each wrong value.
        """
        if options is None:
            return cls(), []
        if not isinstance(options, Mapping):
            return cls(), [f"{SECTION}: expected an object with settings, not {options!r:.60}"]
        options = inner(options)
        wrong: list[str] = []

        def read(name: str, expected: str, valid: bool, default: Any) -> Any:
            value = options.get(name)
            if value is None:
                return default
            if not valid:
                wrong.append(
                    f"{SECTION}.{name}: expected {expected}, not {value!r:.60}; "
                    f"it counts as {default!r}"
                )
                return default
            return value

        enable, model, multiline = (options.get(key) for key in ("enable", "model", "multiline"))
        default = cls()
        settings = cls(
            enable=read("enable", "true or false", isinstance(enable, bool), default.enable),
            model=read("model", "a string", isinstance(model, str), default.model).strip(),
            multiline=read(
                "multiline",
                "'auto' or 'never'",
                multiline in ("auto", "never"),
                default.multiline,
            ),
        )
        return settings, wrong


def inner(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section's own settings, whether or not they stand under its name."""
    section = options.get(SECTION)
    return section if isinstance(section, Mapping) else options

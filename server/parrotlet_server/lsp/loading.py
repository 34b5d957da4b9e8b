"""The model is loaded beside the session, so that the editor never waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from lsprotocol import types

from parrotlet_server.bundle.errors import BundleError
from parrotlet_server.engine import Engine

from .client import Client
from .worker import in_thread

logger = logging.getLogger(__name__)

Load = Callable[[str | None], Engine]


class ModelLoader:
    """Holds the engine, from when it is loaded until another one is asked for.

    Attributes:
        engine: None while there is none.
        model: what was asked for; None is the bundled model.
        seconds: that loading took.
    """

    def __init__(self, client: Client, load: Load | None = None) -> None:
        """Tells `client` how it goes; `load` gives the engine, None is `Engine.load`."""
        self.engine: Engine | None = None
        self.model: str | None = None
        self.seconds = 0.0
        self._client = client
        self._load_engine = load
        self._task: asyncio.Task[None] | None = None
        self._shown: asyncio.Task[None] | None = None

    @property
    def loading(self) -> bool:
        """Whether a model is being loaded."""
        return self._task is not None and not self._task.done()

    @property
    def name(self) -> str:
        """The model's name for the user."""
        return self.model or "the bundled model"

    @property
    def ready(self) -> str:
        """What the user is told once it is loaded."""
        return f"Ready, with {self.name}."

    def start(self, model: str | None, remedy: str) -> None:
        """Drops the engine and loads `model` instead; a load that still runs counts no more.

        Args:
            model: as for `Engine.load`.
            remedy: what the user can do if it fails.
        """
        if self._task is not None:
            self._task.cancel()
        self.engine = None
        self.model = model
        self._task = asyncio.create_task(self._load(model, remedy))

    def drop(self) -> None:
        """Lets go of the engine; what is being loaded counts no more."""
        if self._task is not None:
            self._task.cancel()
        self.engine = None

    async def _load(self, model: str | None, remedy: str) -> None:
        self._client.status("loading", f"Loading {self.name}…")
        started = time.monotonic()
        loading = in_thread(lambda: (self._load_engine or Engine.load)(model))
        title = f"Parrotlet: loading {self.name}"
        self._shown = asyncio.create_task(self._client.progress(title, loading))
        try:
            self.engine = await loading
        except BundleError as error:
            self._fail(str(error), remedy)
        except Exception as error:
            logger.debug("the model cannot be loaded", exc_info=True)
            self._fail(f"{type(error).__name__}: {error}", remedy)
        else:
            self.seconds = time.monotonic() - started
            logger.info("loaded %s in %.2f s", self.name, self.seconds)
            self._client.status("ready", self.ready)

    def _fail(self, reason: str, remedy: str) -> None:
        line = " ".join(reason.split())
        logger.error("no model: %s", line)
        self._client.status("error", line, remedy)
        self._client.show(types.MessageType.Error, f"Parrotlet has no model: {line} {remedy}")

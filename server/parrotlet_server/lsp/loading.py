"""The model is loaded beside the session, so that the editor never waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from lsprotocol import types

from parrotlet_server.bundle.errors import BundleError
from parrotlet_server.engine.completer import (
    BackendOptions,
    Completer,
    EndpointError,
    open_completer,
)

from .client import Client
from .worker import in_thread

logger = logging.getLogger(__name__)

Load = Callable[[BackendOptions], Completer]


class ModelLoader:
    """Holds the engine, from when it is loaded until another one is asked for.

    Attributes:
        engine: None while there is none.
        options: what was asked for; None before anything was.
        seconds: from when it was asked for until it was there; less than loading takes if it had
            begun before that (`Preload`).
    """

    def __init__(self, client: Client, load: Load = open_completer) -> None:
        """Tells `client` how it goes; `load` gives the engine."""
        self.engine: Completer | None = None
        self.options: BackendOptions | None = None
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
        if self.options is not None and self.options.kind == "openai":
            address = urlsplit(self.options.url)  # it may hold a password
            return f"{self.options.served_model or 'the model'} at {address.hostname}"
        return self.model or "the bundled model"

    @property
    def model(self) -> str | None:
        """Bundle, checkpoint or Hub id that was asked for; None is the bundled model."""
        return self.options.model if self.options else None

    @property
    def is_remote(self) -> bool:
        """Whether another server runs the model."""
        return self.options is not None and self.options.kind == "openai"

    @property
    def ready(self) -> str:
        """What the user is told once it is loaded."""
        return f"Ready, with {self.name}."

    def start(self, options: BackendOptions, remedy: str) -> None:
        """Drops the engine and loads another one instead; a load that still runs counts no more.

        Args:
            options: what runs which model.
            remedy: what the user can do if it fails.
        """
        if self._task is not None:
            self._task.cancel()
        self.engine = None
        self.options = options
        self._task = asyncio.create_task(self._load(options, remedy))

    def drop(self) -> None:
        """Lets go of the engine; what is being loaded counts no more."""
        if self._task is not None:
            self._task.cancel()
        self.engine = None

    async def _load(self, options: BackendOptions, remedy: str) -> None:
        self._client.status("loading", f"Loading {self.name}…")
        started = time.monotonic()
        loading = in_thread(lambda: self._load_engine(options))
        title = f"Parrotlet: loading {self.name}"
        self._shown = asyncio.create_task(self._client.progress(title, loading))
        try:
            self.engine = await loading
        except (BundleError, EndpointError) as error:
            self._fail(str(error), remedy)
        except Exception as error:
            logger.debug("the model cannot be loaded", exc_info=True)
            self._fail(f"{type(error).__name__}: {error}", remedy)
        else:
            self.seconds = time.monotonic() - started
            logger.info("loaded %s, after %.2f s", self.name, self.seconds)
            self._client.status("ready", self.ready)

    def _fail(self, reason: str, remedy: str) -> None:
        line = " ".join(reason.split())
        logger.error("no model: %s", line)
        self._client.status("error", line, remedy)
        self._client.show(types.MessageType.Error, f"Parrotlet has no model: {line} {remedy}")

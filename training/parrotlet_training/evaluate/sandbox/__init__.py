"""Running code that nobody has read, so that it can harm nothing."""

from .errors import SandboxError
from .find import available, find_sandbox
from .limits import Limits
from .sandbox import Sandbox, Verdict

__all__ = ["Limits", "Sandbox", "SandboxError", "Verdict", "available", "find_sandbox"]

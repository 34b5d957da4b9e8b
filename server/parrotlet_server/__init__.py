"""Parrotlet's language server and the engine behind it."""

import os

# ONNX Runtime would otherwise note its use in a file of its own and send it to Microsoft; it looks
# at this when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

"""Whether this processor's products of unsigned and signed bytes overflow."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime

PRODUCT = bytes.fromhex(
    "080a12003a3e0a180a01610a0162120179220d4d61744d756c496e7465676572"
    "1201705a090a016112040a0208025a090a016212040a02080362090a01791204"
    "0a02080642040a001012"
)
"""An ONNX model of one ``MatMulInteger``: a (uint8) times b (int8) is y (int32). Written out, since
building it takes 50 ms of a server's start."""


@cache
def sums_overflow() -> bool:
    """Whether ONNX Runtime adds such products by twos in 16 bits here.

    It does on x86 without VNNI (``vpmaddubsw``): two products of 255 and 127 are too much for that,
    and come out as 32,767.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(PRODUCT, options, providers=["CPUExecutionProvider"])
    inner = 64
    one = {"a": np.full((4, inner), 255, np.uint8), "b": np.full((inner, 32), 127, np.int8)}
    return bool((session.run(None, one)[0] != 255 * 127 * inner).any())

import assert from "node:assert/strict";
import { test } from "node:test";
import { asFailure, Failure, pipFailure, venvFailure, type FailureKind } from "../src/failure";

const PIP: [string, FailureKind, string][] = [
  [
    "offline",
    "no-network",
    `WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/pygls/
ERROR: Could not find a version that satisfies the requirement pygls>=2 (from parrotlet) (from versions: none)
ERROR: No matching distribution found for pygls>=2`,
  ],
  [
    "offline on Windows",
    "no-network",
    "[Errno 11001] getaddrinfo failed\nERROR: No matching distribution found for pygls",
  ],
  [
    "slow",
    "no-network",
    "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool: Read timed out.",
  ],
  ["proxy", "no-network", "ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407'))"],
  [
    "certificate",
    "no-certificate",
    "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate'))': /simple/\nCould not fetch URL\nERROR: No matching distribution found for pygls",
  ],
  [
    "disk",
    "no-space",
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
  ],
  ["disk on Windows", "no-space", "OSError: [WinError 112] There is not enough space on the disk: 'C:\\\\x'"],
  ["quota", "no-space", "OSError: [Errno 122] Disk quota exceeded"],
  [
    "rights",
    "no-permission",
    "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'",
  ],
  ["rights on Windows", "no-permission", "OSError: [WinError 5] Access is denied: 'C:\\\\x\\\\y.dll'"],
  [
    "no wheel",
    "no-package",
    "ERROR: Could not find a version that satisfies the requirement onnxruntime>=1.20 (from parrotlet) (from versions: none)\nERROR: No matching distribution found for onnxruntime>=1.20",
  ],
  [
    "wrong Python",
    "no-package",
    "ERROR: Package 'parrotlet' requires a different Python: 3.10.1 not in '>=3.11'",
  ],
  ["anything else", "install", "ERROR: Exception:\nTraceback (most recent call last):"],
];

for (const [name, kind, output] of PIP) {
  test(`pip's output is understood: ${name}`, () => {
    const failure = pipFailure(output, "3.12");
    assert.equal(failure.kind, kind);
    assert.notEqual(failure.remedy, "");
    assert.ok(failure.mends.includes("retry"));
  });
}

test("venv's output is understood", () => {
  const debian =
    "The virtual environment was not created successfully because ensurepip is not\navailable.  On Debian/Ubuntu systems, you need to install the python3-venv\npackage using the following command.";
  assert.equal(venvFailure(debian, "/usr/bin/python3", "3.11").kind, "no-venv");
  assert.equal(venvFailure("/usr/bin/python3: No module named venv", "python3", "3.11").kind, "no-venv");
  assert.equal(
    venvFailure("OSError: [Errno 28] No space left on device", "python3", "3.11").kind,
    "no-space",
  );
  assert.equal(venvFailure("something new", "python3", "3.11").kind, "install");
});

test("whatever is thrown becomes a failure", () => {
  const known = new Failure("no-space", "full", "tidy up");
  assert.equal(asFailure(known), known);
  assert.equal(asFailure(Object.assign(new Error("x"), { code: "ENOSPC" })).kind, "no-space");
  assert.equal(
    asFailure(Object.assign(new Error("EACCES: permission denied, mkdir"), { code: "EACCES" })).kind,
    "no-permission",
  );
  assert.equal(asFailure("a word").message, "a word");
  assert.equal(asFailure(undefined).kind, "start");
});

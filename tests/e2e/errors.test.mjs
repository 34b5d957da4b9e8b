// What people see when the server cannot be started.
import assert from "node:assert/strict";
import { scenario } from "./harness.mjs";

const files = { "hello.py": "print('hello')\n" };

scenario(
  "a server command that does not exist is told, with a way on",
  {
    settings: { "parrotlet.serverCommand": ["/nowhere/parrotlet", "serve"] },
    files,
    file: "hello.py",
    timeout: 300_000,
  },
  async (vscode, window) => {
    const said = await window.statusIs(/could not be started.*/, 90_000);
    assert.match(said, /\/nowhere\/parrotlet/);
    assert.match(said, /parrotlet\.serverCommand/);
    const [notification] = await window.until(
      async () => {
        const found = (await window.notifications()).filter(({ text }) => text.includes("Parrotlet"));
        return found.length > 0 && found;
      },
      10_000,
      () => "no notification",
    );
    assert.match(notification.text, /\/nowhere\/parrotlet/);
    assert.deepEqual(notification.buttons, ["Show Log", "Retry", "Open Settings"]);

    // Another wrong one, set while VS Code runs: tried at once, and its exit code is told.
    const command = ["sh", "-c", "echo no luck >&2; exit 3"];
    await window.setSettings({ "parrotlet.serverCommand": command });
    await window.statusIs(/ended while starting \(exit code 3\)/, 30_000);
    await window.until(
      async () => (await vscode.logs()).includes("[server] no luck"),
      10_000,
      () => "the log does not hold what the server printed",
    );

    // A value of a wrong type: told, with the way to its setting; the server is another setting's matter.
    await window.setSettings({ "parrotlet.serverCommand": command, "parrotlet.pythonPath": 3 });
    const [wrong] = await window.until(
      async () => {
        const found = (await window.notifications()).filter(({ text }) => text.includes("pythonPath"));
        return found.length > 0 && found;
      },
      10_000,
      () => "no notification of the wrong type",
    );
    assert.equal(wrong.text, "Parrotlet: parrotlet.pythonPath must be a string; 3 is ignored.");
    assert.deepEqual(wrong.buttons, ["Open Settings"]);

    // Off: no complaint any more.
    await window.command("Parrotlet: Turn Suggestions On or Off");
    await window.statusIs(/Suggestions are off/, 10_000);
  },
);

// Answers as a language server does, and ends as soon as it is up.
const CRASHING = `
import json, sys

def read():
    length = 0
    while line := sys.stdin.buffer.readline().strip():
        name, value = line.split(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return json.loads(sys.stdin.buffer.read(length))

answer = json.dumps({"jsonrpc": "2.0", "id": read()["id"], "result": {"capabilities": {}}}).encode()
sys.stdout.buffer.write(b"Content-Length: %d\\r\\n\\r\\n" % len(answer) + answer)
sys.stdout.buffer.flush()
read()
sys.exit("out of luck")
`;

scenario(
  "a server that crashes again and again is left alone in the end",
  {
    settings: { "parrotlet.serverCommand": ["python3", "${workspaceFolder}/crashing.py"] },
    files: { ...files, "crashing.py": CRASHING },
    file: "hello.py",
    timeout: 300_000,
  },
  async (vscode, window) => {
    await window.statusIs(/several times and is not started again/, 120_000);
    const log = await vscode.logs();
    assert.equal(log.match(/\[info\] Starting python3/g).length, 4);
    assert.match(log, /\[server\] out of luck/);
    assert.deepEqual(vscode.processes(/crashing\.py/), []);
  },
);

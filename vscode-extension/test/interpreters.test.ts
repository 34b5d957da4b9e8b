import assert from "node:assert/strict";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import type { Failure } from "../src/failure";
import { candidates, locate, pick, type Candidate } from "../src/interpreters";
import { makeProgram, makePython, scratch } from "./support";

const posix = { skip: process.platform === "win32" ? "needs a shell" : false };

function onPath(...names: string[]): Candidate[] {
  return names.map((name) => ({ command: [name], origin: "path" }));
}

test("where to look, best first", () => {
  const names = (list: Candidate[]): string[] => list.map(({ command }) => command.join(" "));
  assert.deepEqual(names(candidates("", "/venv/bin/python", "linux")), [
    "/venv/bin/python",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3",
    "python",
  ]);
  assert.equal(names(candidates("", undefined, "win32")).at(-1), "py -3");
  assert.equal(names(candidates("", undefined, "linux"))[0], "python3.13");
});

test("a Python named in the settings stands alone", () => {
  assert.deepEqual(candidates("/my/python", "/venv/bin/python", "linux"), [
    { command: ["/my/python"], origin: "setting" },
  ]);
});

test("the first that fits is taken; those that do not are passed over", posix, async (t) => {
  const folder = await scratch(t);
  await makePython(folder, "old", { version: [3, 10] });
  await makePython(folder, "pypy", { implementation: "PyPy" });
  await makePython(folder, "narrow", { bits: 32 });
  await makePython(folder, "threaded", { threaded: true });
  await makePython(folder, "bare", { venv: false });
  await makeProgram(folder, "silent", "exit 0");
  await makeProgram(folder, "failing", "exit 9");
  await makePython(folder, "good", { version: [3, 11] });
  await makePython(folder, "later", { version: [3, 13] });
  const names = ["gone", "old", "pypy", "narrow", "threaded", "bare", "silent", "failing", "good", "later"];
  const found = await pick(onPath(...names), { cwd: folder, env: { PATH: folder } });
  assert.deepEqual(found, { command: [path.join(folder, "good")], version: "3.11", base: "/opt/good" });
});

test("when none fits, the message names all that were tried", posix, async (t) => {
  const folder = await scratch(t);
  await makePython(folder, "python3", { version: [3, 9] });
  await assert.rejects(
    pick(onPath("python3.11", "python3"), { cwd: folder, env: { PATH: folder } }),
    (error: Failure) => {
      assert.equal(error.kind, "no-python");
      assert.match(error.message, /python3\.11 \(not found\), .*python3 \(is Python 3\.9\)/);
      assert.ok(error.mends.includes("settings:pythonPath"));
      return true;
    },
  );
});

test("a Python without venv is an error of its own, with the command that mends it", posix, async (t) => {
  const folder = await scratch(t);
  await makePython(folder, "python3", { version: [3, 11], venv: false });
  await assert.rejects(pick(onPath("python3"), { cwd: folder, env: { PATH: folder } }), (error: Failure) => {
    assert.equal(error.kind, "no-venv");
    assert.match(error.remedy, /apt install python3-venv \(or python3\.11-venv\)/);
    return true;
  });
});

test("a wrong setting is told, not worked around", posix, async (t) => {
  const folder = await scratch(t);
  const old = await makePython(folder, "old", { version: [3, 8] });
  for (const [setting, said] of [
    [old, /is Python 3\.8/],
    [path.join(folder, "nowhere"), /not found/],
  ] as const) {
    await assert.rejects(pick(candidates(setting, undefined), { cwd: folder }), (error: Failure) => {
      assert.equal(error.kind, "bad-python");
      assert.match(error.message, said);
      return true;
    });
  }
});

test("a search that is cancelled stops", posix, async (t) => {
  const folder = await scratch(t);
  await makeProgram(folder, "slow", "sleep 30");
  const abort = new AbortController();
  setTimeout(() => {
    abort.abort();
  }, 100);
  await assert.rejects(
    pick(onPath("slow", "slow"), {
      cwd: folder,
      env: { PATH: `${folder}:${process.env.PATH ?? ""}` },
      signal: abort.signal,
    }),
    { kind: "cancelled" },
  );
});

test("programs are looked for on PATH only, never in the current folder", posix, async (t) => {
  const folder = await scratch(t);
  const program = await makeProgram(folder, "python3", "exit 0");
  assert.equal(await locate("python3", { PATH: `/nowhere:${folder}` }), program);
  assert.equal(await locate("python3", { PATH: `.:${path.relative(process.cwd(), folder)}` }), undefined);
  assert.equal(await locate("./python3", { PATH: folder }), undefined);
  assert.equal(await locate(program, {}), program);
  assert.equal(await locate(path.join(folder, "python4"), {}), undefined);
  assert.equal(await locate("", { PATH: folder }), undefined);
});

test("the python3 of a bare macOS, which only opens a dialogue, is passed over", async () => {
  assert.equal(await locate("python3", { PATH: "/usr/bin" }, "darwin"), undefined);
});

test("a real Python is found here", async () => {
  const found = await pick(candidates("", undefined), { cwd: os.tmpdir() });
  assert.match(found.version, /^3\.1[1-9]$/);
});

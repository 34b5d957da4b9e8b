import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import {
  Environments,
  findBundle,
  fingerprintOf,
  pipProgress,
  pythonOf,
  type BuildOptions,
  type Bundle,
  type Environment,
} from "../src/environment";
import type { Failure } from "../src/failure";
import { makeWheel, realPython, scratch } from "./support";

/** Options of a build that no network is needed for. */
async function offline(bundle: Bundle, more: Partial<BuildOptions> = {}): Promise<BuildOptions> {
  return {
    interpreter: await realPython(),
    bundle,
    fingerprint: await fingerprintOf(bundle),
    pipOptions: ["--no-index"],
    neededBytes: 1,
    ...more,
  };
}

function serve({ python }: Environment): string {
  return execFileSync(python, ["-I", "-m", "parrotlet_server", "serve"], { encoding: "utf8" }).trim();
}

async function folders(storage: string): Promise<string[]> {
  return (await readdir(path.join(storage, "envs"))).sort();
}

test("the fingerprint follows the contents of wheel and constraints, not their names", async (t) => {
  const folder = await scratch(t);
  const wheel = path.join(folder, "a.whl");
  const other = path.join(folder, "b.whl");
  const constraints = path.join(folder, "constraints.txt");
  await writeFile(wheel, "one");
  await writeFile(other, "one");
  const plain = await fingerprintOf({ wheel, constraints: undefined });
  assert.match(plain, /^[0-9a-f]{64}$/);
  assert.equal(await fingerprintOf({ wheel: other, constraints: undefined }), plain);
  await writeFile(other, "two");
  assert.notEqual(await fingerprintOf({ wheel: other, constraints: undefined }), plain);
  await writeFile(constraints, "numpy==2.0");
  const pinned = await fingerprintOf({ wheel, constraints });
  assert.notEqual(pinned, plain);
  await writeFile(constraints, "numpy==2.1");
  assert.notEqual(await fingerprintOf({ wheel, constraints }), pinned);
});

test("the bundle is found, or its absence told", async (t) => {
  const folder = await scratch(t);
  await assert.rejects(findBundle(folder), { kind: "no-bundle" });
  await assert.rejects(findBundle(path.join(folder, "nowhere")), { kind: "no-bundle" });
  const { wheel } = await makeWheel(folder);
  assert.deepEqual(await findBundle(folder), { wheel, constraints: undefined });
  await writeFile(path.join(folder, "constraints.txt"), "");
  assert.equal((await findBundle(folder)).constraints, path.join(folder, "constraints.txt"));
});

test("the Python inside, by system", () => {
  assert.equal(pythonOf("/a b/env", "linux"), "/a b/env/bin/python");
  assert.equal(pythonOf("C:\\a b\\env", "win32"), "C:\\a b\\env\\Scripts\\python.exe");
});

test("what pip prints, for people", () => {
  assert.equal(
    pipProgress("  Downloading numpy-2.3.4-cp311-cp311-linux.whl (16.9 MB)"),
    "downloading numpy (16.9 MB)",
  );
  assert.equal(
    pipProgress("Downloading huggingface_hub-1.0.0-py3-none-any.whl.metadata (12 kB)"),
    "downloading huggingface_hub (12 kB)",
  );
  assert.equal(pipProgress("Installing collected packages: a, b"), "unpacking the packages");
  assert.equal(pipProgress("Collecting numpy"), undefined);
});

test("an environment is built, found again, outlives a crash of another build, and goes when old", async (t) => {
  const storage = await scratch(t);
  const bundle = await makeWheel(storage);
  const environments = new Environments(storage);
  const envs = path.join(storage, "envs");

  // What a window leaves that crashed in the middle: a lock of a dead process and a folder without its mark.
  const pid = Number(execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }));
  await mkdir(path.join(envs, "halfbuilt-312-0000", "bin"), { recursive: true });
  const held = path.join(storage, "lock", "held");
  await mkdir(held, { recursive: true });
  await writeFile(path.join(held, "x"), JSON.stringify({ pid, host: os.hostname() }));

  const reports: string[] = [];
  const options = await offline(bundle, { report: (message) => reports.push(message) });
  assert.equal(await environments.find(options.fingerprint), undefined);
  const built = await environments.build(options);
  assert.equal(serve(built), "served ['serve']");
  assert.deepEqual(await folders(storage), [path.basename(built.folder)]);
  assert.ok(reports.includes("making a Python environment"));
  assert.ok(path.basename(built.folder).length <= 24, "a short name, for Windows");

  // Found again, by a new window too; not for another wheel or for another Python.
  const again = new Environments(storage);
  const before = Date.now();
  await utimes(path.join(built.folder, "ready.json"), new Date(0), new Date(0));
  assert.deepEqual(await again.find(options.fingerprint), built);
  assert.ok(
    (await stat(path.join(built.folder, "ready.json"))).mtimeMs >= before - 2_000,
    "its last use is noted",
  );
  assert.deepEqual(await again.find(options.fingerprint, options.interpreter), built);
  assert.equal(await again.find(options.fingerprint, { ...options.interpreter, version: "3.99" }), undefined);
  assert.equal(
    await again.find(options.fingerprint, { ...options.interpreter, base: "/elsewhere" }),
    undefined,
  );
  assert.equal(await again.find("0".repeat(64)), undefined);

  // The next version of the wheel gets its own; the former one stays for a week, for windows that still run it.
  await mkdir(path.join(storage, "next"));
  const next = await makeWheel(path.join(storage, "next"), { version: "0.2.0", main: "print('next')" });
  const newer = await environments.build(await offline(next));
  assert.equal(serve(newer), "next");
  assert.deepEqual(await environments.sweep(newer), []);
  await mkdir(path.join(envs, "halfbuilt-312-0001"));
  await mkdir(held);
  await writeFile(path.join(held, "y"), JSON.stringify({ pid: process.pid, host: os.hostname() }));
  assert.deepEqual(
    await environments.sweep(newer, Date.now() + 8 * 86_400_000),
    [],
    "not while another builds",
  );
  await rm(held, { recursive: true });
  const removed = await environments.sweep(newer, Date.now() + 8 * 86_400_000);
  assert.deepEqual(removed.sort(), [path.join(envs, "halfbuilt-312-0001"), built.folder].sort());
  assert.deepEqual(await folders(storage), [path.basename(newer.folder)]);

  // Its Python is gone, as when people uninstall theirs: not found any more, and made anew.
  await rm(newer.python);
  assert.equal(await environments.find(newer.ready.fingerprint), undefined);
  const mended = await environments.build(await offline(next));
  assert.deepEqual(await folders(storage), [path.basename(mended.folder)]);

  await environments.discard(mended.ready.fingerprint);
  assert.deepEqual(await folders(storage), []);
});

test("two windows at once make one environment, which nothing of the user's own Python reaches", async (t) => {
  const storage = await scratch(t);
  const traps = path.join(storage, "traps");
  await mkdir(traps);
  await writeFile(path.join(traps, "parrotlet_server.py"), "raise SystemExit('trapped')");
  await writeFile(path.join(traps, "random.py"), "raise SystemExit('trapped')");
  const before = process.env;
  process.env = { ...before, PYTHONPATH: traps, PIP_USER: "1", PIP_TARGET: traps };
  t.after(() => {
    process.env = before;
  });

  const options = await offline(await makeWheel(storage));
  const waits: string[] = [];
  const report = (message: string): void => {
    if (message.includes("another window")) {
      waits.push(message);
    }
  };
  const [first, second] = await Promise.all([
    new Environments(storage).build({ ...options, report }),
    new Environments(storage).build({ ...options, report }),
  ]);
  assert.equal(first.folder, second.folder);
  assert.equal(waits.length, 1);
  assert.deepEqual(await folders(storage), [path.basename(first.folder)]);
  assert.equal(serve(first), "served ['serve']");
  assert.deepEqual((await readdir(traps)).sort(), ["parrotlet_server.py", "random.py"]);
});

test("a cancelled build leaves nothing behind", async (t) => {
  const storage = await scratch(t);
  const abort = new AbortController();
  const options = await offline(await makeWheel(storage), {
    signal: abort.signal,
    report: () => {
      setTimeout(() => {
        abort.abort();
      }, 200);
    },
  });
  await assert.rejects(new Environments(storage).build(options), { name: "Failure", kind: "cancelled" });
  assert.deepEqual(await folders(storage), []);
});

test("failures say what is wrong and leave nothing behind", async (t) => {
  const storage = await scratch(t);
  const environments = new Environments(storage);
  const good = await makeWheel(storage);

  await assert.rejects(environments.build(await offline(good, { neededBytes: 2 ** 60 })), {
    kind: "no-space",
  });

  const log: string[] = [];
  const needy = await makeWheel(storage, {
    version: "0.3.0",
    requires: ["parrotlet-needs-this-which-is-nowhere"],
  });
  await assert.rejects(
    environments.build(await offline(needy, { log: (line) => log.push(line) })),
    (error: Failure) => error.kind === "no-package" && error.mends.includes("settings:pythonPath"),
  );
  assert.match(log.join("\n"), /No matching distribution found/);

  // Versions that do not exist are no reason to fail if others do.
  const constraints = path.join(storage, "constraints.txt");
  await writeFile(constraints, "parrotlet==9.9.9");
  log.length = 0;
  const pinned = await environments.build(
    await offline({ ...good, constraints }, { log: (line) => log.push(line) }),
  );
  assert.match(log.join("\n"), /without constraints/);
  await environments.discard(pinned.ready.fingerprint);

  const empty = await makeWheel(storage, { version: "0.4.0", module: "something_else" });
  await assert.rejects(environments.build(await offline(empty)), {
    kind: "install",
    message: /does not start/,
  });

  assert.deepEqual(await folders(storage), []);
});

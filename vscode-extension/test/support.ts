/** What several tests need: scratch folders, made-up wheels, made-up Pythons. */

import { execFileSync } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import type { TestContext } from "node:test";
import type { Bundle } from "../src/environment";
import { candidates, pick, type Interpreter } from "../src/interpreters";

/** A scratch folder with a blank and an umlaut in its name, as people's have. */
export async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "parrotlet grün "));
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  return folder;
}

let interpreter: Promise<Interpreter> | undefined;

export function realPython(): Promise<Interpreter> {
  interpreter ??= pick(candidates("", undefined), { cwd: os.tmpdir() });
  return interpreter;
}

export interface WheelOptions {
  readonly version?: string;
  /** Text of the package's __main__.py. */
  readonly main?: string;
  readonly module?: string;
  readonly requires?: readonly string[];
}

const BUILD_WHEEL = `
import json, sys, zipfile
folder, options = sys.argv[1], json.loads(sys.argv[2])
version, module = options.get("version", "0.1.0"), options.get("module", "parrotlet_server")
info = f"parrotlet-{version}.dist-info"
files = {
    f"{module}/__init__.py": "",
    f"{module}/__main__.py": options.get("main", "import sys; print('served', sys.argv[1:])"),
    f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: parrotlet\\nVersion: {version}\\n"
    + "".join(f"Requires-Dist: {name}\\n" for name in options.get("requires", [])),
    f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
}
files[f"{info}/RECORD"] = "".join(f"{name},,\\n" for name in [*files, f"{info}/RECORD"])
with zipfile.ZipFile(f"{folder}/parrotlet-{version}-py3-none-any.whl", "w") as wheel:
    for name, text in files.items():
        wheel.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
`;

/** A wheel that pip installs without a network. */
export async function makeWheel(folder: string, options: WheelOptions = {}): Promise<Bundle> {
  const [program = "", ...args] = (await realPython()).command;
  execFileSync(program, [...args, "-I", "-c", BUILD_WHEEL, folder, JSON.stringify(options)]);
  return {
    wheel: path.join(folder, `parrotlet-${options.version ?? "0.1.0"}-py3-none-any.whl`),
    constraints: undefined,
  };
}

/** A program that answers as a Python of this kind would; for systems with a shell. */
export async function makePython(
  folder: string,
  name: string,
  report: Partial<Record<"version" | "implementation" | "bits" | "threaded" | "base" | "venv", unknown>>,
): Promise<string> {
  const answer = {
    version: [3, 12],
    implementation: "CPython",
    bits: 64,
    threaded: false,
    base: `/opt/${name}`,
    venv: true,
    ...report,
  };
  return makeProgram(folder, name, `echo 'parrotlet:${JSON.stringify(answer)}'`);
}

export async function makeProgram(folder: string, name: string, script: string): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
  return file;
}

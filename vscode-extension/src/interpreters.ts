/** Finding a Python that the server's own environment can be made from. */

import { lstat, access, constants } from "node:fs/promises";
import * as path from "node:path";
import { run } from "./child";
import { Failure, noVenv } from "./failure";

export const MINIMUM = [3, 11] as const;
/** Newer ones are tried through `python3` and `python`; these are the ones the server's packages surely exist for. */
const NAMED = ["python3.13", "python3.12", "python3.11"];

/** Where to look, in words that an error message can use. */
export interface Candidate {
  readonly command: readonly string[];
  readonly origin: "setting" | "python-extension" | "path";
}

export interface Interpreter {
  readonly command: readonly string[];
  /** Such as `3.12`. */
  readonly version: string;
  /** Where this Python is installed; the same for all virtual environments made from it. */
  readonly base: string;
}

/** What a Python says about itself. */
interface Report {
  readonly version: readonly [number, number];
  readonly implementation: string;
  readonly bits: number;
  readonly threaded: boolean;
  readonly base: string;
  readonly venv: boolean;
}

const PROBE = `
import importlib.util, json, platform, sys, sysconfig
print("parrotlet:" + json.dumps({
    "version": sys.version_info[:2],
    "implementation": platform.python_implementation(),
    "bits": 64 if sys.maxsize > 2**32 else 32,
    "threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "base": sys.base_prefix,
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
}))
`;

/** All places to look, best first. A setting stands alone: who names a Python wants that one. */
export function candidates(
  setting: string,
  fromPythonExtension: string | undefined,
  platform: NodeJS.Platform = process.platform,
): Candidate[] {
  if (setting !== "") {
    return [{ command: [setting], origin: "setting" }];
  }
  const result: Candidate[] = [];
  if (fromPythonExtension !== undefined) {
    result.push({ command: [fromPythonExtension], origin: "python-extension" });
  }
  for (const name of [...NAMED, "python3", "python"]) {
    result.push({ command: [name], origin: "path" });
  }
  if (platform === "win32") {
    result.push({ command: ["py", "-3"], origin: "path" });
  }
  return result;
}

export interface PickOptions {
  /** A folder that holds no programs and no modules: some systems look for both in the current folder first. */
  readonly cwd: string;
  readonly signal?: AbortSignal;
  readonly env?: NodeJS.ProcessEnv;
  readonly log?: (line: string) => void;
}

/** The first candidate that fits; a failure that names all that were tried when there is none. */
export async function pick(from: readonly Candidate[], options: PickOptions): Promise<Interpreter> {
  const tried: string[] = [];
  const withoutVenv: { program: string; version: string }[] = [];
  for (const candidate of from) {
    const program = await locate(candidate.command[0] ?? "", options.env);
    if (program === undefined) {
      tried.push(`${candidate.command.join(" ")} (not found)`);
      continue;
    }
    const command = [program, ...candidate.command.slice(1)];
    const report = await probe(command, options);
    const trouble = report === undefined ? "does not run" : unfit(report);
    if (report !== undefined && trouble === undefined) {
      const version = report.version.join(".");
      if (report.venv) {
        options.log?.(`Python ${version} at ${command.join(" ")}`);
        return { command, version, base: report.base };
      }
      withoutVenv.push({ program, version });
    }
    tried.push(`${command.join(" ")} (${trouble ?? "no venv module"})`);
  }

  const [first] = withoutVenv;
  if (first) {
    throw noVenv([...new Set(withoutVenv.map(({ program }) => program))], first.version);
  }
  if (from[0]?.origin === "setting") {
    throw new Failure(
      "bad-python",
      `The setting parrotlet.pythonPath names no fitting Python: ${tried.join(", ")}.`,
      `Point it at Python ${MINIMUM.join(".")} or newer, or empty it to have one found.`,
      ["settings:pythonPath", "retry"],
    );
  }
  throw new Failure(
    "no-python",
    `No Python ${MINIMUM.join(".")} or newer was found. Tried: ${tried.join(", ")}.`,
    "Install one from python.org or your package manager, or set parrotlet.pythonPath.",
    ["settings:pythonPath", "retry"],
  );
}

function unfit(report: Report): string | undefined {
  const [major, minor] = report.version;
  if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])) {
    return `is Python ${major}.${minor}`;
  }
  if (report.implementation !== "CPython") {
    return `is ${report.implementation}`;
  }
  if (report.bits !== 64) {
    return `is ${report.bits} bit`;
  }
  return report.threaded ? "is the free-threaded build" : undefined;
}

async function probe(command: readonly string[], options: PickOptions): Promise<Report | undefined> {
  try {
    const { code, output } = await run([...command, "-I", "-c", PROBE], {
      cwd: options.cwd,
      signal: options.signal,
      timeoutMs: 15_000,
    });
    const line = output.split("\n").find((text) => text.startsWith("parrotlet:"));
    return code === 0 && line !== undefined
      ? (JSON.parse(line.slice("parrotlet:".length)) as Report)
      : undefined;
  } catch (error) {
    if (error instanceof Failure && error.kind === "cancelled") {
      throw error;
    }
    return undefined;
  }
}

/**
 * A program's full path. We search PATH ourselves, since Windows would look into the current folder first, and since
 * the `python3` of a bare macOS only opens a dialogue that offers to install developer tools.
 */
export async function locate(
  program: string,
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): Promise<string | undefined> {
  const paths = platform === "win32" ? path.win32 : path.posix;
  if (paths.isAbsolute(program)) {
    return (await isProgram(program, platform)) ? program : undefined;
  }
  if (program === "" || /[\\/]/.test(program)) {
    return undefined;
  }
  const name = platform === "win32" && !program.toLowerCase().endsWith(".exe") ? `${program}.exe` : program;
  const variable = Object.keys(env).find((key) => key.toUpperCase() === "PATH");
  for (const folder of (env[variable ?? "PATH"] ?? "").split(paths.delimiter)) {
    const full = paths.join(folder, name);
    if (!paths.isAbsolute(folder) || (platform === "darwin" && full.startsWith("/usr/bin/python"))) {
      continue;
    }
    if (await isProgram(full, platform)) {
      return full;
    }
  }
  return undefined;
}

async function isProgram(file: string, platform: NodeJS.Platform): Promise<boolean> {
  try {
    if (platform === "win32") {
      // The Store's Python is an alias that only lstat can see.
      await lstat(file);
    } else {
      await access(file, constants.X_OK);
    }
    return true;
  } catch {
    return false;
  }
}

/** Running other programs: to their end, with a time limit, cancellable, with all that they start. */

import { spawn, type ChildProcess } from "node:child_process";
import * as readline from "node:readline";
import { cancelled } from "./failure";

/** Enough to recognise an error by, little enough to keep. */
const KEPT_LINES = 400;

export interface RunOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs: number;
  readonly onLine?: (line: string) => void;
}

export interface RunResult {
  /** `undefined` when a signal ended it. */
  readonly code: number | undefined;
  /** The last lines of both streams, as they came. */
  readonly output: string;
  readonly timedOut: boolean;
}

/** Runs a program to its end. Rejects when it cannot be started or when `signal` cancels. */
export async function run(command: readonly string[], options: RunOptions): Promise<RunResult> {
  const { signal } = options;
  const throwIfCancelled = (): void => {
    if (signal?.aborted === true) {
      throw cancelled();
    }
  };
  throwIfCancelled();
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: options.env ?? cleanEnvironment(process.env),
    stdio: ["ignore", "pipe", "pipe"],
    windowsHide: true,
    // A process group of its own, so that killTree() reaches what the program starts.
    detached: process.platform !== "win32",
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    readline.createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      if (lines.length > KEPT_LINES) {
        lines.shift();
      }
      options.onLine?.(line);
    });
  }

  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    killTree(child);
  }, options.timeoutMs);
  const onAbort = (): void => {
    killTree(child);
  };
  signal?.addEventListener("abort", onAbort);
  try {
    const code = await new Promise<number | undefined>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (exit) => {
        resolve(exit ?? undefined);
      });
    });
    throwIfCancelled();
    return { code, output: lines.join("\n"), timedOut };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Ends a program and what it started. */
export function killTree(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
    return;
  }
  if (process.platform === "win32") {
    spawn("taskkill", ["/pid", String(child.pid), "/T", "/F"], { stdio: "ignore", windowsHide: true }).on(
      "error",
      () => {
        child.kill();
      },
    );
    return;
  }
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // Not the head of a group, or gone between the check and here.
    child.kill("SIGKILL");
  }
}

/**
 * The environment for a Python that must not see the user's own: these variables put other folders on its path or
 * send pip's files elsewhere. The package index, proxies and certificates stay as the user has set them.
 */
export function cleanEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const unwanted = new Set([
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONEXECUTABLE",
    "__PYVENV_LAUNCHER__",
    "VIRTUAL_ENV",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_PYTHON",
    "PIP_DRY_RUN",
    "PIP_REPORT",
  ]);
  return Object.fromEntries(Object.entries(env).filter(([name]) => !unwanted.has(name.toUpperCase())));
}

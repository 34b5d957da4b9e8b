/**
 * The managed environment: a virtual environment that holds the server, made from the wheel that the extension
 * carries.
 *
 *   <storage>/lock
 *   <storage>/envs/<12 digits of the fingerprint>-<Python version>-<random>/ready.json
 *
 * Each attempt builds in a folder of its own and writes `ready.json` last; only a folder with that file is ever
 * used. So nothing is renamed (a virtual environment holds its own path, and Windows refuses to move what a virus
 * scanner is reading), and neither a crash, nor a pip that outlived its window, nor two windows at once can spoil an
 * environment in use. The lock only spares the second window the work. Names are short because Windows limits the
 * length of a path, and one of the packages nests deeply.
 */

import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, rm, stat, statfs, utimes, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { pipeline } from "node:stream/promises";
import { run } from "./child";
import { Failure, pipFailure, venvFailure } from "./failure";
import type { Interpreter } from "./interpreters";
import { acquire, tryAcquire } from "./lock";

const FORMAT = 1;
const READY = "ready.json";
/** Twice what an environment takes: pip unpacks beside it. */
const NEEDED_BYTES = 500 * 1024 * 1024;
const DAY_MS = 24 * 60 * 60_000;
/** Long enough for a window that still runs the former version of the extension to have been closed. */
const KEEP_UNUSED_MS = 7 * DAY_MS;
const MODULE = "parrotlet_server";

/** What the extension carries. */
export interface Bundle {
  readonly wheel: string;
  /** Exact versions of the packages that the wheel needs. */
  readonly constraints: string | undefined;
}

export interface Environment {
  readonly folder: string;
  readonly python: string;
  readonly ready: Ready;
}

interface Ready {
  readonly format: number;
  readonly fingerprint: string;
  readonly version: string;
  readonly base: string;
}

export interface Work {
  readonly signal?: AbortSignal | undefined;
  /** One short line on what goes on, for people. */
  readonly report?: (message: string) => void;
  /** Everything that the programs print. */
  readonly log?: (line: string) => void;
}

export interface BuildOptions extends Work {
  readonly interpreter: Interpreter;
  readonly bundle: Bundle;
  readonly fingerprint: string;
  /** Further options for `pip install`, such as a proxy. */
  readonly pipOptions?: readonly string[];
  readonly neededBytes?: number;
}

/** The wheel and constraints in `folder`. */
export async function findBundle(folder: string): Promise<Bundle> {
  const names = await readdir(folder).catch((): string[] => []);
  const wheel = names.find((name) => name.startsWith("parrotlet-") && name.endsWith(".whl"));
  if (wheel === undefined) {
    throw new Failure(
      "no-bundle",
      "This build of the extension carries no server.",
      "Install Parrotlet with pip and set parrotlet.serverCommand to the path of its program followed by serve.",
      ["settings:serverCommand"],
    );
  }
  return {
    wheel: path.join(folder, wheel),
    constraints: names.includes("constraints.txt") ? path.join(folder, "constraints.txt") : undefined,
  };
}

/** SHA-256 over the wheel and the constraints: another content, another environment. */
export async function fingerprintOf(bundle: Bundle): Promise<string> {
  const hash = createHash("sha256");
  hash.update(`format ${FORMAT}\0`);
  await pipeline(createReadStream(bundle.wheel), hash, { end: false });
  hash.update("\0constraints\0");
  if (bundle.constraints !== undefined) {
    hash.update(await readFile(bundle.constraints));
  }
  return hash.digest("hex");
}

export function pythonOf(folder: string, platform: NodeJS.Platform = process.platform): string {
  return platform === "win32"
    ? path.win32.join(folder, "Scripts", "python.exe")
    : path.posix.join(folder, "bin", "python");
}

export class Environments {
  private readonly root: string;
  private readonly lockFolder: string;

  constructor(storage: string) {
    this.root = path.join(storage, "envs");
    this.lockFolder = path.join(storage, "lock");
  }

  /** A finished environment for this wheel, made from `interpreter` if one is asked for, that still runs. */
  async find(
    fingerprint: string,
    interpreter?: Interpreter,
    work: Work = {},
  ): Promise<Environment | undefined> {
    for (const environment of await this.finished()) {
      const { ready } = environment;
      const fits =
        ready.fingerprint === fingerprint &&
        (interpreter === undefined ||
          (ready.version === interpreter.version && ready.base === interpreter.base));
      if (fits && (await this.runs(environment, work))) {
        const now = new Date();
        await utimes(path.join(environment.folder, READY), now, now).catch(() => undefined);
        return environment;
      }
    }
    return undefined;
  }

  /** Makes an environment, unless another window has made it while we waited for the lock. */
  async build(options: BuildOptions): Promise<Environment> {
    const { interpreter, fingerprint, signal, report } = options;
    await mkdir(this.root, { recursive: true });
    const lock = await acquire(this.lockFolder, {
      signal,
      onWait: () => report?.("another window is setting up the server, waiting for it"),
    });
    try {
      const found = await this.find(fingerprint, interpreter, options);
      if (found) {
        return found;
      }
      await this.removeUnfinished();
      await this.removeBroken(fingerprint, options);
      await this.checkSpace(options.neededBytes ?? NEEDED_BYTES);
      const name = `${fingerprint.slice(0, 12)}-${interpreter.version.replace(".", "")}-${randomBytes(2).toString("hex")}`;
      const folder = path.join(this.root, name);
      try {
        return await this.buildIn(folder, options);
      } catch (error) {
        await remove(folder).catch(() => undefined);
        throw error;
      }
    } finally {
      await lock.release();
    }
  }

  /** Removes the environments for this wheel, so that the next start makes a new one. */
  async discard(fingerprint: string): Promise<void> {
    for (const { folder, ready } of await this.finished()) {
      if (ready.fingerprint === fingerprint) {
        await remove(folder);
      }
    }
  }

  /** Removes what is left of crashes and of former versions; leaves it for later while another window builds. */
  async sweep(current: Environment, now = Date.now()): Promise<string[]> {
    const lock = await tryAcquire(this.lockFolder);
    if (!lock) {
      return [];
    }
    try {
      const removed = await this.removeUnfinished();
      for (const { folder } of await this.finished()) {
        const { mtimeMs } = await stat(path.join(folder, READY));
        if (folder !== current.folder && now - mtimeMs > KEEP_UNUSED_MS) {
          await remove(folder);
          removed.push(folder);
        }
      }
      return removed;
    } finally {
      await lock.release();
    }
  }

  private async buildIn(folder: string, options: BuildOptions): Promise<Environment> {
    const { interpreter, bundle, fingerprint, report, log } = options;
    const python = pythonOf(folder);

    report?.("making a Python environment");
    const venv = await this.step([...interpreter.command, "-I", "-m", "venv", folder], options);
    if (venv.code !== 0) {
      throw venvFailure(venv.output, interpreter.command.join(" "), interpreter.version);
    }

    report?.("installing the server and its packages");
    try {
      await this.install(python, bundle.constraints, options);
    } catch (error) {
      // The exact versions that were tested may not exist for a Python that came later; others may.
      if (!(error instanceof Failure && error.kind === "no-package" && bundle.constraints !== undefined)) {
        throw error;
      }
      log?.("Trying again without constraints on versions");
      await this.install(python, undefined, options);
    }

    report?.("checking the server");
    const check = await this.step([python, "-I", "-c", `import ${MODULE}`], options);
    if (check.code !== 0) {
      throw new Failure("install", "The server was installed but does not start.", "The log says why.", [
        "retry",
        "settings:pythonPath",
      ]);
    }

    const ready: Ready = {
      format: FORMAT,
      fingerprint,
      version: interpreter.version,
      base: interpreter.base,
    };
    await writeFile(path.join(folder, READY), JSON.stringify(ready));
    return { folder, python, ready };
  }

  private async install(
    python: string,
    constraints: string | undefined,
    options: BuildOptions,
  ): Promise<void> {
    const { bundle, signal, report, log } = options;
    const pip = await run(
      [
        python,
        ...["-I", "-X", "utf8", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"],
        // Wheels only: nothing is compiled here, and no package runs a program of its own to be installed. Modules are
        // compiled when first imported; compiling all that is never imported would take longer than the download.
        ...["--only-binary", ":all:", "--no-compile", "--progress-bar", "off"],
        ...(constraints === undefined ? [] : ["--constraint", constraints]),
        ...(options.pipOptions ?? []),
        bundle.wheel,
      ],
      {
        cwd: this.root,
        signal,
        timeoutMs: 30 * 60_000,
        onLine: (line) => {
          log?.(line);
          const progress = pipProgress(line);
          if (progress !== undefined) {
            report?.(progress);
          }
        },
      },
    );
    if (pip.code !== 0) {
      throw pipFailure(
        pip.timedOut ? `${pip.output}\nRead timed out` : pip.output,
        options.interpreter.version,
      );
    }
  }

  private step(command: readonly string[], work: Work): ReturnType<typeof run> {
    return run(command, {
      cwd: this.root,
      signal: work.signal,
      timeoutMs: 5 * 60_000,
      onLine: (line) => work.log?.(line),
    });
  }

  /** Whether its Python still starts (it may have been uninstalled) and finds the server. */
  private async runs(environment: Environment, work: Work): Promise<boolean> {
    const code = `import importlib.util as u, sys; sys.exit(0 if u.find_spec("${MODULE}") else 3)`;
    try {
      const result = await run([environment.python, "-I", "-c", code], {
        cwd: this.root,
        signal: work.signal,
        timeoutMs: 60_000,
      });
      if (result.code === 0 || result.timedOut) {
        return true;
      }
      work.log?.(`${environment.folder} is not used: ${result.output}`);
    } catch (error) {
      if (error instanceof Failure) {
        throw error;
      }
      work.log?.(`${environment.folder} is not used: ${String(error)}`);
    }
    return false;
  }

  private async folders(): Promise<string[]> {
    const entries = await readdir(this.root, { withFileTypes: true }).catch(() => []);
    return entries.filter((entry) => entry.isDirectory()).map((entry) => path.join(this.root, entry.name));
  }

  private async finished(): Promise<Environment[]> {
    const result: Environment[] = [];
    for (const folder of await this.folders()) {
      const ready = await readReady(folder);
      if (ready) {
        result.push({ folder, python: pythonOf(folder), ready });
      }
    }
    return result;
  }

  /** For the owner of the lock: nobody else can be building, so what is not finished is left of a crash. */
  private async removeUnfinished(): Promise<string[]> {
    const removed: string[] = [];
    for (const folder of await this.folders()) {
      if (!(await readReady(folder))) {
        try {
          await remove(folder);
          removed.push(folder);
        } catch {
          // Something still writes or reads there. It does no harm, and the next one tries again.
        }
      }
    }
    return removed;
  }

  /** Those whose Python is gone would only take up room. */
  private async removeBroken(fingerprint: string, work: Work): Promise<void> {
    for (const environment of await this.finished()) {
      if (environment.ready.fingerprint === fingerprint && !(await this.runs(environment, work))) {
        await remove(environment.folder).catch(() => undefined);
      }
    }
  }

  private async checkSpace(needed: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.root);
    if (bavail * bsize < needed) {
      const mb = (bytes: number): number => Math.floor(bytes / 1024 / 1024);
      throw new Failure(
        "no-space",
        `The disk is full: the server needs ${mb(needed)} MB, ${mb(bavail * bsize)} MB are free in ${this.root}.`,
        "Free some space, then try again.",
      );
    }
  }
}

async function readReady(folder: string): Promise<Ready | undefined> {
  try {
    const ready = JSON.parse(await readFile(path.join(folder, READY), "utf8")) as Partial<Ready>;
    return ready.format === FORMAT ? (ready as Ready) : undefined;
  } catch {
    return undefined;
  }
}

/** The mark goes first, so that a removal that stops halfway leaves nothing that looks finished. */
async function remove(folder: string): Promise<void> {
  await rm(path.join(folder, READY), { force: true });
  await rm(folder, { recursive: true, force: true, maxRetries: 3, retryDelay: 200 });
}

/** What a line that pip prints means to people. */
export function pipProgress(line: string): string | undefined {
  const download = /^\s*Downloading (\S+?)-\d\S*(?: \((.+)\))?/.exec(line);
  if (download) {
    return `downloading ${download[1] ?? ""}${download[2] === undefined ? "" : ` (${download[2]})`}`;
  }
  return line.startsWith("Installing collected packages") ? "unpacking the packages" : undefined;
}

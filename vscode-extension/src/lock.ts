/**
 * One owner at a time, among the windows of VS Code and of VS Code's kin that share a folder.
 *
 *   <folder>/held/<the owner's random name>
 *
 * Whoever finds `held` free (missing or empty) makes a folder with a file of its own in it and renames that to
 * `held`, which the file system lets happen only once. To let go, or to clear what a dead owner left, a file is
 * removed *by its owner's name*: who judged one owner dead can never remove the next one's lock, however late it
 * comes. The owner refreshes its file's time while it works, so that a lock left by a crash is told from a living
 * one: at once where its process is known to be dead, else when nobody has refreshed it for as long as *we* have
 * watched. No clock is compared with another, hence a wrong clock, a sleeping laptop or a reused process number
 * does no harm.
 */

import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, rmdir, stat, utimes, writeFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cancelled, errorCode } from "./failure";

const HELD = "held";

export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called once, when another owner is found to be at work. */
  readonly onWait?: () => void;
  readonly pollMs?: number;
  readonly beatMs?: number;
  /** How long a lock must have stood unrefreshed under our eyes to count as abandoned. */
  readonly abandonedMs?: number;
}

/** What an owner writes of itself. */
interface Owner {
  readonly pid: number;
  readonly host: string;
}

/** A lock as others see it. */
interface Seen {
  readonly name: string;
  readonly text: string;
  readonly mtimeMs: number;
}

export interface Lock {
  /** Whether the lock is still ours; another one may have judged us dead. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

/** Waits for the lock and takes it. */
export async function acquire(folder: string, options: LockOptions = {}): Promise<Lock> {
  const { signal, onWait, pollMs = 500, beatMs = 5_000, abandonedMs = 60_000 } = options;
  let watched: { key: string; since: number } | undefined;
  let waited = false;
  let unseen = 0;
  for (;;) {
    if (signal?.aborted === true) {
      throw cancelled();
    }
    const lock = await tryAcquire(folder, beatMs);
    if (lock) {
      return lock;
    }
    const seen = await look(folder);
    unseen = seen ? 0 : unseen + 1;
    if (unseen > 20) {
      throw new Error(`EPERM: ${path.join(folder, HELD)} can neither be made nor seen`);
    }
    if (seen) {
      const now = performance.now();
      const key = `${seen.name}@${seen.mtimeMs}`;
      if (watched?.key !== key) {
        watched = { key, since: now };
      }
      const isAbandoned = isDead(seen.text) || now - watched.since >= abandonedMs;
      if (isAbandoned && (await remove(folder, seen.name))) {
        continue;
      }
    }
    if (!waited) {
      waited = true;
      onWait?.();
    }
    await sleep(pollMs, undefined, signal ? { signal } : {}).catch(() => undefined);
  }
}

/** Takes the lock if it is free. */
export async function tryAcquire(folder: string, beatMs = 5_000): Promise<Lock | undefined> {
  await mkdir(folder, { recursive: true });
  if (await look(folder)) {
    return undefined;
  }
  const name = randomUUID();
  const made = path.join(folder, name);
  const held = path.join(folder, HELD);
  const owner: Owner = { pid: process.pid, host: os.hostname() };
  try {
    await mkdir(made);
    await writeFile(path.join(made, name), JSON.stringify(owner));
    if (process.platform === "win32") {
      // It renames onto no folder, be it empty.
      await rmdir(held).catch(() => undefined);
    }
    await rename(made, held);
  } catch (error) {
    await rm(made, { recursive: true, force: true }).catch(() => undefined);
    // ENOENT: the owner cleared away what we had begun to make.
    if (["EEXIST", "ENOTEMPTY", "ENOENT"].includes(errorCode(error)) || isBeingDeleted(error)) {
      return undefined;
    }
    throw error;
  }
  const file = path.join(held, name);
  // Somebody may have judged us dead, or cleared the folder before it was moved.
  const isHeld = async (): Promise<boolean> => {
    try {
      await stat(file);
      return true;
    } catch (error) {
      return errorCode(error) !== "ENOENT";
    }
  };
  if (!(await isHeld())) {
    await remove(folder, name);
    return undefined;
  }
  await clear(folder);

  const beat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined);
  }, beatMs);
  beat.unref();
  return {
    isHeld,
    release: async () => {
      clearInterval(beat);
      await remove(folder, name);
    },
  };
}

async function look(folder: string): Promise<Seen | undefined> {
  const held = path.join(folder, HELD);
  try {
    const [name] = await readdir(held);
    if (name === undefined) {
      return undefined;
    }
    const file = path.join(held, name);
    const { mtimeMs } = await stat(file);
    return { name, text: await readFile(file, "utf8"), mtimeMs };
  } catch (error) {
    if (errorCode(error) === "ENOENT" || isBeingDeleted(error)) {
      return undefined;
    }
    throw error;
  }
}

/** Frees the lock if it is still the one of that name; whether that one is gone. */
async function remove(folder: string, name: string): Promise<boolean> {
  const held = path.join(folder, HELD);
  try {
    await rm(path.join(held, name), { force: true });
  } catch (error) {
    if (isBeingDeleted(error)) {
      return false;
    }
    throw error;
  }
  // Fails where the next owner is in already, as it should.
  await rmdir(held).catch(() => undefined);
  return true;
}

/** For the owner: removes what others left that died between making a lock and taking it. */
async function clear(folder: string): Promise<void> {
  for (const entry of await readdir(folder).catch(() => [])) {
    if (entry !== HELD) {
      await rm(path.join(folder, entry), { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

/** Windows answers so while something of that name is being deleted, and to a rename onto a folder. */
function isBeingDeleted(error: unknown): boolean {
  return process.platform === "win32" && ["EPERM", "EBUSY", "EACCES"].includes(errorCode(error));
}

/** Whether the owner ran on this machine and runs no more. An unreadable owner is not known to be dead. */
function isDead(text: string): boolean {
  let owner: Partial<Owner>;
  try {
    owner = JSON.parse(text) as Partial<Owner>;
  } catch {
    return false;
  }
  if (owner.host !== os.hostname() || typeof owner.pid !== "number") {
    return false;
  }
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    return errorCode(error) === "ESRCH";
  }
}

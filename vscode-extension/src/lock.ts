/**
 * One owner at a time, among the windows of VS Code and of VS Code's kin that share a folder.
 *
 * A lock is a file that only one process can create. Its owner refreshes the file's time while it works, so that a
 * lock left by a crash is told from a living one: at once where its process is known to be dead, else when nobody
 * has refreshed it for as long as *we* have watched. No clock is compared with another, hence a wrong clock, a
 * sleeping laptop or a reused process number does no harm.
 */

import { randomUUID } from "node:crypto";
import { open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import * as os from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { cancelled, errorCode } from "./failure";

export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called once, when another owner is found to be at work. */
  readonly onWait?: () => void;
  readonly pollMs?: number;
  readonly beatMs?: number;
  /** How long a lock must have stood unrefreshed under our eyes to count as abandoned. */
  readonly abandonedMs?: number;
}

interface Owner {
  readonly pid: number;
  readonly host: string;
  readonly nonce: string;
}

export interface Lock {
  /** Whether the lock is still ours; another one may have judged us dead. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

/** Waits for the lock and takes it. */
export async function acquire(file: string, options: LockOptions = {}): Promise<Lock> {
  const { signal, onWait, pollMs = 500, beatMs = 5_000, abandonedMs = 60_000 } = options;
  let watched: { key: string; since: number } | undefined;
  let waited = false;
  let unseen = 0;
  for (;;) {
    if (signal?.aborted === true) {
      throw cancelled();
    }
    const lock = await tryAcquire(file, beatMs);
    if (lock) {
      return lock;
    }
    const seen = await look(file);
    unseen = seen ? 0 : unseen + 1;
    if (unseen > 20) {
      throw new Error(`EPERM: ${file} can neither be made nor seen`);
    }
    if (seen) {
      const now = performance.now();
      const key = `${seen.text}@${seen.mtimeMs}`;
      if (watched?.key !== key) {
        watched = { key, since: now };
      }
      if (isDead(seen.text) || now - watched.since >= abandonedMs) {
        await discard(file, seen.text);
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
export async function tryAcquire(file: string, beatMs = 5_000): Promise<Lock | undefined> {
  const owner: Owner = { pid: process.pid, host: os.hostname(), nonce: randomUUID() };
  const text = JSON.stringify(owner);
  try {
    const handle = await open(file, "wx");
    try {
      await handle.writeFile(text);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (errorCode(error) === "EEXIST" || isBeingDeleted(error)) {
      return undefined;
    }
    throw error;
  }

  const beat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined);
  }, beatMs);
  beat.unref();

  const isHeld = async (): Promise<boolean> => (await look(file))?.text === text;
  return {
    isHeld,
    release: async () => {
      clearInterval(beat);
      if (await isHeld()) {
        await rm(file, { force: true });
      }
    },
  };
}

async function look(file: string): Promise<{ text: string; mtimeMs: number } | undefined> {
  try {
    const { mtimeMs } = await stat(file);
    return { text: await readFile(file, "utf8"), mtimeMs };
  } catch (error) {
    if (errorCode(error) === "ENOENT" || isBeingDeleted(error)) {
      return undefined;
    }
    throw error;
  }
}

/** Windows answers EPERM or EBUSY while a file of that name is being deleted. */
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

/**
 * Removes the lock that was judged abandoned, and no other: of several who judge the same lock, one wins the
 * rename; who comes late, and moves a fresh lock away by mistake, sees so and puts it back.
 */
async function discard(file: string, judged: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  try {
    await rename(file, aside);
  } catch {
    return;
  }
  const moved = await readFile(aside, "utf8").catch(() => "");
  if (moved === judged) {
    await rm(aside, { force: true });
  } else {
    await rename(aside, file);
  }
}

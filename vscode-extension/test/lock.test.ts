import assert from "node:assert/strict";
import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { acquire, tryAcquire } from "../src/lock";
import { scratch } from "./support";

const CHILD = "PARROTLET_TEST_COUNTER";

function deadPid(): number {
  return Number(execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }));
}

function lockText(pid: number, host = os.hostname()): string {
  return JSON.stringify({ pid, host });
}

/** A lock as a window leaves it that crashed. */
async function leave(folder: string, text: string, name = "of-a-crashed-window"): Promise<void> {
  await mkdir(path.join(folder, "held"), { recursive: true });
  await writeFile(path.join(folder, "held", name), text);
}

/** What each of several processes does: adds one to a number in a file, slowly enough to lose some without a lock. */
async function count(folder: string): Promise<void> {
  for (let i = 0; i < 5; i++) {
    const lock = await acquire(path.join(folder, "lock"), { pollMs: 5 });
    const file = path.join(folder, "counter");
    const before = Number(await readFile(file, "utf8"));
    await sleep(5);
    await writeFile(file, String(before + 1));
    await lock.release();
  }
}

const counterFolder = process.env[CHILD];
if (counterFolder !== undefined) {
  void count(counterFolder);
} else {
  test("the second waits until the first has let go", async (t) => {
    const folder = path.join(await scratch(t), "lock");
    const first = await acquire(folder);
    let waits = 0;
    const second = acquire(folder, { pollMs: 10, onWait: () => waits++ });
    await sleep(60);
    assert.equal(await tryAcquire(folder), undefined);
    assert.equal(waits, 1);
    assert.equal(await first.isHeld(), true);
    await first.release();
    const lock = await second;
    assert.equal(await lock.isHeld(), true);
    assert.equal(await first.isHeld(), false);
    await lock.release();
  });

  test("the lock of a dead process is taken over at once", async (t) => {
    const folder = path.join(await scratch(t), "lock");
    await leave(folder, lockText(deadPid()));
    const lock = await acquire(folder, { abandonedMs: 60_000, onWait: () => assert.fail("waited") });
    assert.equal(await lock.isHeld(), true);
    await lock.release();
  });

  test("a lock that nobody refreshes is taken over, whoever's it was", async (t) => {
    for (const text of [lockText(process.pid), lockText(1, "another-machine"), "", "not json"]) {
      const folder = path.join(await scratch(t), "lock");
      await leave(folder, text);
      const started = performance.now();
      const lock = await acquire(folder, { pollMs: 10, abandonedMs: 120 });
      assert.ok(performance.now() - started >= 100);
      await lock.release();
    }
  });

  test("a lock that is refreshed is respected however long it takes", async (t) => {
    const folder = path.join(await scratch(t), "lock");
    // Far apart, so that a busy machine does not fail the test.
    const first = await tryAcquire(folder, 20);
    const abort = new AbortController();
    const second = acquire(folder, { pollMs: 10, abandonedMs: 1_500, signal: abort.signal });
    second.catch(() => undefined);
    await sleep(2_000);
    assert.equal(await first?.isHeld(), true);
    abort.abort();
    await assert.rejects(second, { name: "Failure", kind: "cancelled" });
    await first?.release();
  });

  test("of many that find a dead lock, each gets its turn alone", async (t) => {
    const folder = await scratch(t);
    const pid = deadPid();
    for (let round = 0; round < 10; round++) {
      await leave(folder, lockText(pid));
      await mkdir(path.join(folder, "left-half-made"));
      let inside = 0;
      let turns = 0;
      await Promise.all(
        Array.from({ length: 12 }, async () => {
          const lock = await acquire(folder, { pollMs: 1 });
          assert.equal(++inside, 1);
          turns++;
          await sleep(1);
          assert.equal(await lock.isHeld(), true);
          inside--;
          await lock.release();
        }),
      );
      assert.equal(turns, 12);
      assert.deepEqual(await readdir(folder), []);
    }
  });

  test("it excludes other processes", async (t) => {
    const folder = await scratch(t);
    await writeFile(path.join(folder, "counter"), "0");
    await leave(path.join(folder, "lock"), lockText(deadPid()));
    const children = Array.from({ length: 4 }, () =>
      fork(__filename, [], { env: { ...process.env, [CHILD]: folder, NODE_TEST_CONTEXT: undefined } }),
    );
    const codes = await Promise.all(children.map(async (child) => (await once(child, "exit"))[0] as number));
    assert.deepEqual(codes, [0, 0, 0, 0]);
    assert.equal(await readFile(path.join(folder, "counter"), "utf8"), "20");
  });

  test("an owner that was judged dead leaves the new owner's lock alone", async (t) => {
    const folder = path.join(await scratch(t), "lock");
    const first = await acquire(folder);
    await rm(path.join(folder, "held"), { recursive: true });
    await leave(folder, lockText(process.pid), "of-another");
    assert.equal(await first.isHeld(), false);
    await first.release();
    assert.deepEqual(await readdir(path.join(folder, "held")), ["of-another"]);
  });
}

// One test: a VS Code and a browser for it, logs and a picture if it fails, and nothing left behind.
import { mkdir } from "node:fs/promises";
import * as path from "node:path";
import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./browser.mjs";
import { cache, start } from "./vscode.mjs";

/**
 * @param options settings and files of the workspace, the file to open, a time limit in ms.
 * @param body gets the VS Code and the window.
 */
export function scenario(name, { settings = {}, files, file, timeout }, body) {
  test(name, { timeout }, async () => {
    const vscode = await start(settings, files);
    let window;
    let failed = true;
    try {
      window = await open(vscode.url(file));
      await body(vscode, window);
      failed = false;
    } catch (error) {
      await mkdir(cache, { recursive: true });
      const picture = path.join(cache, `e2e-failed-${name.replaceAll(/\W+/g, "-")}.png`);
      await window?.page.screenshot({ path: picture }).catch(() => undefined);
      console.error(`${await vscode.logs()}\n\nA picture of the window: ${picture}`);
      throw error;
    } finally {
      await window?.close();
      const left = await vscode.stop();
      if (!failed) {
        assert.deepEqual(left, [], "all processes end with VS Code");
      }
    }
  });
}

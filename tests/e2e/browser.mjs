// What a person does and sees: typing, ghost text, the status bar.
import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import * as os from "node:os";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const require = createRequire(new URL("../../vscode-extension/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Nothing but our own VS Code can be reached.
  "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];

function findChromium() {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const folders = (process.env.PATH ?? "").split(path.delimiter);
  const files = names.flatMap((name) => folders.map((folder) => path.join(folder, name)));
  for (const file of [process.env.CHROMIUM, ...files].filter(Boolean)) {
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // The next.
    }
  }
  throw new Error("Chromium is missing: apt-get install chromium (or set CHROMIUM to its path)");
}

/** A browser window on `url`, with the workbench there. */
export async function open(url) {
  const executablePath = findChromium();
  const profile = await mkdtemp(path.join(os.tmpdir(), "parrotlet-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: FLAGS,
    chromiumSandbox: false,
    viewport: { width: 1280, height: 720 },
    timeout: 60_000,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(30_000);

  async function close() {
    await Promise.race([context.close(), sleep(10_000)]);
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }

  try {
    await page.goto(url);
    await page.waitForSelector(".editor-instance .view-lines .view-line", { timeout: 120_000 });
  } catch (error) {
    await close();
    throw error;
  }

  const self = {
    page,
    close,

    /** Everything that the status bar item tells, as a screen reader hears it. */
    status: () =>
      page.evaluate(() => {
        const item = document.querySelector('.statusbar-item[id*="parrotlet.status"]');
        return item?.querySelector("[aria-label]")?.getAttribute("aria-label") ?? "";
      }),

    /** Waits for a status that fits. */
    async statusIs(pattern, timeout) {
      return self.until(
        async () => pattern.exec(await self.status())?.[0],
        timeout,
        async () => `status is "${await self.status()}", not ${pattern}`,
      );
    },

    /** Waits until the server is ready; an error on the way ends the waiting. */
    async ready(timeout) {
      const isError = () =>
        page.evaluate(() => document.querySelector('[id*="parrotlet.status"] .codicon-error') !== null);
      await self.until(
        async () => /Ready/.test(await self.status()) || (await isError()),
        timeout,
        async () => `status is "${await self.status()}"`,
      );
      assert.match(await self.status(), /Ready/);
    },

    /**
     * What the editor shows around the suggestion: `ghost` is the suggested text itself, `line` the whole line that it
     * begins on with what it adds, further lines included. Both are "" without a suggestion.
     */
    shown: () =>
      page.evaluate(() => {
        const GHOST = '[class*="ghost-text"]';
        const text = (elements) =>
          elements
            .map((element) => element.textContent.replace(/\u00a0/g, " ").replace(/[\u200b\u200c]/g, ""))
            .join("");
        const isShown = (element) => element.getClientRects().length > 0;
        const editor = document.querySelector(".editor-instance");
        const further = [...editor.querySelectorAll(".suggest-preview-text .view-line")].filter(isShown);
        const first = [...editor.querySelectorAll(".view-line")].find(
          (line) => !further.includes(line) && isShown(line) && line.querySelector(GHOST),
        );
        if (!first) {
          return { ghost: "", line: "" };
        }
        const rest = further.map((line) => `\n${text([line])}`).join("");
        return { ghost: text([...first.querySelectorAll(GHOST)]) + rest, line: text([first]) + rest };
      }),

    ghost: async () => (await self.shown()).ghost,

    /** Waits for a suggestion and until it has stood still; "" if none comes. */
    async ghostWithin(timeout) {
      const end = Date.now() + timeout;
      let before = "";
      while (Date.now() < end) {
        const now = await self.ghost();
        if (now !== "" && now === before) {
          return now;
        }
        before = now;
        await sleep(150);
      }
      return "";
    },

    /** Asks for suggestions and goes through those there are to choose from, three at most. */
    async choices() {
      await self.command("Trigger Inline Suggestion");
      const seen = new Set();
      for (let i = 0; i < 3; i++) {
        const ghost = await self.ghostWithin(5_000);
        if (ghost === "") {
          break;
        }
        seen.add(ghost);
        await page.keyboard.press("Alt+BracketRight");
        await sleep(500);
      }
      return [...seen];
    },

    type: (text) => page.keyboard.type(text, { delay: 60 }),
    press: (key) => page.keyboard.press(key),

    /** Opens another file of the workspace. */
    async openFile(name) {
      await self.command("View: Show Explorer");
      await page.locator(`.explorer-folders-view .monaco-list-row[aria-label*="${name}"]`).dblclick();
      await page.waitForSelector(`.tab.active[data-resource-name="${name}"]`);
    },

    /** Deletes what the cursor's line holds behind its indentation. */
    async eraseLine() {
      for (const key of ["Escape", "End", "Shift+Home", "Delete"]) {
        await page.keyboard.press(key);
      }
    },

    /** Puts the cursor at the end of the file. */
    async toEnd() {
      await page.locator(".editor-instance .view-lines").first().click();
      await page.keyboard.press("Control+End");
    },

    /** Runs a command by its name. */
    async command(name) {
      await page.keyboard.press("F1");
      await page.waitForSelector(".quick-input-widget input", { state: "visible" });
      await page.keyboard.type(name, { delay: 10 });
      await page.waitForSelector(`.quick-input-list .monaco-list-row[aria-label*="${name}"]`);
      await page.keyboard.press("Enter");
      // Gone, or, for a command that asks further, not a list of commands any more.
      await page.waitForSelector(`.quick-input-list .monaco-list-row[aria-label*="${name}"]`, {
        state: "hidden",
      });
    },

    /** Writes the machine's settings as a person does: in their editor, which then is the open one. */
    async setSettings(settings) {
      await self.command("Preferences: Open Remote Settings (JSON)");
      await page.waitForSelector('.tab.active[data-resource-name="settings.json"]');
      await page.locator(".editor-instance .view-lines").first().click();
      await page.keyboard.press("Control+a");
      // The editor closes quotes and braces by itself; what it adds after the cursor falls into the comment.
      await page.keyboard.insertText(`${JSON.stringify(settings)}\n// `);
      await self.save();
    },

    /** Saves and waits until it is done. */
    async save() {
      await page.keyboard.press("Control+s");
      await page.waitForSelector(".tab.active:not(.dirty)");
    },

    /** The messages in the lower right corner. */
    notifications: () =>
      page.evaluate(() =>
        [...document.querySelectorAll(".notification-list-item")].map((item) => ({
          text: item.querySelector(".notification-list-item-message")?.textContent ?? "",
          buttons: [...item.querySelectorAll(".notification-list-item-buttons-container .monaco-button")].map(
            (button) => button.textContent,
          ),
        })),
      ),

    /** Asks again and again until there is an answer. */
    async until(ask, timeout, complaint) {
      const end = Date.now() + timeout;
      for (;;) {
        const answer = await ask();
        if (answer) {
          return answer;
        }
        if (Date.now() > end) {
          assert.fail(`after ${timeout / 1000} s: ${await complaint()}`);
        }
        await sleep(200);
      }
    },
  };
  return self;
}

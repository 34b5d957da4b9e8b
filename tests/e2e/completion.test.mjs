// The whole way: the extension sets up its server, the model suggests, the user takes it, the file holds it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import * as path from "node:path";
import { scenario } from "./harness.mjs";

// Short enough to be seen as a whole.
const START = `"""Reads a shopping list and adds up what it costs."""

from dataclasses import dataclass


@dataclass
class Item:
    name: str
    price: float
    amount: int = 1

    @property
    def total(self) -> float:
        return self.price * self.amount


class ShoppingList:
    def __init__(self, items: list[Item] | None = None) -> None:
        self.items = items or []

    def total(self) -> float:
        return sum(item.total for item in self.items)

    def names(self) -> list[str]:
        `;

// Ordinary beginnings of a line. Which of them a model goes on from is its own affair, but from one it must.
const BEGINNINGS = [
  "return [item.na",
  "return sorted(item.na",
  "return self.it",
  "for item in se",
  "if not se",
];

scenario(
  "type, see a suggestion, type on through it, take it, save",
  { files: { "shopping.py": START, "again.py": START }, file: "shopping.py", timeout: 1_200_000 },
  async (vscode, window) => {
    await window.ready(900_000);
    await window.toEnd();

    const { typed, ghost } = await suggested(window);
    assert.notEqual(ghost, "", "no suggestion for any of the beginnings");
    assert.doesNotMatch(ghost, /[\ufffd\0]|<\|/, "only text that a person would write");
    if (process.env.PARROTLET_SCREENSHOT) {
      await picture(window, process.env.PARROTLET_SCREENSHOT);
    }

    // The next characters of the suggestion, typed: what is left of it stays.
    const { line } = await window.shown();
    const next = /^ ?\w/.exec(ghost)[0];
    await window.type(next);
    const left = ghost.slice(next.length);
    await window.until(
      async () => (await window.ghost()) === left,
      15_000,
      async () => `"${left}" should be left, "${await window.ghost()}" is shown`,
    );
    assert.equal(
      (await window.shown()).line,
      line,
      "typing on changes nothing of what stands there in the end",
    );

    await window.press("Tab");
    await window.until(
      async () => (await window.ghost()) !== left,
      10_000,
      () => "Tab did not take the suggestion",
    );
    await window.save();
    const saved = await readFile(path.join(vscode.workspace, "shopping.py"), "utf8");
    assert.equal(saved, START.slice(0, START.lastIndexOf("\n") + 1) + line);
    assert.ok(saved.startsWith(START + typed + ghost.slice(0, 2)));

    // That it was taken is counted, in a file of the user's own.
    const counted = path.join(vscode.scratch, "home/.local/share/parrotlet/usage.jsonl");
    await window.until(
      async () => (await readFile(counted, "utf8").catch(() => "")).includes('"accepted"'),
      15_000,
      async () => `the statistics hold ${await readFile(counted, "utf8").catch(() => "nothing")}`,
    );

    // Off: what was suggested in the other file, where the first one has a say too, is not any more.
    await window.openFile("again.py");
    await window.toEnd();
    const again = await suggested(window);
    assert.notEqual(again.ghost, "", "no suggestion for any of the beginnings in the other file");
    await window.eraseLine();
    await window.command("Parrotlet: Turn Suggestions On or Off");
    await window.statusIs(/Suggestions are off/, 10_000);
    await window.toEnd();
    await window.type(again.typed);
    assert.equal(await window.ghostWithin(4_000), "", "suggestions are off");
    await window.eraseLine();

    // On again. What the first file says has been counted anew, so it may be another beginning.
    await window.command("Parrotlet: Turn Suggestions On or Off");
    await window.statusIs(/Ready/, 10_000);
    await window.toEnd();
    assert.notEqual((await suggested(window)).ghost, "", "suggestions are on again");

    // Who asks has several to choose from.
    let choices = [];
    for (const beginning of BEGINNINGS) {
      await window.eraseLine();
      await window.type(beginning);
      choices = await window.choices();
      if (choices.length > 1) {
        break;
      }
    }
    assert.ok(choices.length > 1, `to choose from, there is ${JSON.stringify(choices)}`);
    await window.press("Escape");

    // The server is killed, as when memory runs out: it comes back by itself.
    const servers = () => vscode.processes(/-m parrotlet_server serve/).map(({ pid }) => pid);
    const [before, ...more] = servers();
    assert.ok(before !== undefined && more.length === 0, "there is one server");
    process.kill(before, "SIGKILL");
    await window.until(
      () => servers().some((pid) => pid !== before),
      60_000,
      () => "the server was not started again",
    );
    await window.statusIs(/Ready/, 60_000);
    await window.eraseLine();
    assert.notEqual((await suggested(window)).ghost, "", "the new server suggests, too");

    // A model that is not there: told, and mended by the next setting.
    await window.setSettings({ "parrotlet.model": "/nowhere/model" });
    await window.statusIs(/\/nowhere\/model.*parrotlet\.model/, 60_000);
    const told = (await window.notifications()).filter(({ text }) => text.includes("/nowhere/model"));
    assert.deepEqual(
      told.map(({ buttons }) => buttons),
      [["Show Log", "Retry"]],
    );
    await window.setSettings({});
    await window.statusIs(/Ready/, 60_000);
  },
);

/** Types one beginning after the other until something is suggested; both are "" if nothing is. */
async function suggested(window) {
  for (const typed of BEGINNINGS) {
    await window.type(typed);
    const ghost = await window.ghostWithin(15_000);
    if (/^ ?\w\w/.test(ghost)) {
      return { typed, ghost };
    }
    await window.eraseLine();
  }
  return { typed: "", ghost: "" };
}

/** A picture for the documentation: the editor with its suggestion, and little else. */
async function picture(window, file) {
  await window.press("Control+b");
  await window.page.mouse.move(640, 700);
  await window.until(
    async () => (await window.ghost()) !== "",
    10_000,
    () => "the suggestion went away",
  );
  await window.page.screenshot({ path: path.resolve(file) });
}

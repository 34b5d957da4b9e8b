import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { defaults, expand, Mistakes, needsRestart, readSettings, toggleTarget } from "../src/settings";

function from(values: Record<string, unknown>): ReturnType<typeof readSettings> {
  return readSettings((key) => values[key]);
}

test("nothing set: the defaults", () => {
  assert.deepEqual(from({}), { settings: defaults, mistakes: [] });
});

test("what is set is read", () => {
  const values = { enable: false, serverCommand: ["parrotlet", "serve"], pythonPath: " /py ", model: "/m" };
  assert.deepEqual(from(values).settings, { ...values, pythonPath: "/py" });
});

test("a value of a wrong type counts as not set, and is named", () => {
  const { settings, mistakes } = from({
    enable: "yes",
    serverCommand: "parrotlet serve",
    pythonPath: 3,
    model: [],
  });
  assert.deepEqual(settings, defaults);
  assert.deepEqual(mistakes, [
    { key: "enable", message: 'parrotlet.enable must be true or false; "yes" is ignored.' },
    {
      key: "serverCommand",
      message:
        'parrotlet.serverCommand must be a list of strings, the program first; "parrotlet serve" is ignored.',
    },
    { key: "pythonPath", message: "parrotlet.pythonPath must be a string; 3 is ignored." },
    { key: "model", message: "parrotlet.model must be a string; [] is ignored." },
  ]);
  const [long] = from({ model: Array(1_000).fill("m") }).mistakes;
  assert.ok(long !== undefined && long.message.length < 150, "a message stays short");
  assert.deepEqual(from({ serverCommand: [""] }).settings.serverCommand, []);
  assert.deepEqual(from({ serverCommand: ["a", 1] }).settings.serverCommand, []);
});

test("a wrong value is told once, and again where it comes back", () => {
  const told = new Mistakes();
  const news = (values: Record<string, unknown>): string[] =>
    told.news(from(values).mistakes).map(({ message }) => message);
  const model = "parrotlet.model must be a string; 3 is ignored.";
  assert.deepEqual(news({ model: 3 }), [model]);
  assert.deepEqual(news({ model: 3, enable: true }), []);
  assert.deepEqual(news({ model: 3, pythonPath: ["python3"] }), [
    'parrotlet.pythonPath must be a string; ["python3"] is ignored.',
  ]);
  assert.deepEqual(news({ model: 4 }), ["parrotlet.model must be a string; 4 is ignored."]);
  assert.deepEqual(news({ model: "/m" }), []);
  assert.deepEqual(news({ model: 3 }), [model]);
});

test("only what the process is started with asks for another process", () => {
  assert.equal(needsRestart(defaults, { ...defaults, enable: false }), false);
  assert.equal(needsRestart(defaults, { ...defaults, model: "/m" }), true);
  assert.equal(needsRestart(defaults, { ...defaults, pythonPath: "/p" }), true);
  const command = { ...defaults, serverCommand: ["a", "b"] };
  assert.equal(needsRestart(defaults, command), true);
  assert.equal(needsRestart(command, { ...defaults, serverCommand: ["a", "c"] }), true);
  assert.equal(needsRestart(command, { ...defaults, serverCommand: ["a", "b"] }), false);
});

test("places in settings are filled in", { skip: process.platform === "win32" }, () => {
  const places = { home: "/home/me", workspaceFolder: "/home/ada/app" };
  assert.equal(expand("~", places), "/home/me");
  assert.equal(expand("~/models/a b", places), "/home/me/models/a b");
  assert.equal(expand("~other/x", places), "~other/x");
  assert.equal(expand("${workspaceFolder}/.venv/bin/python", places), "/home/ada/app/.venv/bin/python");
  assert.equal(expand("${userHome}/x", places), "/home/me/x");
  assert.equal(
    expand("${workspaceFolder}/x", { ...places, workspaceFolder: undefined }),
    "${workspaceFolder}/x",
  );
});

test("the toggle is written where the value in force stands", () => {
  assert.equal(toggleTarget(undefined), "user");
  assert.equal(toggleTarget({}), "user");
  assert.equal(toggleTarget({ workspaceValue: false }), "workspace");
  assert.equal(toggleTarget({ workspaceValue: true, workspaceFolderValue: false }), "workspaceFolder");
});

interface Manifest {
  capabilities: { untrustedWorkspaces: { supported: string; restrictedConfigurations: string[] } };
  contributes: {
    commands: { command: string }[];
    configuration: { properties: Record<string, { default: unknown; type: string; scope: string }> };
  };
}

test("the manifest and the code agree", () => {
  const manifest = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;
  const { properties } = manifest.contributes.configuration;
  for (const [key, value] of Object.entries(defaults)) {
    assert.deepEqual(properties[`parrotlet.${key}`]?.default, value, key);
  }
  // A workspace that is not trusted must choose neither a program nor a model.
  const restricted = manifest.capabilities.untrustedWorkspaces;
  assert.equal(restricted.supported, "limited");
  const programs = Object.keys(properties).filter((key) => properties[key]?.scope === "machine-overridable");
  assert.deepEqual(restricted.restrictedConfigurations.toSorted(), programs.toSorted());

  const source = readFileSync("src/commands.ts", "utf8");
  const registered = [...source.matchAll(/^ {4}"(parrotlet\.\w+)":/gm)].map((match) => match[1]);
  assert.deepEqual(
    registered.toSorted(),
    manifest.contributes.commands.map(({ command }) => command).toSorted(),
  );
});

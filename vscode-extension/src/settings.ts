/** The settings as plain data: reading, comparing and expanding them. No VS Code in here, so that it is tested alone. */

import * as path from "node:path";

export interface Settings {
  readonly enable: boolean;
  readonly serverCommand: readonly string[];
  readonly pythonPath: string;
  readonly model: string;
}

export const defaults: Settings = { enable: true, serverCommand: [], pythonPath: "", model: "" };

/** A value that its setting cannot have. */
export interface Mistake {
  readonly key: keyof Settings;
  /** Names the setting, what it wants and what it got. */
  readonly message: string;
}

/**
 * Reads settings through `get`. VS Code does not hold people to a setting's type when they edit settings.json by
 * hand, so a value of another type counts as not set, and `mistakes` says so.
 */
export function readSettings(get: (key: string) => unknown): { settings: Settings; mistakes: Mistake[] } {
  const mistakes: Mistake[] = [];

  function read<T>(
    key: keyof Settings,
    fallback: T,
    fits: (value: unknown) => value is T,
    wanted: string,
  ): T {
    const value = get(key);
    if (value === undefined || value === null) {
      return fallback;
    }
    if (fits(value)) {
      return value;
    }
    mistakes.push({ key, message: `parrotlet.${key} must be ${wanted}; ${shown(value)} is ignored.` });
    return fallback;
  }

  const settings: Settings = {
    enable: read("enable", defaults.enable, (v) => typeof v === "boolean", "true or false"),
    serverCommand: read(
      "serverCommand",
      defaults.serverCommand,
      isCommand,
      "a list of strings, the program first",
    ),
    pythonPath: read("pythonPath", defaults.pythonPath, (v) => typeof v === "string", "a string").trim(),
    model: read("model", defaults.model, (v) => typeof v === "string", "a string").trim(),
  };
  return { settings, mistakes };
}

const LONGEST_SHOWN = 60;

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= LONGEST_SHOWN ? text : `${text.slice(0, LONGEST_SHOWN)}…`;
}

/** Which mistakes are to be told: settings are read again and again, and each wrong value is told once. */
export class Mistakes {
  private known = new Set<string>();

  /** Those of `mistakes`, all that there are now, that were not there the last time. */
  news(mistakes: readonly Mistake[]): Mistake[] {
    const news = mistakes.filter(({ message }) => !this.known.has(message));
    this.known = new Set(mistakes.map(({ message }) => message));
    return news;
  }
}

function isCommand(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) &&
    value.every((v) => typeof v === "string") &&
    (value.length === 0 || value[0] !== "")
  );
}

/** Whether a change needs another server process; every other setting is read by the running one. */
export function needsRestart(before: Settings, after: Settings): boolean {
  return (
    before.model !== after.model ||
    before.pythonPath !== after.pythonPath ||
    before.serverCommand.length !== after.serverCommand.length ||
    before.serverCommand.some((part, i) => part !== after.serverCommand[i])
  );
}

export interface Places {
  readonly home: string;
  readonly workspaceFolder: string | undefined;
}

/** Replaces `~` at the start, `${userHome}` and `${workspaceFolder}`. */
export function expand(text: string, places: Places): string {
  const { home, workspaceFolder } = places;
  let result = text;
  if (result === "~" || result.startsWith("~/") || result.startsWith("~\\")) {
    result = result.length > 1 ? path.join(home, result.slice(2)) : home;
  }
  result = result.replaceAll("${userHome}", home);
  return workspaceFolder === undefined ? result : result.replaceAll("${workspaceFolder}", workspaceFolder);
}

/** Where a toggle must write `enable`: a workspace's value wins over the user's, so it is the one to change. */
export function toggleTarget(
  inspected: { workspaceValue?: unknown; workspaceFolderValue?: unknown } | undefined,
): "workspaceFolder" | "workspace" | "user" {
  if (inspected?.workspaceFolderValue !== undefined) {
    return "workspaceFolder";
  }
  return inspected?.workspaceValue !== undefined ? "workspace" : "user";
}

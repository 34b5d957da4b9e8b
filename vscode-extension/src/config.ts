/** The settings as VS Code holds them. */

import * as os from "node:os";
import * as vscode from "vscode";
import { expand, Mistakes, readSettings, toggleTarget, type Places, type Settings } from "./settings";

const SECTION = "parrotlet";

export class Config implements vscode.Disposable {
  private current: Settings;
  private readonly changed = new vscode.EventEmitter<{ before: Settings; after: Settings }>();
  readonly onDidChange = this.changed.event;
  private readonly subscription: vscode.Disposable;
  private readonly mistakes = new Mistakes();

  constructor(private readonly log: vscode.LogOutputChannel) {
    this.current = this.read();
    this.subscription = vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(SECTION)) {
        const before = this.current;
        this.current = this.read();
        this.changed.fire({ before, after: this.current });
      }
    });
  }

  get settings(): Settings {
    return this.current;
  }

  /** Turns suggestions on or off, where the setting in force was made. */
  async toggle(): Promise<void> {
    const configuration = vscode.workspace.getConfiguration(SECTION);
    const target = {
      workspaceFolder: vscode.ConfigurationTarget.WorkspaceFolder,
      workspace: vscode.ConfigurationTarget.Workspace,
      user: vscode.ConfigurationTarget.Global,
    }[toggleTarget(configuration.inspect("enable"))];
    await configuration.update("enable", !this.current.enable, target);
  }

  dispose(): void {
    this.subscription.dispose();
    this.changed.dispose();
  }

  private read(): Settings {
    const configuration = vscode.workspace.getConfiguration(SECTION);
    const { settings, mistakes } = readSettings((key) => configuration.get(key));
    // While suggestions are off, nobody is bothered; turning them on reads the settings again.
    for (const { key, message } of settings.enable ? this.mistakes.news(mistakes) : []) {
      this.log.warn(message);
      // The server reads this one as it stands, and tells of it itself.
      if (key !== "enable") {
        void tell(key, message);
      }
    }
    return {
      ...settings,
      serverCommand: settings.serverCommand.map((part) => expand(part, places())),
      pythonPath: expand(settings.pythonPath, places()),
      model: expand(settings.model, places()),
    };
  }
}

/** Shows a wrong value, with the way to its setting. */
async function tell(key: keyof Settings, message: string): Promise<void> {
  const button = "Open Settings";
  const chosen = await vscode.window.showWarningMessage(`Parrotlet: ${message}`, button);
  if (chosen === button) {
    await openSettings(`${SECTION}.${key}`);
  }
}

/** Opens VS Code's settings where they fit `query`. */
export async function openSettings(query: string): Promise<void> {
  await vscode.commands.executeCommand("workbench.action.openSettings", query);
}

export function places(): Places {
  return { home: os.homedir(), workspaceFolder: vscode.workspace.workspaceFolders?.[0]?.uri.fsPath };
}

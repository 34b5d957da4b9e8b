/** The settings as VS Code holds them. */

import * as os from "node:os";
import * as vscode from "vscode";
import { expand, readSettings, toggleTarget, type Places, type Settings } from "./settings";

const SECTION = "parrotlet";

export class Config implements vscode.Disposable {
  private current: Settings;
  private readonly changed = new vscode.EventEmitter<{ before: Settings; after: Settings }>();
  readonly onDidChange = this.changed.event;
  private readonly subscription: vscode.Disposable;

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
    const { settings, warnings } = readSettings((key) => configuration.get(key));
    for (const warning of warnings) {
      this.log.warn(warning);
    }
    return {
      ...settings,
      serverCommand: settings.serverCommand.map((part) => expand(part, places())),
      pythonPath: expand(settings.pythonPath, places()),
      model: expand(settings.model, places()),
    };
  }
}

export function places(): Places {
  return { home: os.homedir(), workspaceFolder: vscode.workspace.workspaceFolders?.[0]?.uri.fsPath };
}

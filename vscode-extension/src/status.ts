/** The status bar item. */

import * as vscode from "vscode";
import { look, type State } from "./state";

export class Status implements vscode.Disposable {
  private readonly item: vscode.StatusBarItem;
  private shown: State = { kind: "stopped", message: "" };

  constructor() {
    this.item = vscode.window.createStatusBarItem("parrotlet.status", vscode.StatusBarAlignment.Right, 100);
    this.item.name = "Parrotlet";
    this.item.command = "parrotlet.menu";
    this.render();
    this.item.show();
  }

  get state(): State {
    return this.shown;
  }

  set(state: State): void {
    this.shown = state;
    this.render();
  }

  dispose(): void {
    this.item.dispose();
  }

  private render(): void {
    const { text, detail, alarming } = look(this.shown);
    this.item.text = text;
    this.item.tooltip = `Parrotlet: ${detail}`;
    this.item.accessibilityInformation = { label: `Parrotlet: ${detail}`, role: "button" };
    this.item.backgroundColor = alarming ? new vscode.ThemeColor("statusBarItem.errorBackground") : undefined;
  }
}

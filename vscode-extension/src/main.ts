/** Entry point: wires the parts together and starts. */

import * as vscode from "vscode";
import { registerCommands } from "./commands";
import { Config } from "./config";
import { Ctx } from "./ctx";
import { Status } from "./status";

let ctx: Ctx | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("Parrotlet", { log: true });
  const config = new Config(log);
  const status = new Status();
  context.subscriptions.push(log, config, status);
  ctx = new Ctx(context, config, log, status);
  registerCommands(context, ctx);
  // Not awaited: setting up takes minutes the first time, and failures are shown by Ctx.
  void ctx.start();
}

export async function deactivate(): Promise<void> {
  await ctx?.stop();
  ctx = undefined;
}

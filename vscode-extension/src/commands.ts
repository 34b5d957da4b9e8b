/** The commands, and the menu behind the status bar item. */

import * as vscode from "vscode";
import { openSettings } from "./config";
import type { Ctx } from "./ctx";
import { look } from "./state";

export function registerCommands(context: vscode.ExtensionContext, ctx: Ctx): void {
  const commands: Record<string, () => unknown> = {
    "parrotlet.toggle": () => ctx.config.toggle(),
    "parrotlet.restart": () => restart(ctx),
    "parrotlet.rebuild": () => ctx.rebuild(),
    "parrotlet.showLog": () => {
      ctx.log.show();
    },
    "parrotlet.menu": () => menu(ctx),
  };
  for (const [name, run] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(name, run));
  }
}

/** Asking for a restart while suggestions are off can only mean that they are wanted. */
async function restart(ctx: Ctx): Promise<void> {
  if (!ctx.config.settings.enable) {
    await ctx.config.toggle();
  }
  await ctx.restart();
}

async function menu(ctx: Ctx): Promise<void> {
  const { enable, serverCommand } = ctx.config.settings;
  const items: (vscode.QuickPickItem & { run: () => unknown })[] = [
    {
      label: enable ? "$(circle-slash) Turn suggestions off" : "$(check) Turn suggestions on",
      run: () => ctx.config.toggle(),
    },
    { label: "$(debug-restart) Restart the server", run: () => restart(ctx) },
    {
      label: "$(output) Show the log",
      run: () => {
        ctx.log.show();
      },
    },
    {
      label: "$(gear) Settings",
      run: () => openSettings("@ext:parrotlet.parrotlet"),
    },
  ];
  if (serverCommand.length === 0 && ctx.shownState.kind === "error") {
    items.splice(2, 0, { label: "$(sync) Set up the server anew", run: () => ctx.rebuild() });
  }
  const chosen = await vscode.window.showQuickPick(items, {
    title: "Parrotlet",
    placeHolder: look(ctx.shownState).detail,
  });
  await chosen?.run();
}

/** Owns the server and the status; everything that starts, stops or fails passes through here. */

import { setTimeout as sleep } from "node:timers/promises";
import * as vscode from "vscode";
import { Bootstrap } from "./bootstrap";
import { Server } from "./client";
import { openSettings, type Config } from "./config";
import { asFailure, type Failure, type Mend } from "./failure";
import { Restarts } from "./restarts";
import { needsRestart } from "./settings";
import { fromServer, type ServerStatus, type State } from "./state";
import type { Status } from "./status";

export class Ctx {
  private readonly bootstrap: Bootstrap;
  private readonly restarts = new Restarts();
  /** The server that is up. */
  private server: Server | undefined;
  /** The server that is up, comes up or has failed to. */
  private latest: Server | undefined;
  /** Cancels the start that is under way. */
  private starting: AbortController | undefined;
  /** Starts and stops, one after the other. */
  private queue: Promise<void> = Promise.resolve();
  /** What goes on apart from being off, to be shown again when suggestions are turned on. */
  private state: State = { kind: "stopped", message: "" };
  private closing = false;

  constructor(
    context: vscode.ExtensionContext,
    readonly config: Config,
    readonly log: vscode.LogOutputChannel,
    private readonly status: Status,
  ) {
    this.bootstrap = new Bootstrap(context, log);
    context.subscriptions.push(
      config.onDidChange(({ before, after }) => {
        const mustStart = after.enable && (!before.enable || needsRestart(before, after));
        this.show(this.state);
        if (before.enable && !after.enable) {
          void vscode.commands.executeCommand("editor.action.inlineSuggest.hide");
        }
        if (needsRestart(before, after) && this.isUp()) {
          void this.restart();
        } else if (mustStart && !this.isUp()) {
          void this.start();
        }
      }),
    );
    this.show(this.state);
  }

  get shownState(): State {
    return this.status.state;
  }

  /** Starts the server, unless it runs or suggestions are off: then nothing is installed and nothing runs. */
  start(): Promise<void> {
    this.restarts.clear();
    return this.enqueue(() => this.startNow());
  }

  restart(): Promise<void> {
    this.starting?.abort();
    this.restarts.clear();
    return this.enqueue(async () => {
      await this.stopNow();
      await this.startNow();
    });
  }

  /** Makes the managed environment anew, then starts. */
  rebuild(): Promise<void> {
    this.starting?.abort();
    this.restarts.clear();
    return this.enqueue(async () => {
      await this.stopNow();
      try {
        await this.bootstrap.discard();
      } catch (error) {
        this.fail(asFailure(error));
        return;
      }
      await this.startNow();
    });
  }

  /** For good: VS Code closes. */
  stop(): Promise<void> {
    this.closing = true;
    this.starting?.abort();
    return this.enqueue(() => this.stopNow());
  }

  private isUp(): boolean {
    return this.server !== undefined || this.starting !== undefined;
  }

  private enqueue(work: () => Promise<void>): Promise<void> {
    this.queue = this.queue.then(work).catch((error: unknown) => {
      this.fail(asFailure(error));
    });
    return this.queue;
  }

  private async startNow(): Promise<void> {
    if (this.closing || this.server || !this.config.settings.enable) {
      return;
    }
    const abort = new AbortController();
    this.starting = abort;
    this.show({ kind: "starting", message: "Starting the server…" });
    try {
      const command = await this.bootstrap.serverCommand(this.config.settings, abort.signal);
      const server: Server = new Server(command, this.config, this.log, {
        // A server that is being replaced may still have something to say.
        onStatus: (status) => {
          if (this.latest === server) {
            this.onStatus(status);
          }
        },
        onError: (message) => {
          if (this.latest === server) {
            void this.tell(message, ["retry"]);
          }
        },
        onCrash: (failure) => {
          if (this.server === server) {
            this.onCrash(server, failure);
          }
        },
      });
      this.latest = server;
      await server.start(abort.signal);
      this.server = server;
      // A server that does not tell its state is ready when it has answered.
      if (this.state.kind === "starting") {
        this.show({ kind: "ready", message: "" });
      }
      if (command.environment) {
        this.bootstrap.sweep(command.environment);
      }
    } catch (error) {
      this.fail(asFailure(error));
    } finally {
      if (this.starting === abort) {
        this.starting = undefined;
      }
    }
  }

  private async stopNow(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    this.latest = undefined;
    await server?.stop();
    this.show({ kind: "stopped", message: "" });
  }

  private onCrash(server: Server, failure: Failure): void {
    this.server = undefined;
    this.latest = undefined;
    const delay = this.restarts.next(Date.now());
    this.log.error(failure.message);
    if (delay === undefined) {
      void this.enqueue(() => server.stop());
      this.fail(failure, "It did so several times and is not started again.");
      return;
    }
    this.show({ kind: "starting", message: `${failure.message} Starting it again…` });
    const waiting = new AbortController();
    this.starting = waiting;
    void this.enqueue(async () => {
      await server.stop();
      try {
        await sleep(delay, undefined, { signal: waiting.signal });
      } catch {
        return; // Somebody else has asked for a stop or a start.
      }
      await this.startNow();
    });
  }

  private onStatus(status: ServerStatus): void {
    this.show(fromServer(status));
    if (status.state === "error") {
      this.log.error(`${status.message} ${status.remedy}`);
    }
  }

  private fail(failure: Failure, more = ""): void {
    this.latest = undefined;
    if (failure.kind === "cancelled") {
      this.log.info(failure.message);
      this.show({ kind: "stopped", message: `${failure.message} ${failure.remedy}`.trim() });
      return;
    }
    this.log.error(`${failure.message} ${failure.remedy}`);
    const message = more === "" ? failure.message : `${failure.message} ${more}`;
    this.show({ kind: "error", message, remedy: failure.remedy });
    void this.tell(`${message} ${failure.remedy}`, failure.mends);
  }

  private show(state: State): void {
    this.state = state;
    this.status.set(this.config.settings.enable ? state : { kind: "off" });
  }

  /** Shows an error with its mends as buttons. */
  private async tell(message: string, mends: readonly Mend[]): Promise<void> {
    const actions = new Map<string, () => unknown>([
      [
        "Show Log",
        () => {
          this.log.show();
        },
      ],
    ]);
    for (const mend of mends) {
      if (mend === "retry") {
        actions.set("Retry", () => this.restart());
      } else if (mend === "rebuild") {
        actions.set("Set Up Anew", () => this.rebuild());
      } else {
        const setting = mend.replace("settings:", "parrotlet.");
        actions.set("Open Settings", () => openSettings(setting));
      }
    }
    const chosen = await vscode.window.showErrorMessage(
      /^Parrotlet\b/.test(message) ? message : `Parrotlet: ${message}`,
      ...actions.keys(),
    );
    await actions.get(chosen ?? "")?.();
  }
}

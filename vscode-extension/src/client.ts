/** The language client and the server's process. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import * as readline from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  MessageType,
  RevealOutputChannelOn,
  ShowMessageNotification,
  type LanguageClientOptions,
  type Middleware,
} from "vscode-languageclient/node";
import type { ServerCommand } from "./bootstrap";
import { cleanEnvironment, killTree } from "./child";
import { errorCode, Failure, type Mend } from "./failure";
import type { Config } from "./config";
import { parseStatus, type ServerStatus } from "./state";

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 3_000;
const KEPT_LINES = 40;

export interface ServerEvents {
  onStatus(status: ServerStatus): void;
  /** The server asks to tell the user of an error. */
  onError(message: string): void;
  /** The server ended by itself after it had started. */
  onCrash(failure: Failure): void;
}

/** One run of the server, from start to stop. A restart makes a new one. */
export class Server {
  private readonly client: QuietClient;
  private child: ChildProcess | undefined;
  private readonly lastLines: string[] = [];
  private isClosed = false;
  private phase: "starting" | "running" | "stopping" = "starting";

  constructor(
    private readonly command: ServerCommand,
    config: Config,
    private readonly log: vscode.LogOutputChannel,
    private readonly events: ServerEvents,
  ) {
    const options: LanguageClientOptions = {
      documentSelector: [
        { language: "python", scheme: "file" },
        { language: "python", scheme: "untitled" },
        { language: "python", scheme: "vscode-notebook-cell" },
      ],
      outputChannel: log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      middleware: middleware(config),
      initializationFailedHandler: () => false,
      // Whether to start again is decided in one place, for crashes and failed starts alike: in Ctx.
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          this.onClosed();
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
      stdioOptions: {
        stdout: () => undefined,
        stderr: (stream) => {
          readline.createInterface({ input: stream }).on("line", (line) => {
            this.lastLines.push(line);
            if (this.lastLines.length > KEPT_LINES) {
              this.lastLines.shift();
            }
            log.debug(`[server] ${line}`);
          });
        },
      },
    };
    this.client = new QuietClient("parrotlet", "Parrotlet", () => this.spawn(), options);
    this.client.onNotification("parrotlet/status", (params: unknown) => {
      const status = parseStatus(params);
      if (status) {
        events.onStatus(status);
      }
    });
    // Errors get the buttons that help; the client's own messages have none.
    this.client.onNotification(ShowMessageNotification.type, ({ type, message }) => {
      if (type === MessageType.Error) {
        events.onError(message);
      } else if (type === MessageType.Warning) {
        void vscode.window.showWarningMessage(message);
      } else {
        void vscode.window.showInformationMessage(message);
      }
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    const timeout = new AbortController();
    const cancelled = new Promise<never>((_, reject) => {
      const onAbort = (): void => {
        reject(new Failure("cancelled", "Starting was cancelled.", ""));
      };
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) {
        onAbort();
      }
    });
    const tooLate = async (): Promise<never> => {
      await sleep(START_TIMEOUT_MS, undefined, { signal: timeout.signal });
      throw new Failure(
        "start",
        `The server did not answer within ${START_TIMEOUT_MS / 1000} s.`,
        "Look into the log; if parrotlet.serverCommand is set, check that it starts a Parrotlet server.",
        this.mends(),
      );
    };
    try {
      await Promise.race([cancelled, this.client.start(), tooLate()]);
      if (this.isClosed) {
        throw new Error("the connection was closed");
      }
      this.phase = "running";
    } catch (error) {
      const failure = error instanceof Failure ? error : await this.startFailure(error);
      await this.stop();
      throw failure;
    } finally {
      timeout.abort();
    }
  }

  async stop(): Promise<void> {
    this.phase = "stopping";
    // A client that never came up refuses to be stopped; its process is ended below all the same.
    await this.client.dispose(STOP_TIMEOUT_MS).catch(() => undefined);
    if (this.child && !(await hasEnded(this.child, 1_000))) {
      killTree(this.child);
    }
  }

  private async spawn(): Promise<ChildProcess> {
    const [program = "", ...args] = this.command.command;
    this.log.info(`Starting ${[program, ...args].join(" ")}`);
    const child = spawn(program, args, {
      cwd: this.command.cwd,
      env: this.command.environment ? cleanEnvironment(process.env) : process.env,
      windowsHide: true,
    });
    this.child = child;
    // Without a listener, a failed write to a server that has just died would take the extension host with it.
    child.stdin.on("error", () => undefined);
    child.on("exit", (code, sig) => {
      this.log.info(`The server ended with ${sig ?? `code ${code ?? "?"}`}.`);
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.on("error", reject);
    });
    return child;
  }

  private onClosed(): void {
    this.isClosed = true;
    // While it starts, the failure comes out of start().
    if (this.phase === "running") {
      this.phase = "stopping";
      void this.ending().then((ending) => {
        this.events.onCrash(
          new Failure("crash", `The server ended unexpectedly${ending}.`, "The log says more.", this.mends()),
        );
      });
    }
  }

  private async startFailure(error: unknown): Promise<Failure> {
    const { command } = this.command;
    const mends = this.mends();
    if (this.child?.pid === undefined) {
      const text = error instanceof Error ? error.message : String(error);
      const reason = errorCode(error) === "ENOENT" ? `there is no ${command[0] ?? ""}` : text;
      return new Failure("start", `The server could not be started: ${reason}.`, this.remedy(), mends);
    }
    const ending = await this.ending();
    return ending === ""
      ? new Failure("start", `The server refused to start: ${String(error)}.`, this.remedy(), mends)
      : new Failure(
          "start",
          `The server (${command[0] ?? ""}) ended while starting${ending}.`,
          this.remedy(),
          mends,
        );
  }

  private remedy(): string {
    return this.command.environment
      ? "The log says why. Setting up the server anew often helps."
      : "Check the setting parrotlet.serverCommand, or empty it to let Parrotlet set up its own server.";
  }

  private mends(): Mend[] {
    return ["retry", this.command.environment ? "rebuild" : "settings:serverCommand"];
  }

  /** How the process ended, for a message; its last words go to the log. Empty while it lives. */
  private async ending(): Promise<string> {
    const { child } = this;
    if (!child || !(await hasEnded(child, 500))) {
      return "";
    }
    for (const line of this.lastLines.splice(0)) {
      this.log.error(`[server] ${line}`);
    }
    return child.signalCode === null ? ` (exit code ${child.exitCode ?? "?"})` : ` (${child.signalCode})`;
  }
}

async function hasEnded(child: ChildProcess, withinMs: number): Promise<boolean> {
  const ended = (): boolean =>
    child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
  if (!ended()) {
    const timer = new AbortController();
    await Promise.race([once(child, "exit"), sleep(withinMs, undefined, { signal: timer.signal })]);
    timer.abort();
  }
  return ended();
}

/** Leaves all messages to Ctx, which knows what the user can do; the client would show a second one. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

function middleware(config: Config): Middleware {
  const isOn = (): boolean => config.settings.enable;
  return {
    // Off means off: nothing is asked, and an answer that comes after the switch is dropped.
    provideInlineCompletionItems: async (document, position, context, token, next) => {
      const result = isOn() ? await next(document, position, context, token) : undefined;
      return isOn() ? result : undefined;
    },
    // The popup's entry says what the ghost text says. It is for those who have turned ghost text off in VS Code; for
    // the others it would only push itself between them and their language server's own entries.
    provideCompletionItem: async (document, position, context, token, next) => {
      const ghostText = vscode.workspace
        .getConfiguration("editor", document)
        .get<boolean>("inlineSuggest.enabled", true);
      const result = isOn() && !ghostText ? await next(document, position, context, token) : undefined;
      return isOn() ? result : undefined;
    },
    workspace: {
      // The server gets the model's folder as the extension reads it, with ~ and ${workspaceFolder} replaced.
      configuration: async (params, token, next) => {
        const result: unknown = await next(params, token);
        if (!Array.isArray(result)) {
          return [];
        }
        return result.map((value: unknown, i) => {
          const section = params.items[i]?.section;
          if (section === "parrotlet.model") {
            return config.settings.model;
          }
          return section === "parrotlet" && typeof value === "object" && value !== null
            ? { ...value, model: config.settings.model }
            : value;
        });
      },
    },
  };
}

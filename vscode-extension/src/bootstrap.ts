/** Finding the server: the user's own command line, else the managed environment. */

import * as path from "node:path";
import * as vscode from "vscode";
import { Environments, findBundle, fingerprintOf, type Environment, type Work } from "./environment";
import { candidates, pick } from "./interpreters";
import type { Settings } from "./settings";

export interface ServerCommand {
  readonly command: readonly string[];
  readonly cwd: string;
  /** `undefined` for a server of the user's own. */
  readonly environment: Environment | undefined;
}

export class Bootstrap {
  private readonly environments: Environments;
  private readonly storage: string;

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.storage = context.globalStorageUri.fsPath;
    this.environments = new Environments(this.storage);
  }

  /** How to start the server; makes the managed environment where it is missing. */
  async serverCommand(settings: Settings, signal: AbortSignal): Promise<ServerCommand> {
    // Neither the workspace nor wherever VS Code was started: there, a stray random.py would be imported in the place
    // of Python's own, and in a workspace that is not trusted it would be somebody else's.
    const cwd = this.storage;
    await vscode.workspace.fs.createDirectory(this.context.globalStorageUri);
    if (settings.serverCommand.length > 0) {
      return { command: settings.serverCommand, cwd, environment: undefined };
    }
    const environment = await this.environment(settings, signal);
    this.log.info(`The server's environment: ${environment.folder}`);
    const isTalkative = [vscode.LogLevel.Trace, vscode.LogLevel.Debug].includes(this.log.logLevel);
    const logLevel = isTalkative ? "debug" : "info";
    return {
      // -I: only what is in the environment, whatever PYTHONPATH and the current folder hold.
      command: [
        environment.python,
        ...["-I", "-X", "utf8", "-m", "parrotlet_server", "serve", "--log-level", logLevel],
        // So that the server loads it at once, and not the bundled one in vain.
        ...(settings.model ? ["--model", settings.model] : []),
      ],
      cwd,
      environment,
    };
  }

  /** Removes the managed environment, so that the next start makes it anew. */
  async discard(): Promise<void> {
    await this.environments.discard(await fingerprintOf(await this.bundle()));
  }

  /** Removes environments of former versions. Not urgent, and never a reason to bother anyone. */
  sweep(current: Environment): void {
    this.environments.sweep(current).then(
      (removed) => {
        for (const folder of removed) {
          this.log.info(`Removed ${folder}, no longer used`);
        }
      },
      (error: unknown) => {
        this.log.warn(`Could not clean up old environments: ${String(error)}`);
      },
    );
  }

  private bundle(): ReturnType<typeof findBundle> {
    return findBundle(path.join(this.context.extensionPath, "bundled"));
  }

  private async environment(settings: Settings, signal: AbortSignal): Promise<Environment> {
    const bundle = await this.bundle();
    const fingerprint = await fingerprintOf(bundle);
    const work: Work = {
      signal,
      log: (line) => {
        this.log.info(line);
      },
    };
    const pickInterpreter = async (): ReturnType<typeof pick> =>
      pick(candidates(settings.pythonPath, await fromPythonExtension(this.log)), {
        cwd: this.storage,
        signal,
        log: (line) => {
          this.log.info(line);
        },
      });

    // An environment once made stays in use whichever interpreter people choose for their code; only a Python named
    // for Parrotlet itself asks for one of its own.
    const wanted = settings.pythonPath === "" ? undefined : await pickInterpreter();
    const found = await this.environments.find(fingerprint, wanted, work);
    if (found) {
      return found;
    }
    const interpreter = wanted ?? (await pickInterpreter());
    return vscode.window.withProgress(
      {
        location: vscode.ProgressLocation.Notification,
        title: "Parrotlet: setting up the server (once)",
        cancellable: true,
      },
      (progress, token) => {
        const cancel = new AbortController();
        token.onCancellationRequested(() => {
          cancel.abort();
        });
        return this.environments.build({
          ...work,
          signal: AbortSignal.any([signal, cancel.signal]),
          report: (message) => {
            progress.report({ message });
          },
          interpreter,
          bundle,
          fingerprint,
          pipOptions: proxyOptions(),
        });
      },
    );
  }
}

/** VS Code's proxy, where pip has none of its own. */
function proxyOptions(): string[] {
  const proxy = vscode.workspace.getConfiguration("http").get<string>("proxy") ?? "";
  const own = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "PIP_PROXY"].some(
    (name) => process.env[name],
  );
  return proxy !== "" && !own ? ["--proxy", proxy] : [];
}

/** The little that we use of the Python extension's interface; every part may be missing in another version. */
interface PythonExtension {
  readonly environments?: {
    getActiveEnvironmentPath?(resource?: vscode.Uri): { readonly path: string };
    resolveEnvironment?(environment: {
      readonly path: string;
    }): Promise<{ readonly executable?: { readonly uri?: vscode.Uri } } | undefined>;
  };
}

/**
 * The interpreter chosen in the Python extension, if that is installed and quick to say. Not in a workspace that is
 * not trusted: there it may be a program of the workspace.
 */
async function fromPythonExtension(log: vscode.LogOutputChannel): Promise<string | undefined> {
  const extension = vscode.extensions.getExtension<PythonExtension | undefined>("ms-python.python");
  if (!extension || !vscode.workspace.isTrusted) {
    return undefined;
  }
  const ask = async (): Promise<string | undefined> => {
    const api = extension.isActive ? extension.exports : await extension.activate();
    const active = api?.environments?.getActiveEnvironmentPath?.(vscode.workspace.workspaceFolders?.[0]?.uri);
    if (!active) {
      return undefined;
    }
    return (await api?.environments?.resolveEnvironment?.(active))?.executable?.uri?.fsPath;
  };
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => {
      resolve(undefined);
    }, 5_000);
  });
  try {
    return await Promise.race([ask(), timeout]);
  } catch (error) {
    log.debug(`The Python extension gave no interpreter: ${String(error)}`);
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

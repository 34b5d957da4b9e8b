// A real VS Code without a display: the workbench and the server that the npm package code-server carries, run by
// VS Code's own entry point. Unpacked once into .cache/ at the root of the repository.
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import * as os from "node:os";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const exec = promisify(execFile);
const root = path.resolve(import.meta.dirname, "../..");
export const cache = path.join(root, ".cache");

const VERSION = "4.100.3";
const INTEGRITY =
  "sha512-q/Fh2DOxCRNhC/WiG/6sAhSKnj7ZACTVBaeeZ+rWjol//0FCbl/qg1ln5ecZ99jYcfqMxZZAyWcN+YBIo0DgpA==";

/** The folder of VS Code's server; made if it is not there. */
async function install() {
  const folder = path.join(cache, `code-server-${VERSION}`);
  const vscode = path.join(folder, "package/lib/vscode");
  if (existsSync(folder)) {
    return vscode;
  }
  console.error(`Unpacking VS Code (code-server ${VERSION}) into .cache/, once…`);
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(path.join(cache, "unpacking-"));
  try {
    const name = `code-server-${VERSION}.tgz`;
    await exec("npm", ["pack", `code-server@${VERSION}`, "--pack-destination", scratch], {
      timeout: 600_000,
    });
    const hash = createHash("sha512").update(await readFile(path.join(scratch, name)));
    if (`sha512-${hash.digest("base64")}` !== INTEGRITY) {
      throw new Error(`${name} is not the file that it should be`);
    }
    await exec("tar", ["xzf", name], { cwd: scratch, timeout: 300_000 });
    await rm(path.join(scratch, name));
    const inside = path.join(scratch, "package/lib/vscode");
    // Without install scripts: what they compile (terminals, file watchers, logs) has a fallback or is not needed.
    await exec("npm", ["install", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: inside,
      timeout: 600_000,
    });
    if (!existsSync(path.join(inside, "node_modules.asar"))) {
      await symlink("node_modules", path.join(inside, "node_modules.asar"));
    }
    await rename(scratch, folder);
  } catch (error) {
    await rm(scratch, { recursive: true, force: true });
    throw error;
  }
  return vscode;
}

/**
 * A VS Code with the extension, all its data in a scratch folder.
 *
 * @param settings of the machine; those that keep VS Code quiet are the user's.
 * @param files the workspace: names and texts.
 */
export async function start(settings, files) {
  const vscode = await install();
  await copyFile(
    path.join(import.meta.dirname, "spdlog.cjs"),
    path.join(vscode, "node_modules/@vscode/spdlog/index.js"),
  );
  const scratch = await mkdtemp(path.join(os.tmpdir(), "parrotlet-e2e-"));
  const folder = (name) => path.join(scratch, name);
  const workspace = folder("workspace");
  await mkdir(workspace);
  await mkdir(folder("home"));
  for (const [name, text] of Object.entries(files)) {
    await writeFile(path.join(workspace, name), text);
  }
  // A window on another machine, which this is to VS Code, takes paths of programs from that machine's settings only.
  for (const [name, values] of Object.entries({ User: QUIET, Machine: settings })) {
    await mkdir(path.join(folder("user"), name), { recursive: true });
    await writeFile(path.join(folder("user"), name, "settings.json"), JSON.stringify(values));
  }

  const env = {
    ...process.env,
    HOME: folder("home"),
    EXTENSIONS_GALLERY: "{}",
    PIP_CACHE_DIR: path.join(cache, "pip"),
  };
  for (const name of Object.keys(env)) {
    if (/^(VSCODE_|XDG_|NODE_TEST_|NODE_OPTIONS$|VIRTUAL_ENV$)/.test(name)) {
      delete env[name];
    }
  }
  // The package index stays the one that people have told pip of, wherever HOME is.
  const pip = [".config/pip/pip.conf", ".pip/pip.conf"]
    .map((name) => path.join(os.homedir(), name))
    .find(existsSync);
  if (pip !== undefined && env.PIP_CONFIG_FILE === undefined) {
    env.PIP_CONFIG_FILE = pip;
  }

  const entry = path.join(vscode, "out/server-main.js");
  const data = ["server", "user", "extensions"].map(folder);
  const common = [
    ...["--server-data-dir", data[0], "--user-data-dir", data[1], "--extensions-dir", data[2]],
    "--accept-server-license-terms",
  ];
  const vsix = process.env.PARROTLET_VSIX;
  await exec(process.execPath, [entry, ...common, "--install-extension", vsix], { env, timeout: 180_000 });

  const port = await freePort();
  let output = "";
  const child = spawn(
    process.execPath,
    [
      entry,
      ...common,
      ...["--host", "127.0.0.1", "--port", String(port), "--without-connection-token"],
      ...["--telemetry-level", "off", "--disable-workspace-trust"],
    ],
    { env, detached: true, stdio: ["ignore", "pipe", "pipe"] },
  );
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => (output += chunk));
  }

  const self = {
    scratch,
    workspace,
    origin: `http://127.0.0.1:${port}`,
    /** The address that opens a file of the workspace. */
    url(name) {
      const file = `vscode-remote://127.0.0.1:${port}${path.join(workspace, name)}`;
      const payload = encodeURIComponent(JSON.stringify([["openFile", file]]));
      return `${self.origin}/?folder=${encodeURIComponent(workspace)}&payload=${payload}`;
    },
    /** The processes of this VS Code whose command line fits, language servers included. */
    processes(pattern = /./) {
      return processesWith(folder("home")).filter(({ command }) => pattern.test(command));
    },
    /** Everything that was logged, for when a test fails. */
    async logs() {
      const found = readdirSync(scratch, { recursive: true }).filter((name) =>
        /(Parrotlet|exthost\d*|remoteagent)[^/]*\.log$/.test(name),
      );
      const texts = await Promise.all(
        found.map(
          async (name) =>
            `== ${name}\n${(await readFile(folder(name), "utf8")).split("\n").slice(-80).join("\n")}`,
        ),
      );
      return [`== VS Code's server\n${output.slice(-4_000)}`, ...texts].join("\n");
    },
    /** Asks VS Code to end; says which of its processes did not, and ends those. */
    async stop() {
      kill(-child.pid, "SIGTERM");
      let left = self.processes();
      for (let i = 0; i < 60 && left.length > 0; i++) {
        await sleep(250);
        left = self.processes();
      }
      for (const { pid } of left) {
        kill(pid, "SIGKILL");
      }
      if (process.env.PARROTLET_E2E_KEEP) {
        console.error(`Kept ${scratch}`);
      } else {
        await rm(scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
      }
      return left.map(({ command }) => command);
    },
  };

  try {
    await answers(self.origin, child);
  } catch (error) {
    console.error(await self.logs());
    await self.stop();
    throw error;
  }
  return self;
}

const QUIET = {
  "telemetry.telemetryLevel": "off",
  "workbench.startupEditor": "none",
  "workbench.tips.enabled": false,
  "workbench.enableExperiments": false,
  "workbench.layoutControl.enabled": false,
  "workbench.activityBar.location": "hidden",
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.colorTheme": "Default Dark Modern",
  "window.commandCenter": false,
  "window.menuBarVisibility": "compact",
  "chat.commandCenter.enabled": false,
  "security.workspace.trust.enabled": false,
  "extensions.autoCheckUpdates": false,
  "extensions.autoUpdate": false,
  "extensions.ignoreRecommendations": true,
  "update.mode": "none",
  "git.enabled": false,
  "files.autoSave": "off",
  "editor.minimap.enabled": false,
  "editor.fontSize": 16,
  "editor.cursorBlinking": "solid",
  "editor.accessibilitySupport": "off",
  // Words of the open file in a popup: noise here, and Tab would take them.
  "editor.wordBasedSuggestions": "off",
};

async function answers(origin, child) {
  for (let i = 0; i < 240; i++) {
    if (child.exitCode !== null) {
      throw new Error(`VS Code's server ended with code ${child.exitCode}`);
    }
    try {
      if ((await fetch(`${origin}/version`)).ok) {
        return;
      }
    } catch {
      // Not yet.
    }
    await sleep(250);
  }
  throw new Error("VS Code's server does not answer");
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Processes that were started, however indirectly, with this HOME. */
function processesWith(home) {
  const result = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(`HOME=${home}`)) {
        const command = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim();
        if (command !== "" && readlinkSync(`/proc/${pid}/exe`) !== "") {
          result.push({ pid: Number(pid), command });
        }
      }
    } catch {
      // Gone, or not ours.
    }
  }
  return result;
}

function kill(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}

// Bundles each test file and runs them all with Node's own test runner. Further arguments go to `node`.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

const files = readdirSync("test").filter((name) => name.endsWith(".test.ts"));
rmSync("out", { recursive: true, force: true });
await build({
  entryPoints: files.map((name) => `test/${name}`),
  outdir: "out",
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node20",
  sourcemap: "inline",
  logLevel: "warning",
});

const built = files.map((name) => `out/${name.replace(/\.ts$/, ".js")}`);
const options = ["--enable-source-maps", "--test", "--test-reporter=spec", ...process.argv.slice(2)];
process.exitCode = spawnSync(process.execPath, [...options, ...built], { stdio: "inherit" }).status ?? 1;

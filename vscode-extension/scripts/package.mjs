// Makes ../dist/parrotlet-VERSION.vsix: the bundled extension and, inside, the wheel of the server from ../dist with
// the exact versions of its packages from ../constraints.txt.
// With --without-server: no wheel; such a build works with the setting parrotlet.serverCommand only.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { createVSIX } from "@vscode/vsce";

const withoutServer = process.argv.includes("--without-server");
const { version } = JSON.parse(readFileSync("package.json", "utf8"));

rmSync("bundled", { recursive: true, force: true });
mkdirSync("bundled");
if (!withoutServer) {
  const wheel = `parrotlet-${version}-py3-none-any.whl`;
  if (!existsSync(`../dist/${wheel}`)) {
    console.error(`dist/${wheel} is missing: run "make wheel" first.`);
    process.exit(1);
  }
  cpSync(`../dist/${wheel}`, `bundled/${wheel}`);
  cpSync("../constraints.txt", "bundled/constraints.txt");
}
if (existsSync("../LICENSE")) {
  cpSync("../LICENSE", "LICENSE");
}

execFileSync(process.execPath, ["scripts/build.mjs", "--production"], { stdio: "inherit" });
mkdirSync("../dist", { recursive: true });
const packagePath = `../dist/parrotlet-${version}.vsix`;
await createVSIX({
  packagePath,
  dependencies: false,
  allowMissingRepository: true,
  skipLicense: !existsSync("LICENSE"),
});
const megabytes = (statSync(packagePath).size / 1024 / 1024).toFixed(1);
console.log(`dist/parrotlet-${version}.vsix: ${megabytes} MB${withoutServer ? ", without a server" : ""}`);

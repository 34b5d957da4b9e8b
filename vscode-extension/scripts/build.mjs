// Bundles the extension into dist/main.js, with the licences of the packages in it beside. With --production:
// minified, no source map.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const production = process.argv.includes("--production");

const { metafile } = await build({
  entryPoints: ["src/main.ts"],
  outfile: "dist/main.js",
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node20",
  external: ["vscode"],
  minify: production,
  sourcemap: !production,
  legalComments: "none",
  logLevel: "warning",
  metafile: true,
});

const folders = Object.keys(metafile.inputs)
  .map((file) => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(file)?.[0])
  .filter((folder) => folder !== undefined);
const notices = [...new Set(folders)].sort().map((folder) => {
  const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) {
    throw new Error(`${folder} has no licence file`);
  }
  return `${name} ${version} (${license})\n\n${readFileSync(`${folder}/${file}`, "utf8").trim()}\n`;
});
writeFileSync(
  "dist/THIRD-PARTY.txt",
  ["dist/main.js contains these packages.\n", ...notices].join(`\n${"-".repeat(80)}\n`),
);

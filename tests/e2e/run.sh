#!/usr/bin/env bash
# A real VS Code in a real browser, with the extension as it is shipped.
#   tests/e2e/run.sh [VSIX]      default: the newest in dist/
# PARROTLET_SCREENSHOT=FILE.png also takes a picture of a suggestion.
# PARROTLET_E2E_KEEP=1 keeps the scratch folder.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"

vsix="${1:-$(ls -t "$root"/dist/parrotlet-*.vsix 2>/dev/null | head -n 1)}"
[ -f "$vsix" ] || { echo "No .vsix in dist/: run \"make vsix\" first." >&2; exit 1; }
[ -d "$root/vscode-extension/node_modules/playwright-core" ] || npm --prefix "$root/vscode-extension" ci

PARROTLET_VSIX="$(realpath "$vsix")" exec node --test --test-concurrency=1 --test-reporter=spec \
  "$here/errors.test.mjs" "$here/completion.test.mjs"

// VS Code writes its logs with a compiled module that we do not compile. This takes its place, so that the test can
// read the log and a user's "Show Log" has something to show.
const fs = require("node:fs");
const path = require("node:path");

const NAMES = ["trace", "debug", "info", "warning", "error", "critical"];

class Logger {
  constructor(_type, _name, file) {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    this.file = file;
    this.level = 2;
    this.raw = false;
    for (const [level, method] of ["trace", "debug", "info", "warn", "error", "critical"].entries()) {
      this[method] = (message) => {
        if (level >= this.level) {
          const head = this.raw
            ? ""
            : `${new Date().toISOString().slice(0, -1).replace("T", " ")} [${NAMES[level]}] `;
          fs.appendFileSync(this.file, `${head}${message}${this.raw ? "" : "\n"}`);
        }
      };
    }
  }
  getLevel() {
    return this.level;
  }
  setLevel(level) {
    this.level = level;
  }
  setPattern() {}
  clearFormatters() {
    this.raw = true;
  }
  flush() {}
  drop() {}
}

exports.version = 0;
exports.setLevel = () => undefined;
exports.setFlushOn = () => undefined;
exports.Logger = Logger;
exports.createRotatingLogger = async (name, file) => new Logger("rotating", name, file);
exports.createAsyncRotatingLogger = async (name, file) => new Logger("rotating_async", name, file);

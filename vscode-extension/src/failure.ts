/**
 * What can go wrong between a user and a running server, told so that the user can mend it.
 *
 * A failure always says what happened (`message`), what to do about it (`remedy`) and which buttons help
 * (`mends`). The text of pip and of venv is recognised here, and only here.
 */

export type FailureKind =
  | "no-bundle"
  | "no-python"
  | "bad-python"
  | "no-venv"
  | "no-network"
  | "no-certificate"
  | "no-space"
  | "no-permission"
  | "no-package"
  | "install"
  | "start"
  | "crash"
  | "cancelled";

/** A button of the failure's message. The log is always offered. */
export type Mend = "retry" | "rebuild" | "settings:pythonPath" | "settings:serverCommand";

export class Failure extends Error {
  override readonly name = "Failure";

  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly remedy: string,
    readonly mends: readonly Mend[] = ["retry"],
  ) {
    super(message);
  }
}

export function cancelled(): Failure {
  return new Failure("cancelled", "Setting up the server was cancelled.", "Choose Restart to set it up.");
}

/** Whatever was thrown, as a failure. */
export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) {
    return error;
  }
  const code = errorCode(error);
  const text = error instanceof Error ? error.message : String(error);
  return (
    recognise(`${code} ${text}`) ??
    new Failure("start", text, "The log says more. Restart the server to try again.")
  );
}

export function errorCode(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : "";
}

/** The failure of `python -m venv`, from what it printed. */
export function venvFailure(output: string, python: string, version: string): Failure {
  if (/ensurepip is not|No module named '?(venv|ensurepip)|ensurepip.*returned non-zero/i.test(output)) {
    return noVenv([python], version);
  }
  return (
    recognise(output) ??
    new Failure("install", `${python} could not make a virtual environment.`, "The log says why.", [
      "retry",
      "settings:pythonPath",
    ])
  );
}

export function noVenv(pythons: readonly string[], version: string): Failure {
  return new Failure(
    "no-venv",
    `Python at ${pythons.join(", ")} comes without the modules venv and ensurepip.`,
    `On Debian and Ubuntu: sudo apt install python3-venv (or python${version}-venv). Elsewhere: install Python from python.org.`,
    ["retry", "settings:pythonPath"],
  );
}

/** The failure of `pip install`, from what it printed. */
export function pipFailure(output: string, version: string): Failure {
  const known = recognise(output);
  if (known) {
    return known;
  }
  // Offline, pip says this too, so the network is looked at first (in `recognise`).
  if (
    /No matching distribution found|ResolutionImpossible|not a supported wheel|requires a different Python/i.test(
      output,
    )
  ) {
    return new Failure(
      "no-package",
      `A package that the server needs does not exist for Python ${version} on this system.`,
      "Set parrotlet.pythonPath to another Python, such as 3.11, 3.12 or 3.13 (64 bit).",
      ["settings:pythonPath", "retry"],
    );
  }
  return new Failure("install", "pip could not install the server.", "The log holds what pip printed.");
}

/** Troubles that any step can meet. */
function recognise(output: string): Failure | undefined {
  if (/CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSLCertVerificationError/i.test(output)) {
    return new Failure(
      "no-certificate",
      "The certificate of the package index was not accepted.",
      "Behind a company proxy, tell pip of the proxy's certificate: pip config set global.cert <file>.",
    );
  }
  if (
    /ENOSPC|No space left on device|Errno 28\b|not enough space|WinError 112|quota exceeded|EDQUOT/i.test(
      output,
    )
  ) {
    return new Failure(
      "no-space",
      "The disk is full: the server could not be installed.",
      "The server needs about 250 MB, and as much again while it is installed. Free some space, then try again.",
    );
  }
  if (
    /NewConnectionError|ConnectTimeoutError|ConnectionResetError|NameResolutionError|ProxyError|ReadTimeoutError|name resolution|Name or service not known|getaddrinfo failed|Network is unreachable|Read timed out|Connection refused|Could not fetch URL|nodename nor servname/i.test(
      output,
    )
  ) {
    return new Failure(
      "no-network",
      "The package index could not be reached.",
      "Setting up the server needs the network once. Check the connection and, behind a proxy, the setting http.proxy or pip's own configuration.",
    );
  }
  if (
    /EACCES|EPERM|EROFS|Permission denied|Errno 13\b|WinError 5\b|Read-only file system|Access is denied/i.test(
      output,
    )
  ) {
    return new Failure(
      "no-permission",
      "A file or folder could not be written.",
      "The log names it. Give yourself the right to write there, or close the program that holds it, then try again.",
    );
  }
  return undefined;
}

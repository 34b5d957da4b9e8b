/** What the extension is doing, and how the status bar says it. */

export type State =
  | { readonly kind: "off" }
  | { readonly kind: "starting"; readonly message: string }
  | { readonly kind: "loading"; readonly message: string }
  | { readonly kind: "ready"; readonly message: string }
  | { readonly kind: "busy"; readonly message: string }
  | { readonly kind: "stopped"; readonly message: string }
  | { readonly kind: "error"; readonly message: string; readonly remedy: string };

/** The server's notification `parrotlet/status`. */
export interface ServerStatus {
  readonly state: "loading" | "ready" | "busy" | "error";
  readonly message: string;
  readonly remedy: string;
}

/** A server may be older or newer than the extension: what does not fit is no status. */
export function parseStatus(params: unknown): ServerStatus | undefined {
  if (typeof params !== "object" || params === null) {
    return undefined;
  }
  const { state, message, remedy } = params as Record<string, unknown>;
  if (state !== "loading" && state !== "ready" && state !== "busy" && state !== "error") {
    return undefined;
  }
  return {
    state,
    message: typeof message === "string" ? message : "",
    remedy: typeof remedy === "string" ? remedy : "",
  };
}

export function fromServer(status: ServerStatus): State {
  const { state, message, remedy } = status;
  return state === "error"
    ? { kind: "error", message: message || "The server reported an error.", remedy }
    : { kind: state, message };
}

export interface Look {
  readonly text: string;
  /** One or two plain sentences: tooltip, and head of the menu. */
  readonly detail: string;
  readonly alarming: boolean;
}

export function look(state: State): Look {
  switch (state.kind) {
    case "off":
      return { text: "$(circle-slash) Parrotlet", detail: "Suggestions are off.", alarming: false };
    case "starting":
      return { text: "$(loading~spin) Parrotlet", detail: state.message || "Starting…", alarming: false };
    case "loading":
      return {
        text: "$(loading~spin) Parrotlet",
        detail: state.message || "Loading the model…",
        alarming: false,
      };
    case "ready":
      return { text: "$(check) Parrotlet", detail: state.message || "Ready.", alarming: false };
    case "busy":
      return { text: "$(sync~spin) Parrotlet", detail: state.message || "Thinking…", alarming: false };
    case "stopped":
      return { text: "$(debug-pause) Parrotlet", detail: state.message || "Not running.", alarming: false };
    case "error":
      return {
        text: "$(error) Parrotlet",
        detail: [state.message, state.remedy].filter((part) => part !== "").join(" "),
        alarming: true,
      };
  }
}

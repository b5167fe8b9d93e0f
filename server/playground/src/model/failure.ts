/** Errors of the client in the words of a person: what happened, and what they can do. */

import { APIConnectionError, APIStatusError, StreamError } from "qstar-client";

/**
 * What went wrong.
 *
 * `loading`: the model is not ready yet. `locked`: the key is missing or wrong. `busy`: too many
 * requests. `cut`: the answer broke off.
 */
export type FailureKind = "loading" | "locked" | "forbidden" | "busy" | "cut" | "offline" | "other";

export interface Failure {
  readonly kind: FailureKind;
  readonly message: string;
  /** Seconds that the server asks to wait; null if it does not say. */
  readonly retryAfterS: number | null;
}

/** Describes anything that the client throws. */
export function failureOf(error: unknown): Failure {
  if (error instanceof APIStatusError) return statusFailure(error);
  if (error instanceof StreamError) {
    return plain("cut", `The answer broke off: ${error.message}`);
  }
  if (error instanceof APIConnectionError) {
    return plain("offline", "The server does not answer. Is it running, and is the network there?");
  }
  return plain("other", error instanceof Error ? error.message : String(error));
}

function statusFailure(error: APIStatusError): Failure {
  const { status, code, message, retryAfterS } = error;
  if (status === 401) return plain("locked", message);
  if (status === 403) return plain("forbidden", `The server does not allow this: ${message}`);
  if (status === 429) {
    return { kind: "busy", message: `The server is busy: ${message}`, retryAfterS };
  }
  if (status === 503 && code === "model_loading") {
    return { kind: "loading", message: "The model is loading.", retryAfterS };
  }
  return { kind: "other", message: `The server refused (${status}): ${message}`, retryAfterS };
}

function plain(kind: FailureKind, message: string): Failure {
  return { kind, message, retryAfterS: null };
}

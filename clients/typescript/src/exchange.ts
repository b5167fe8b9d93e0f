/** One request and its answer, with a limit of each wait. */

import { APIConnectionError, APITimeoutError, InvalidResponseError } from "./errors.js";
import { type Config, pageOrigin } from "./config.js";

/** Most bytes of a whole answer, and of what is read of an error's, so that no server can fill the memory. */
export const MAX_BODY_BYTES = 256 * 1024 * 1024;
export const MAX_ERROR_BYTES = 1024 * 1024;

/** A connection that carries one answer. Close it, unless it was read to its end. */
export class Exchange {
  readonly url: string;
  readonly response: Response;
  readonly #wait: Waiting;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;

  private constructor(url: string, response: Response, wait: Waiting) {
    this.url = url;
    this.response = response;
    this.#wait = wait;
  }

  /**
   * Send a request and wait for the status and the headers.
   *
   * @param signal - its abort closes the connection, whenever it happens.
   * @throws APIConnectionError: no answer began. The signal's reason: it was aborted.
   */
  static async open(
    config: Config,
    url: string,
    init: RequestInit,
    signal: AbortSignal | null,
    timeoutMs: number,
  ): Promise<Exchange> {
    const wait = new Waiting(url, signal, timeoutMs);
    try {
      const response = await wait.limited(() => config.fetch(url, { ...init, signal: wait.signal }));
      return new Exchange(url, response, wait);
    } catch (error) {
      wait.end();
      throw error;
    }
  }

  /**
   * The whole body.
   *
   * @throws InvalidResponseError: it has more than `MAX_BODY_BYTES`.
   */
  async text(): Promise<string> {
    const { text, isWhole } = await this.#textOf(MAX_BODY_BYTES);
    if (isWhole) return text;
    throw new InvalidResponseError(`the answer of ${this.url} has more than ${MAX_BODY_BYTES} bytes`);
  }

  /** The body of an error, without what is behind `MAX_ERROR_BYTES`. */
  async errorText(): Promise<string> {
    return (await this.#textOf(MAX_ERROR_BYTES)).text;
  }

  /** The next bytes of the body; null at its end. */
  async read(): Promise<Uint8Array | null> {
    const reader = (this.#reader ??= this.response.body?.getReader() ?? null);
    if (reader === null) return null;
    const { value } = await this.#wait.limited(() => reader.read());
    return value ?? null;
  }

  /** Close the connection. May be called more than once. */
  close(): void {
    this.#wait.end();
  }

  /** The body up to about `maxBytes`, and whether that is all of it. Closes the connection. */
  async #textOf(maxBytes: number): Promise<{ text: string; isWhole: boolean }> {
    try {
      return await this.#wait.limited(() => decoded(this.response, maxBytes));
    } finally {
      this.close();
    }
  }
}

async function decoded({ body }: Response, maxBytes: number): Promise<{ text: string; isWhole: boolean }> {
  const decoder = new TextDecoder();
  const parts: string[] = [];
  let numBytes = 0;
  const reader = body?.getReader();
  for (let piece = await reader?.read(); piece?.value !== undefined; piece = await reader?.read()) {
    parts.push(decoder.decode(piece.value, { stream: true }));
    numBytes += piece.value.length;
    if (numBytes > maxBytes) return { text: parts.join(""), isWhole: false };
  }
  return { text: parts.join("") + decoder.decode(), isWhole: true };
}

/** Ends waits that take too long, and tells why a wait failed. */
class Waiting {
  readonly #url: string;
  readonly #caller: AbortSignal | null;
  readonly #timeoutMs: number;
  readonly #controller = new AbortController();
  readonly #onAbort = (): void => this.#controller.abort(this.#caller?.reason);
  #isLate = false;

  constructor(url: string, caller: AbortSignal | null, timeoutMs: number) {
    caller?.throwIfAborted();
    this.#url = url;
    this.#caller = caller;
    this.#timeoutMs = timeoutMs;
    caller?.addEventListener("abort", this.#onAbort);
  }

  /** Its abort ends the request. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  async limited<T>(step: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      this.#isLate = true;
      this.#controller.abort();
    }, this.#timeoutMs);
    try {
      return await step();
    } catch (error) {
      this.#caller?.throwIfAborted();
      throw this.#isLate ? this.#timeout() : connectionError(this.#url, error);
    } finally {
      clearTimeout(timer);
    }
  }

  end(): void {
    this.#caller?.removeEventListener("abort", this.#onAbort);
    this.#controller.abort();
  }

  #timeout(): APITimeoutError {
    return new APITimeoutError(`${this.#url} did not answer for ${this.#timeoutMs} ms; try a larger timeoutMs`);
  }
}

/** The error for a request without a complete answer. */
export function connectionError(url: string, error: unknown): APIConnectionError {
  const { code, message } = innermost(error);
  if (code === "UND_ERR_CONNECT_TIMEOUT") {
    return new APITimeoutError(`connecting to ${url} timed out; is the server reachable?`, { cause: error });
  }
  if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT") {
    return new APITimeoutError(
      `${url} did not answer before the limit of Node's fetch (${message}); use a stream`,
      { cause: error },
    );
  }
  return new APIConnectionError(`no complete answer from ${url}: ${message}; ${connectionHint(url)}`, { cause: error });
}

/** A browser does not tell a page whether a server is absent or does not allow the page. */
function connectionHint(url: string): string {
  const page = pageOrigin();
  return page === null || url.startsWith(`${page}/`)
    ? "is the server running?"
    : `is the server running, and with --allow-origin ${page}?`;
}

/** Code and message of what failed in the first place; Node hides it in `cause`. */
function innermost(error: unknown): { code: unknown; message: string } {
  if (!(error instanceof Error)) return { code: undefined, message: String(error) };
  if (error.cause instanceof Error) return innermost(error.cause);
  const code = (error as { code?: unknown }).code;
  return { code, message: error.message || String(code ?? error.name) };
}

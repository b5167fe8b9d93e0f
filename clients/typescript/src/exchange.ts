/** One request and its answer, with a limit of each wait. */

import { APIConnectionError, APITimeoutError } from "./errors.js";
import { type Config, pageOrigin } from "./config.js";

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

  /** The whole body. */
  async text(): Promise<string> {
    try {
      return await this.#wait.limited(() => this.response.text());
    } finally {
      this.close();
    }
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

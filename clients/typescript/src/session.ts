/** Sends requests and repeats them where that is safe. Other modules decide when, and which error to raise. */

import { type AnswerType, decode, isRedirect, statusError } from "./answers.js";
import { type Config, checkedTimeout } from "./config.js";
import { Exchange } from "./exchange.js";
import { parseRetryAfter, retryDelayS, shouldRetryError, shouldRetryStatus } from "./retry.js";

/** Options of one call. */
export interface CallOptions {
  /** Its abort ends the call, with its reason as the error, and the server stops generating. */
  signal?: AbortSignal | null | undefined;
  /** Replaces the client's `timeoutMs` in this call. */
  timeoutMs?: number | undefined;
}

/** A request: a GET, or a POST if there is a body. */
export interface Request extends CallOptions {
  path: string;
  /** Becomes JSON. */
  body?: object;
  /** Whether a POST starts no generation, so that it can be sent twice. */
  isRepeatable?: boolean;
  /** Replaces the client's `maxRetries`. */
  maxRetries?: number;
}

/** Sends the requests of one client. */
export class Session {
  readonly #config: Config;

  constructor(config: Config) {
    this.#config = config;
  }

  /**
   * Send a request and parse the complete successful answer.
   *
   * @throws APIStatusError, APIConnectionError, InvalidResponseError; the signal's reason if it was aborted.
   */
  async fetch<Answer>(request: Request, type: AnswerType<Answer>): Promise<Answer> {
    const exchange = await this.open(request);
    return decode(await exchange.text(), type, exchange.url);
  }

  /** As `fetch`, but does not read the body; the caller reads and closes the answer. */
  async open(request: Request): Promise<Exchange> {
    const init = this.#init(request);
    const isRepeatable = request.isRepeatable ?? request.body === undefined;
    const maxRetries = request.maxRetries ?? this.#config.maxRetries;
    for (let numFailures = 1; ; numFailures++) {
      const isLast = numFailures > maxRetries;
      let retryAfterS: number | null = null;
      try {
        const exchange = await this.#attempt(request, init);
        if (isSuccess(exchange.response)) return exchange;
        if (isLast || !shouldRetryStatus(exchange.response, isRepeatable)) {
          return await this.#fail(exchange);
        }
        retryAfterS = parseRetryAfter(exchange.response.headers, Date.now());
        exchange.close();
      } catch (error) {
        if (isLast || !shouldRetryError(error, isRepeatable)) throw error;
      }
      await sleep(retryDelayS(numFailures, retryAfterS, Math.random()), request.signal ?? null);
    }
  }

  #init(request: Request): RequestInit {
    const headers: Record<string, string> = {};
    if (this.#config.apiKey !== null) headers["authorization"] = `Bearer ${this.#config.apiKey}`;
    // The target of a redirect would get the prompt and the key.
    const init: RequestInit = { headers, redirect: "manual" };
    if (request.body === undefined) return init;
    headers["content-type"] = "application/json";
    return { ...init, method: "POST", body: encodeJSON(request.body) };
  }

  #attempt(request: Request, init: RequestInit): Promise<Exchange> {
    const timeoutMs = checkedTimeout(request.timeoutMs ?? this.#config.timeoutMs);
    return Exchange.open(this.#config, this.#config.baseURL + request.path, init, request.signal ?? null, timeoutMs);
  }

  async #fail(exchange: Exchange): Promise<never> {
    throw statusError(exchange.response, await exchange.errorText(), this.#config.apiKey);
  }
}

/**
 * The body as JSON. Fields that are undefined are left out.
 *
 * @throws TypeError: a value has no form in JSON. JavaScript itself would send null for NaN and infinity.
 */
export function encodeJSON(body: object): string {
  return JSON.stringify(body, (name, value: unknown) => {
    if (typeof value === "number" && !Number.isFinite(value)) {
      throw new TypeError(`${name} is ${value}, which has no form in JSON; pass a finite number`);
    }
    return value;
  });
}

function isSuccess(response: Response): boolean {
  return response.ok && !isRedirect(response);
}

function sleep(delayS: number, signal: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, delayS * 1000);
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}

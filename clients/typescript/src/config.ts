/** Configuration of a client: options first, then environment variables, then defaults. */

export const DEFAULT_BASE_URL = "http://127.0.0.1:8000";
export const DEFAULT_TIMEOUT_MS = 600_000;
export const HEALTH_TIMEOUT_MS = 5_000;
const DEFAULT_MAX_RETRIES = 2;
/** The timers of JavaScript cannot hold more: they would fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** What the client needs of `fetch`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Options of `QStarClient`. */
export interface ClientOptions {
  /**
   * URL of the server; absent: QSTAR_BASE_URL, else http://127.0.0.1:8000. A `/v1` at its end is ignored. In a
   * browser "" is the origin of the page.
   */
  baseURL?: string | undefined;
  /** Sent as a bearer token; absent: QSTAR_API_KEY, else no key is sent. */
  apiKey?: string | null | undefined;
  /** Replaces the global `fetch`. */
  fetch?: Fetch | undefined;
  /** Longest wait in milliseconds: for an answer to begin, for its body, for the next bytes of a stream. */
  timeoutMs?: number | undefined;
  /** A request that generates is sent again only if no generation can have started. */
  maxRetries?: number | undefined;
}

/** Resolved and checked configuration of a client. */
export interface Config {
  baseURL: string;
  apiKey: string | null;
  fetch: Fetch;
  timeoutMs: number;
  maxRetries: number;
}

/**
 * Fill in the environment and the defaults, and check all values.
 *
 * @throws TypeError, RangeError: a value is invalid. The message never contains the key.
 */
export function resolveConfig(options: ClientOptions): Config {
  const maxRetries = options.maxRetries ?? DEFAULT_MAX_RETRIES;
  if (!Number.isInteger(maxRetries) || maxRetries < 0) {
    throw new RangeError(`maxRetries must be an integer of at least 0, got ${maxRetries}`);
  }
  return {
    baseURL: checkedBaseURL(options.baseURL ?? (environment("QSTAR_BASE_URL") || DEFAULT_BASE_URL)),
    apiKey: checkedKey(options.apiKey ?? environment("QSTAR_API_KEY") ?? ""),
    // Called as a function of its own: browsers refuse `fetch` as a method of another object.
    fetch: options.fetch ?? ((url, init) => fetch(url, init)),
    timeoutMs: checkedTimeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS),
    maxRetries,
  };
}

/** @throws RangeError: the number is not positive, or more than a timer can hold (24 days). */
export function checkedTimeout(timeoutMs: number): number {
  if (!(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw new RangeError(`timeoutMs must be positive and at most ${MAX_TIMEOUT_MS}, got ${timeoutMs}`);
  }
  return timeoutMs;
}

/** The origin of the page that this code runs in; null outside of pages. */
export function pageOrigin(): string | null {
  const { location } = globalThis as { location?: { origin?: string } };
  return location?.origin === undefined || location.origin === "null" ? null : location.origin;
}

function checkedBaseURL(baseURL: string): string {
  const url = parsedURL(baseURL || (pageOrigin() ?? ""));
  if (url.username !== "" || url.password !== "") {
    throw new TypeError("baseURL must not contain a user name or password; use apiKey");
  }
  if (url.search !== "" || url.hash !== "") {
    throw new TypeError("baseURL must end with its path, without ? and #");
  }
  // Clients of OpenAI need /v1 in their base URL; the same value must work here.
  return (url.origin + url.pathname).replace(/\/+$/, "").replace(/\/v1$/, "");
}

function parsedURL(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    // Not quoted: it could contain a password.
    const hint = text === "" ? '; "" is the origin of a page, and there is none here' : "";
    throw new TypeError(`baseURL must look like ${DEFAULT_BASE_URL}${hint}`);
  }
  return url;
}

function checkedKey(apiKey: string): string | null {
  const key = apiKey.trim();
  if (!/^[\x21-\x7e]*$/.test(key)) {
    // Checked here because the message of `fetch` would quote the key.
    throw new TypeError("apiKey must be printable ASCII without spaces");
  }
  return key || null;
}

/** A variable of the environment; browsers have none. */
function environment(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name];
}

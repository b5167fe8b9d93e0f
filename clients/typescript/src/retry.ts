/**
 * Decides whether to repeat a failed attempt, and after which delay. Pure functions.
 *
 * A generation is expensive, and repeating it gives another one. Therefore it is repeated only after failures that
 * cannot have started one: no connection was made, or the server turned the request away (408, 409, 429, 503). Other
 * requests are repeated after any failure of the connection or the server. The header x-should-retry is the server's
 * own word, and decides.
 */

import { APIConnectionError } from "./errors.js";

const TURNED_AWAY = [408, 409, 429, 503];
const FIRST_DELAY_S = 0.5;
const MAX_DELAY_S = 8;
const MAX_RETRY_AFTER_S = 60;
const JITTER_SHARE = 0.25;
const HTTP_DATE = /^[A-Za-z]{3,9},? .*\d/;

/** Whether to repeat a request after this error status. */
export function shouldRetryStatus(response: Response, isRepeatable: boolean): boolean {
  const advice = response.headers.get("x-should-retry")?.trim().toLowerCase();
  if (advice === "true" || advice === "false") return advice === "true";
  return TURNED_AWAY.includes(response.status) || (isRepeatable && response.status >= 500);
}

/** Whether to repeat a request after this error. An abort by the caller is none of this client's errors. */
export function shouldRetryError(error: unknown, isRepeatable: boolean): boolean {
  return error instanceof APIConnectionError && (isRepeatable || wasNeverSent(error.cause));
}

/**
 * Whether the error of `fetch` says that no connection was made.
 *
 * Node tells in `cause` what failed. Browsers tell nothing, so a request could have been received.
 */
export function wasNeverSent(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as { code?: unknown; syscall?: unknown };
  if (syscall === "connect" || syscall === "getaddrinfo" || code === "UND_ERR_CONNECT_TIMEOUT") return true;
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(wasNeverSent);
  return wasNeverSent(error.cause);
}

/**
 * Seconds to wait before the next attempt.
 *
 * @param numFailures - failed attempts so far, at least 1.
 * @param retryAfterS - the delay that the server asks for, or null; limited to 60 s.
 * @param jitter - in [0, 1); shortens the exponential delay by up to a quarter, so that clients that failed at the same
 *   time do not retry at the same time.
 */
export function retryDelayS(numFailures: number, retryAfterS: number | null, jitter: number): number {
  if (retryAfterS !== null) return Math.min(retryAfterS, MAX_RETRY_AFTER_S);
  const delayS = Math.min(FIRST_DELAY_S * 2 ** (numFailures - 1), MAX_DELAY_S);
  return delayS * (1 - JITTER_SHARE * jitter);
}

/**
 * Seconds until the time in Retry-After; null if it is absent or malformed.
 *
 * @param nowMs - Unix time in milliseconds. The header may be a date; a past one is 0.
 */
export function parseRetryAfter(headers: Headers, nowMs: number): number | null {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d{1,9}(\.\d+)?$/.test(value)) return Number(value);
  const timeMs = HTTP_DATE.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(timeMs) ? null : Math.max(0, (timeMs - nowMs) / 1000);
}

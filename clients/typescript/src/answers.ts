/** Turns the answers of a server into values and errors. No I/O. */

import {
  APIStatusError,
  AuthenticationError,
  BadRequestError,
  InvalidResponseError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  ServerError,
  ServiceUnavailableError,
} from "./errors.js";
import { parseRetryAfter } from "./retry.js";
import { isRecord } from "./shapes.js";
import { printable } from "./signs.js";

const STATUS_ERRORS = new Map<number, typeof APIStatusError>([
  [400, BadRequestError],
  [401, AuthenticationError],
  [403, PermissionDeniedError],
  [404, NotFoundError],
  [429, RateLimitError],
  [503, ServiceUnavailableError],
]);
/** Most characters shown of a body that is text, for example a web page. */
const MAX_TEXT_CHARS = 200;
const MAX_MESSAGE_CHARS = 2000;
const MIN_SECRET_CHARS = 8;

export const WRONG_SERVER_HINT = "does baseURL point at a Quiet-STaR server?";

/** What a kind of answer is called in messages, and how to recognise it. */
export interface AnswerType<Answer> {
  name: string;
  is(value: unknown): value is Answer;
}

/**
 * Parse the body of a successful answer.
 *
 * @throws InvalidResponseError: the body is not JSON, or not of this type. The message does not quote the body.
 */
export function decode<Answer>(text: string, type: AnswerType<Answer>, url: string): Answer {
  const value = jsonOrText(text);
  if (!type.is(value)) {
    throw new InvalidResponseError(`the answer of ${url} is not ${type.name}; ${WRONG_SERVER_HINT}`);
  }
  return value;
}

/**
 * Refuse a successful answer that says that it is something else than a stream.
 *
 * @throws InvalidResponseError: it is a web page or JSON.
 */
export function checkEventStream(response: Response, url: string): void {
  const type = (response.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (type === "text/html" || type.endsWith("json")) {
    throw new InvalidResponseError(
      `the answer of ${url} is ${printable(type)}, not an event stream; ${WRONG_SERVER_HINT}`,
    );
  }
}

/** Whether the server sends the client elsewhere. A browser shows that as an answer without a status. */
export function isRedirect(response: Response): boolean {
  return response.type === "opaqueredirect" || (response.status >= 300 && response.headers.has("location"));
}

/**
 * The error for an answer outside 200..299.
 *
 * @param text - the body.
 * @param apiKey - is masked where the server repeats it.
 */
export function statusError(response: Response, text: string, apiKey: string | null): APIStatusError {
  const isSecret = apiKey !== null && apiKey.length >= MIN_SECRET_CHARS;
  const body = jsonOrText(isSecret ? text.replaceAll(apiKey, "***") : text);
  const fields = errorFields(body);
  const { status, headers } = response;
  const ErrorType = STATUS_ERRORS.get(status) ?? (status >= 500 ? ServerError : APIStatusError);
  const fallback = printable(response.statusText) || "the server sent no error message";
  return new ErrorType(isRedirect(response) ? redirectMessage(response) : (fields.message ?? fallback), {
    status,
    param: fields.param,
    code: fields.code,
    requestId: headers.get("x-request-id"),
    retryAfterS: parseRetryAfter(headers, Date.now()),
    body,
  });
}

/** What the body of an error says; each field is null if missing. */
export interface ErrorFields {
  message: string | null;
  param: string | null;
  code: string | null;
}

/**
 * Message, param and code of the body of an error.
 *
 * Takes any JSON or text, because proxies in front of the server send other bodies. Control characters become signs,
 * because a stack trace shows the message in a terminal.
 */
export function errorFields(body: unknown): ErrorFields {
  const error = isRecord(body) ? (body["error"] ?? body) : body;
  if (typeof error === "string") {
    return { message: printable(error.trim().slice(0, MAX_TEXT_CHARS)) || null, param: null, code: null };
  }
  if (!isRecord(error)) return { message: null, param: null, code: null };
  return { message: shown(error["message"]), param: shown(error["param"]), code: shown(error["code"]) };
}

/** The value of a JSON text. Any other text is returned as it is. */
export function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function redirectMessage(response: Response): string {
  const target = response.headers.get("location");
  const where = target === null ? "" : ` to ${printable(target.slice(0, MAX_TEXT_CHARS))}`;
  return `the server redirects${where}; set baseURL to the server's own address`;
}

function shown(value: unknown): string | null {
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? printable(value.slice(0, MAX_MESSAGE_CHARS)) : null;
}

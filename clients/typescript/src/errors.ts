/**
 * All errors that this client raises deliberately.
 *
 *     QStarClientError
 *     +-- APIConnectionError          no complete answer arrived: refused, reset, unreachable
 *     |   +-- APITimeoutError         a wait took longer than `timeoutMs`
 *     +-- APIStatusError              the server answered with an error status
 *     |   +-- BadRequestError         400
 *     |   +-- AuthenticationError     401
 *     |   +-- PermissionDeniedError   403
 *     |   +-- NotFoundError           404
 *     |   +-- RateLimitError          429
 *     |   +-- ServerError             500 and above
 *     |       +-- ServiceUnavailableError  503
 *     +-- InvalidResponseError        a success status, but the body does not follow the API
 *     +-- StreamError                 a stream reported an error, was malformed or incomplete
 *
 * Wrong use of the client itself (an invalid `baseURL`, a number that is not finite) is a TypeError or a RangeError.
 * An aborted `signal` raises its own reason, as `fetch` does.
 *
 * The names are set on prototypes, because a minifier changes the names of classes.
 */

/** Base class of all errors of this client. */
export class QStarClientError extends Error {
  static {
    this.prototype.name = "QStarClientError";
  }
}

/** No complete answer arrived. `cause` is the error of `fetch`. */
export class APIConnectionError extends QStarClientError {
  static {
    this.prototype.name = "APIConnectionError";
  }
}

/** A wait took longer than `timeoutMs`. The server may have run the request. */
export class APITimeoutError extends APIConnectionError {
  static {
    this.prototype.name = "APITimeoutError";
  }
}

/** What an error answer says, besides its message. */
export interface StatusDetails {
  status: number;
  param: string | null;
  code: string | null;
  requestId: string | null;
  retryAfterS: number | null;
  body: unknown;
}

/** The server answered with a status outside 200..299. */
export class APIStatusError extends QStarClientError {
  static {
    this.prototype.name = "APIStatusError";
  }

  /** The HTTP status; 0 if a browser hides it, which it does with redirects. */
  readonly status: number;
  /** The request field at fault, or null. */
  readonly param: string | null;
  /** A machine-readable reason such as `context_length_exceeded`, or null. */
  readonly code: string | null;
  /** The `x-request-id` header, for the server's logs, or null. */
  readonly requestId: string | null;
  /** Delay before a retry that the server asks for, in seconds, or null. */
  readonly retryAfterS: number | null;
  /** The decoded JSON body, or its text if it is not JSON. */
  readonly body: unknown;

  constructor(message: string, details: StatusDetails) {
    super(message);
    this.status = details.status;
    this.param = details.param;
    this.code = details.code;
    this.requestId = details.requestId;
    this.retryAfterS = details.retryAfterS;
    this.body = details.body;
  }
}

/** 400: the request is invalid; `param` names the field. */
export class BadRequestError extends APIStatusError {
  static {
    this.prototype.name = "BadRequestError";
  }
}

/** 401: the key is missing or wrong. */
export class AuthenticationError extends APIStatusError {
  static {
    this.prototype.name = "AuthenticationError";
  }
}

/** 403: the server does not allow this, for example `show_thoughts`. */
export class PermissionDeniedError extends APIStatusError {
  static {
    this.prototype.name = "PermissionDeniedError";
  }
}

/** 404: the model or the path does not exist. */
export class NotFoundError extends APIStatusError {
  static {
    this.prototype.name = "NotFoundError";
  }
}

/** 429: the server's queue is full. */
export class RateLimitError extends APIStatusError {
  static {
    this.prototype.name = "RateLimitError";
  }
}

/** 500 and above: the server failed. */
export class ServerError extends APIStatusError {
  static {
    this.prototype.name = "ServerError";
  }
}

/** 503: the server is loading, draining or stopped. */
export class ServiceUnavailableError extends ServerError {
  static {
    this.prototype.name = "ServiceUnavailableError";
  }
}

/** A success status, but the body does not follow the API; often `baseURL` is wrong. */
export class InvalidResponseError extends QStarClientError {
  static {
    this.prototype.name = "InvalidResponseError";
  }
}

/** What a stream reported, besides the message. */
export interface StreamDetails {
  param: string | null;
  code: string | null;
  body: unknown;
}

/** A stream with status 200 reported an error, was malformed, or ended too early. */
export class StreamError extends QStarClientError {
  static {
    this.prototype.name = "StreamError";
  }

  /** The request field at fault, or null. */
  readonly param: string | null;
  /** A machine-readable reason, or null. */
  readonly code: string | null;
  /** The decoded error event, or null if the server sent none. */
  readonly body: unknown;

  constructor(message: string, details: StreamDetails = { param: null, code: null, body: null }) {
    super(message);
    this.param = details.param;
    this.code = details.code;
    this.body = details.body;
  }
}

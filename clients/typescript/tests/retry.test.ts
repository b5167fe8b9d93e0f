/** When a request is repeated, and after which delay. */

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";

import { APIConnectionError, APITimeoutError } from "../src/index.js";
import { parseRetryAfter, retryDelayS, shouldRetryError, shouldRetryStatus, wasNeverSent } from "../src/retry.js";

function answer(status: number, advice = ""): Response {
  return new Response(null, { status, headers: advice === "" ? {} : { "x-should-retry": advice } });
}

test("a generation is repeated where the server turned it away", () => {
  const repeated = [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504].filter((status) =>
    shouldRetryStatus(answer(status), false),
  );
  assert.deepEqual(repeated, [408, 409, 429, 503]);
});

test("other requests are repeated after any failure of the server", () => {
  const repeated = [400, 404, 408, 429, 500, 502, 503].filter((status) => shouldRetryStatus(answer(status), true));
  assert.deepEqual(repeated, [408, 429, 500, 502, 503]);
});

test("the server's word decides", () => {
  assert.equal(shouldRetryStatus(answer(503, "false"), true), false);
  assert.equal(shouldRetryStatus(answer(400, " True "), false), true);
  assert.equal(shouldRetryStatus(answer(503, "perhaps"), false), true);
});

async function errorOfClosedPort(host: string): Promise<unknown> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  await new Promise((resolve) => server.close(resolve));
  return fetch(`http://${host}:${address.port}/`).catch((error: unknown) => error);
}

test("Node tells that no connection was made", async () => {
  assert.equal(wasNeverSent(await errorOfClosedPort("127.0.0.1")), true);
  assert.equal(wasNeverSent(await errorOfClosedPort("localhost")), true);
  const unknown = Object.assign(new Error("ENOTFOUND"), { syscall: "getaddrinfo" });
  assert.equal(wasNeverSent(new TypeError("fetch failed", { cause: unknown })), true);
});

test("a connection that is reset, and an error without a cause, may have been received", async () => {
  const server = createServer((socket) => socket.once("data", () => socket.resetAndDestroy())).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const reset = await fetch(`http://127.0.0.1:${address.port}/`).catch((error: unknown) => error);
  server.close();
  assert.ok(reset instanceof TypeError);
  assert.equal(wasNeverSent(reset), false);
  assert.equal(wasNeverSent(new TypeError("Failed to fetch")), false);
  assert.equal(wasNeverSent(undefined), false);
  const mixed = new AggregateError([Object.assign(new Error("x"), { syscall: "connect" }), new Error("y")]);
  assert.equal(wasNeverSent(mixed), false);
});

test("errors of the connection", () => {
  const refused = Object.assign(new Error("refused"), { syscall: "connect" });
  assert.equal(shouldRetryError(new APIConnectionError("x", { cause: refused }), false), true);
  assert.equal(shouldRetryError(new APIConnectionError("x", { cause: new Error("reset") }), false), false);
  assert.equal(shouldRetryError(new APITimeoutError("x"), false), false);
  assert.equal(shouldRetryError(new APITimeoutError("x"), true), true);
  assert.equal(shouldRetryError(new DOMException("aborted", "AbortError"), true), false);
});

test("delays double up to 8 s, and jitter shortens them", () => {
  const delays = [1, 2, 3, 4, 5, 6, 2000].map((count) => retryDelayS(count, null, 0));
  assert.deepEqual(delays, [0.5, 1, 2, 4, 8, 8, 8]);
  assert.equal(retryDelayS(1, null, 1), 0.375);
  assert.equal(retryDelayS(1, 7, 0.5), 7);
  assert.equal(retryDelayS(1, 0, 0.5), 0);
  assert.equal(retryDelayS(1, 3600, 0.5), 60);
});

test("Retry-After is a number of seconds or a date", () => {
  const nowMs = Date.UTC(2026, 10, 30, 12, 0, 0);
  const parse = (value: string): number | null => parseRetryAfter(new Headers({ "retry-after": value }), nowMs);
  assert.equal(parse("7"), 7);
  assert.equal(parse(" 0.25 "), 0.25);
  assert.equal(parse("Mon, 30 Nov 2026 12:00:30 GMT"), 30);
  assert.equal(parse("Mon, 30 Nov 2026 11:00:00 GMT"), 0);
  for (const value of ["", "-5", "soon", "1e9", "NaN", "Infinity", "7 s", "99999999999999999999"]) {
    assert.equal(parse(value), null, value);
  }
  assert.equal(parseRetryAfter(new Headers(), nowMs), null);
});

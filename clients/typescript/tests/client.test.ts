/** What the client sends, and which answers and errors it makes of what comes back. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { inspect } from "node:util";

import {
  APIConnectionError,
  APIStatusError,
  APITimeoutError,
  AuthenticationError,
  BadRequestError,
  type ClientOptions,
  InvalidResponseError,
  NotFoundError,
  PermissionDeniedError,
  QStarClient,
  QStarClientError,
  RateLimitError,
  ServerError,
  ServiceUnavailableError,
} from "../src/index.js";
import { COMPLETION, fakeFetch, json, silent } from "./fake-server.js";

const KEY = "sk-hunter22";
const NOW = { "retry-after": "0" };

function clientOf(fetch: ClientOptions["fetch"], options: ClientOptions = {}): QStarClient {
  return new QStarClient({ baseURL: "http://host.test", apiKey: "", fetch, ...options });
}

async function errorOf<Kind extends Error>(
  promise: Promise<unknown>,
  kind: abstract new (...args: never[]) => Kind,
): Promise<Kind> {
  const error: unknown = await promise.then(
    () => assert.fail("no error"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof kind, inspect(error));
  return error;
}

afterEach(() => {
  delete process.env["QSTAR_BASE_URL"];
  delete process.env["QSTAR_API_KEY"];
});

test("a request is JSON with the key, and is not sent elsewhere", async () => {
  const { fetch, sent } = fakeFetch(() => json(200, COMPLETION));
  const client = clientOf(fetch, { apiKey: KEY });
  const answer = await client.completions.create({ prompt: "2 + 2 =", model: "tiny", n: null });
  assert.equal(answer.choices[0]?.text, " 4");
  const [request] = sent;
  assert.equal(request?.url, "http://host.test/v1/completions");
  assert.deepEqual(request?.body, { prompt: "2 + 2 =", model: "tiny", n: null });
  assert.equal(request?.init.method, "POST");
  assert.equal(request?.init.redirect, "manual");
  const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
  assert.deepEqual(request?.init.headers, headers);
});

test("paths of all calls", async () => {
  const bodies: unknown[] = [
    { object: "list", data: [{ id: "a/b" }] },
    { id: "a/b" },
    { tokens: [1], count: 1, max_model_len: 9 },
    { prompt: "x" },
    {},
  ];
  const { fetch, sent } = fakeFetch(...bodies.map((body) => () => json(200, body)));
  const client = clientOf(fetch);
  assert.equal((await client.models.list()).data[0]?.id, "a/b");
  assert.equal((await client.models.retrieve("../a?b")).id, "a/b");
  assert.deepEqual((await client.tokenize({ prompt: "x" })).tokens, [1]);
  assert.equal((await client.detokenize({ tokens: [1] })).prompt, "x");
  assert.equal(await client.health(), true);
  assert.deepEqual(
    sent.map(({ url }) => url.replace("http://host.test", "")),
    ["/v1/models", "/v1/models/..%2Fa%3Fb", "/tokenize", "/detokenize", "/health"],
  );
  await assert.rejects(client.models.retrieve(""), TypeError);
  await assert.rejects(client.models.retrieve(".."), TypeError);
});

test("the only model is asked for once", async () => {
  const models = { object: "list", data: [{ id: "tiny" }] };
  const { fetch, sent } = fakeFetch(
    () => json(200, models),
    () => json(200, COMPLETION),
  );
  const client = clientOf(fetch);
  await client.completions.create({ prompt: "x" });
  await client.completions.create({ prompt: "x", model: null });
  assert.deepEqual(
    sent.map(({ body }) => body?.["model"]),
    [undefined, "tiny", "tiny"],
  );
});

test("a server with several models or none needs a model", async () => {
  const several = { object: "list", data: [{ id: "a" }, { id: "b" }] };
  for (const [models, names] of [[several, "2 models (a, b)"], [{ data: [] }, "0 models (none)"]] as const) {
    const { fetch } = fakeFetch(() => json(200, models));
    const error = await errorOf(clientOf(fetch).completions.create({ prompt: "x" }), QStarClientError);
    assert.ok(error.message.includes(names), error.message);
  }
});

test("base URLs", async () => {
  const cases = [
    ["http://host.test/", "http://host.test"],
    ["http://host.test/v1", "http://host.test"],
    ["https://host.test/proxy/v1//", "https://host.test/proxy"],
    ["http://[::1]:8000", "http://[::1]:8000"],
  ] as const;
  for (const [baseURL, expected] of cases) {
    const { fetch, sent } = fakeFetch(() => json(200, {}));
    await clientOf(fetch, { baseURL }).health();
    assert.equal(sent[0]?.url, `${expected}/health`);
  }
  for (const baseURL of ["host:8000", "localhost", "ftp://host.test", "http://h/?a", "http://h/#a", "http://u:p@h"]) {
    assert.throws(() => new QStarClient({ baseURL }), TypeError, baseURL);
  }
});

test('the base URL "" is the origin of the page', async () => {
  assert.throws(() => new QStarClient({ baseURL: "" }), /there is none/);
  Object.assign(globalThis, { location: { origin: "http://page.test:8000" } });
  try {
    const { fetch, sent } = fakeFetch(() => json(200, {}));
    await clientOf(fetch, { baseURL: "" }).health();
    assert.equal(sent[0]?.url, "http://page.test:8000/health");
  } finally {
    Reflect.deleteProperty(globalThis, "location");
  }
});

test("the environment has the defaults", async () => {
  process.env["QSTAR_BASE_URL"] = "http://other.test/v1";
  process.env["QSTAR_API_KEY"] = KEY;
  const { fetch, sent } = fakeFetch(() => json(200, { data: [] }));
  await new QStarClient({ fetch }).models.list();
  assert.equal(sent[0]?.url, "http://other.test/v1/models");
  assert.deepEqual(sent[0]?.init.headers, { authorization: `Bearer ${KEY}` });
});

test("wrong options are refused, and no message has the key", () => {
  for (const apiKey of ["a b", "clé", "sk\nx"]) {
    assert.throws(
      () => new QStarClient({ apiKey }),
      (error: Error) => error instanceof TypeError && !error.message.includes(apiKey),
    );
  }
  for (const timeoutMs of [0, -1, NaN, Infinity, 2 ** 31]) {
    assert.throws(() => new QStarClient({ timeoutMs }), RangeError);
  }
  for (const maxRetries of [-1, 0.5, NaN]) assert.throws(() => new QStarClient({ maxRetries }), RangeError);
});

test("a number that JSON does not have is refused", async () => {
  const { fetch, sent } = fakeFetch(() => json(200, COMPLETION));
  const request = { prompt: "x", model: "m", temperature: NaN };
  const error = await errorOf(clientOf(fetch).completions.create(request), TypeError);
  assert.match(error.message, /temperature is NaN/);
  assert.equal(sent.length, 0);
});

test("create() does not stream", async () => {
  const { fetch } = fakeFetch(() => json(200, COMPLETION));
  const request = { prompt: "x", model: "m", stream: true };
  const error = await errorOf(clientOf(fetch).completions.create(request), TypeError);
  assert.match(error.message, /call stream\(\)/);
});

test("each status has its error", async () => {
  const kinds = [
    [400, BadRequestError],
    [401, AuthenticationError],
    [403, PermissionDeniedError],
    [404, NotFoundError],
    [413, APIStatusError],
    [429, RateLimitError],
    [500, ServerError],
    [503, ServiceUnavailableError],
    [504, ServerError],
  ] as const;
  for (const [status, kind] of kinds) {
    const body = { error: { message: "wrong", param: "n", code: "odd" } };
    const { fetch } = fakeFetch(() => json(status, body, { "retry-after": "7", "x-request-id": "r-1" }));
    const error = await errorOf(clientOf(fetch, { maxRetries: 0 }).models.list(), kind);
    assert.equal(error.constructor, kind);
    const { name, message, param, code, requestId, retryAfterS } = error;
    const expected = { message: "wrong", param: "n", code: "odd", requestId: "r-1", retryAfterS: 7 };
    assert.deepEqual({ name, message, param, code, requestId, retryAfterS }, { name: kind.name, ...expected });
    assert.equal(error.status, status);
    assert.deepEqual(error.body, body);
    assert.ok(error instanceof QStarClientError);
  }
});

test("errors of proxies", async () => {
  const cases: [string | null, string][] = [
    ["<html>Bad gateway</html>", "<html>Bad gateway</html>"],
    [JSON.stringify({ error: "busy" }), "busy"],
    [JSON.stringify({ message: "busy", code: 7 }), "busy"],
    ["x".repeat(5000), "x".repeat(200)],
    [JSON.stringify({ error: { message: "x".repeat(5000) } }), "x".repeat(2000)],
    ["\u001b[2J \u202e \u009b1m", "␛[2J \\u202e \\x9b1m"],
    ["", "the server sent no error message"],
    ["[1]", "the server sent no error message"],
    ["[".repeat(100_000), "[".repeat(200)],
  ];
  for (const [body, expected] of cases) {
    const { fetch } = fakeFetch(() => new Response(body, { status: 502 }));
    const error = await errorOf(clientOf(fetch, { maxRetries: 0 }).models.list(), ServerError);
    assert.equal(error.message, expected);
  }
});

test("a key that the server repeats is masked, and no error or client shows the key", async () => {
  const echo = (): Response => json(401, { error: { message: `wrong key: ${KEY}` } });
  const reset = (): Response => {
    throw new TypeError("fetch failed", { cause: new Error("reset") });
  };
  for (const [script, kind] of [[echo, AuthenticationError], [reset, APIConnectionError]] as const) {
    const client = clientOf(fakeFetch(script).fetch, { apiKey: KEY, maxRetries: 0 });
    const error = await errorOf(client.completions.create({ prompt: "x", model: "m" }), kind);
    const shown = [error, client].map((each) => inspect(each, { depth: 20, showHidden: true })).join();
    assert.ok(!shown.includes("hunter22"), shown);
    assert.ok(!(JSON.stringify([error, client]) + String(error.stack)).includes("hunter22"));
  }
});

test("a redirect is not followed", async () => {
  const headers = { location: "http://evil.test/v1/completions" };
  const { fetch, sent } = fakeFetch(() => new Response(null, { status: 307, headers }));
  const request = clientOf(fetch, { apiKey: KEY }).completions.create({ prompt: "x", model: "m" });
  const error = await errorOf(request, APIStatusError);
  assert.match(error.message, /redirects to http:\/\/evil\.test.*set baseURL/);
  assert.equal(sent.length, 1);
});

test("an answer that is none of this API", async () => {
  const bodies = ["<html>", "{}", "null", '{"choices": [null]}', '{"choices": [{"index": 0}]}', "[".repeat(100_000)];
  for (const body of bodies) {
    const client = clientOf(fakeFetch(() => new Response(body)).fetch);
    const calls = [
      client.models.list(),
      client.models.retrieve("m"),
      client.completions.create({ prompt: "x", model: "m" }),
      client.chat.completions.create({ messages: [], model: "m" }),
      client.responses.create({ input: "x", model: "m" }),
      client.tokenize({ prompt: "x" }),
      client.detokenize({ tokens: [1] }),
    ];
    for (const call of calls) {
      const error = await errorOf(call, InvalidResponseError);
      assert.match(error.message, /does baseURL point at a Quiet-STaR server/);
    }
  }
});

test("a generation that was turned away is repeated", async () => {
  const { fetch, sent } = fakeFetch(
    () => json(429, {}, NOW),
    () => json(503, {}, NOW),
    () => json(200, COMPLETION),
  );
  const answer = await clientOf(fetch).completions.create({ prompt: "x", model: "m" });
  assert.equal(answer.choices[0]?.text, " 4");
  assert.equal(sent.length, 3);
  assert.ok(sent[0]?.init.signal?.aborted, "the refused answer is not left open");
});

test("retries end", async () => {
  for (const maxRetries of [0, 1, 3]) {
    const { fetch, sent } = fakeFetch(() => json(429, {}, NOW));
    const client = clientOf(fetch, { maxRetries });
    await errorOf(client.completions.create({ prompt: "x", model: "m" }), RateLimitError);
    assert.equal(sent.length, maxRetries + 1);
  }
});

test("a generation that may have started is not repeated; other requests are", async () => {
  const reset = (): Response => {
    throw new TypeError("fetch failed", { cause: new Error("other side closed") });
  };
  for (const script of [reset, () => json(500, {}, NOW), () => json(503, {}, { "x-should-retry": "false" })]) {
    const { fetch, sent } = fakeFetch(script);
    await errorOf(clientOf(fetch).completions.create({ prompt: "x", model: "m" }), QStarClientError);
    assert.equal(sent.length, 1);
  }
  const { fetch, sent } = fakeFetch(() => json(500, {}, NOW));
  await errorOf(clientOf(fetch).tokenize({ prompt: "x" }), ServerError);
  await errorOf(clientOf(fetch).models.list(), ServerError);
  assert.equal(sent.length, 6);
});

test("health is asked for once", async () => {
  const { fetch, sent } = fakeFetch(() => json(503, {}, NOW));
  assert.equal(await clientOf(fetch).health(), false);
  assert.equal(sent.length, 1);
  await errorOf(clientOf(fakeFetch(() => json(404, {})).fetch).health(), NotFoundError);
});

test("silence times out, and a generation is not repeated", async () => {
  const { fetch, sent } = fakeFetch(silent);
  const client = clientOf(fetch, { timeoutMs: 20 });
  const error = await errorOf(client.completions.create({ prompt: "x", model: "m" }), APITimeoutError);
  assert.match(error.message, /20 ms/);
  assert.equal(sent.length, 1);
  await errorOf(clientOf(fetch).models.list({ timeoutMs: -1 }), RangeError);
});

test("an aborted signal ends a call with its reason, also between two attempts", async () => {
  const { fetch, sent } = fakeFetch(silent);
  const call = (signal: AbortSignal) => clientOf(fetch).completions.create({ prompt: "x", model: "m" }, { signal });
  assert.equal((await errorOf(call(AbortSignal.abort()), DOMException)).name, "AbortError");
  assert.equal(sent.length, 0);
  assert.equal((await errorOf(call(AbortSignal.timeout(20)), DOMException)).name, "TimeoutError");
  assert.equal(sent.length, 1);
  assert.equal(sent[0]?.init.signal?.aborted, true);
  const busy = fakeFetch(() => json(429, {}, { "retry-after": "60" }));
  const request = { prompt: "x", model: "m" };
  const waiting = clientOf(busy.fetch).completions.create(request, { signal: AbortSignal.timeout(20) });
  assert.equal((await errorOf(waiting, DOMException)).name, "TimeoutError");
  assert.equal(busy.sent.length, 1);
});

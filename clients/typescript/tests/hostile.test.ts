/** Answers that no honest server gives: each ends in the client's own error, in memory that has a limit. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { APIStatusError, BadRequestError, InvalidResponseError, QStarClient, StreamError } from "../src/index.js";
import { MAX_BODY_BYTES, MAX_ERROR_BYTES } from "../src/exchange.js";
import { DONE, THOUGHT, chunk, event, fakeFetch, streaming } from "./fake-server.js";

const PARAMS = { prompt: "x", model: "m" };
const PIECE = new Uint8Array(4 * 1024 * 1024).fill(0x20);

function clientOf(fetch: ReturnType<typeof fakeFetch>["fetch"]): QStarClient {
  return new QStarClient({ baseURL: "http://host.test", apiKey: "", maxRetries: 0, fetch });
}

/** A `fetch` whose answer never ends, and how many bytes were read of it. */
function endless(status: number): { fetch: ReturnType<typeof fakeFetch>["fetch"]; numBytes: () => number } {
  let numBytes = 0;
  const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    numBytes += PIECE.length;
    if (numBytes > MAX_BODY_BYTES + 4 * PIECE.length) controller.error(new Error("read without a limit"));
    else controller.enqueue(PIECE);
  };
  const { fetch } = fakeFetch(() => new Response(new ReadableStream({ pull }), { status }));
  return { fetch, numBytes: () => numBytes };
}

test("an endless answer ends at a limit", async () => {
  const { fetch, numBytes } = endless(200);
  await assert.rejects(clientOf(fetch).completions.create(PARAMS), (error: unknown) => {
    assert.ok(error instanceof InvalidResponseError, String(error));
    assert.match(error.message, /has more than 268435456 bytes/);
    return true;
  });
  assert.ok(numBytes() <= MAX_BODY_BYTES + 2 * PIECE.length);
});

test("an endless error is still an error of its status", async () => {
  const { fetch, numBytes } = endless(400);
  await assert.rejects(clientOf(fetch).completions.create(PARAMS), BadRequestError);
  await assert.rejects(async () => {
    for await (const _ of clientOf(fetch).completions.stream(PARAMS));
  }, APIStatusError);
  assert.ok(numBytes() <= 2 * (MAX_ERROR_BYTES + 2 * PIECE.length));
});

test("a body that is cut inside a character is decoded as one that is not", async () => {
  const bytes = new TextEncoder().encode('\ufeff{"data": [{"id": "é🙂"}]}');
  const pieces = Array.from(bytes, (_, place) => bytes.slice(place, place + 1));
  const { fetch } = fakeFetch(streaming(pieces));
  assert.equal((await clientOf(fetch).models.list()).data[0]?.id, "é🙂");
});

test("many events in one piece", async () => {
  const { fetch } = fakeFetch(streaming([event(chunk("a")).repeat(150_000) + DONE]));
  const whole = await clientOf(fetch).completions.stream(PARAMS).final();
  assert.equal(whole.choices[0]?.text.length, 150_000);
});

test("many thoughts in one chunk", async () => {
  const thoughts = Array.from({ length: 150_000 }, () => ({ token: "a" }));
  for (const kind of ["completions", "chat"] as const) {
    const choice = kind === "chat" ? { index: 0, delta: {}, thoughts } : { index: 0, text: "", thoughts };
    const { fetch } = fakeFetch(streaming([event({ choices: [choice] }) + DONE]));
    const client = clientOf(fetch);
    const chat = { messages: [], model: "m" };
    const stream = kind === "chat" ? client.chat.completions.stream(chat) : client.completions.stream(PARAMS);
    let numThoughts = 0;
    for await (const each of stream) numThoughts += Number(each.type === "thought");
    assert.equal(numThoughts, thoughts.length, kind);
  }
});

const DEEP = 200_000;
const NESTED = `${"[".repeat(DEEP)}${"]".repeat(DEEP)}`;

test("deep nesting in a chunk ends in an error of this client, or in none", async () => {
  const text = '"text": ""';
  for (const fields of [`"text": ${NESTED}`, `${text}, "thoughts": [{"x": ${NESTED}}]`, `${text}, "x": ${NESTED}`]) {
    const { fetch } = fakeFetch(streaming([`data: {"choices": [{"index": 0, ${fields}}]}\n\n`, DONE]));
    await clientOf(fetch)
      .completions.stream(PARAMS)
      .final()
      .catch((error: unknown) => assert.ok(error instanceof StreamError, String(error)));
  }
});

test("a thought of wrong types reaches the caller as it is", async () => {
  const thoughts = [{ ...THOUGHT, token: 5, passes: 7, top_logprobs: "x" }];
  const { fetch } = fakeFetch(streaming([event(chunk("a", { thoughts })), DONE]));
  const whole = await clientOf(fetch).completions.stream(PARAMS).final();
  assert.deepEqual(whole.choices[0]?.thoughts, thoughts);
});

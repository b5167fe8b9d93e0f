/** Streams: what happens as events, the whole at the end, and every way in which one can fail. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import {
  APIConnectionError,
  APITimeoutError,
  BadRequestError,
  type ChatCompletionStream,
  type CompletionStream,
  InvalidResponseError,
  QStarClient,
  QStarClientError,
  type ResponseStream,
  StreamError,
  type StreamEvent,
} from "../src/index.js";
import { type Sent, DONE, THOUGHT, USAGE, chunk, event, fakeFetch, json, silent, streaming } from "./fake-server.js";

type Pieces = readonly (string | Uint8Array)[];

function clientOf(fetch: ReturnType<typeof fakeFetch>["fetch"], timeoutMs = 5_000): QStarClient {
  return new QStarClient({ baseURL: "http://host.test", apiKey: "", fetch, timeoutMs, maxRetries: 0 });
}

function completionOf(pieces: Pieces): CompletionStream {
  return clientOf(fakeFetch(streaming(pieces)).fetch).completions.stream({ prompt: "x", model: "m" });
}

function chatOf(pieces: Pieces): ChatCompletionStream {
  return clientOf(fakeFetch(streaming(pieces)).fetch).chat.completions.stream({ messages: [], model: "m" });
}

function responseOf(pieces: Pieces): ResponseStream {
  return clientOf(fakeFetch(streaming(pieces)).fetch).responses.stream({ input: "x", model: "m" });
}

/** The events up to the end or an error. */
async function collect(stream: AsyncIterable<StreamEvent>): Promise<{ events: StreamEvent[]; error: unknown }> {
  const events: StreamEvent[] = [];
  try {
    for await (const each of stream) events.push(each);
  } catch (error) {
    return { events, error };
  }
  return { events, error: null };
}

const WHOLE = [
  event(chunk("2", { thoughts: [THOUGHT], token_ids: [7] })),
  event(chunk("é", { thoughts: [THOUGHT], token_ids: [8], finish_reason: "stop" })),
  event({ ...chunk(""), choices: [], usage: USAGE }),
  DONE,
];

test("a completion: events, and the whole", async () => {
  const { fetch, sent } = fakeFetch(streaming(WHOLE));
  const stream = clientOf(fetch).completions.stream({ prompt: "x", model: "m", show_thoughts: true });
  assert.equal(sent.length, 0, "nothing is sent before the first step");
  const { events, error } = await collect(stream);
  assert.equal(error, null);
  assert.deepEqual(events, [
    { type: "thought", index: 0, thought: THOUGHT },
    { type: "text", index: 0, text: "2" },
    { type: "thought", index: 0, thought: THOUGHT },
    { type: "text", index: 0, text: "é" },
    { type: "finish", index: 0, finish_reason: "stop" },
    { type: "usage", usage: USAGE },
  ]);
  const whole = await stream.final();
  assert.equal(whole.choices.length, 1);
  const { text, thoughts, token_ids, finish_reason } = whole.choices[0] ?? assert.fail();
  assert.deepEqual({ text, token_ids, finish_reason }, { text: "2é", token_ids: [7, 8], finish_reason: "stop" });
  assert.deepEqual(thoughts, [THOUGHT, THOUGHT]);
  assert.deepEqual(whole.usage, USAGE);
  const options = { stream: true, stream_options: { include_usage: true } };
  assert.deepEqual(sent[0]?.body, { prompt: "x", model: "m", show_thoughts: true, ...options });
});

test("every cut gives the same whole", async () => {
  const bytes = new TextEncoder().encode(WHOLE.join(""));
  const expected = await completionOf([bytes]).final();
  for (let cut = 0; cut <= bytes.length; cut++) {
    const whole = await completionOf([bytes.slice(0, cut), bytes.slice(cut)]).final();
    assert.deepEqual(whole, expected, `cut at ${cut}`);
  }
});

test("raw chunks, and fields that this client does not know", async () => {
  const odd = JSON.parse('{"object": "o", "new": 1, "__proto__": {"a": 1}}') as object;
  const pieces = [event(chunk("a")), event({ ...chunk("b"), ...odd }), event({ ...chunk("c"), new: 2 }), DONE];
  const stream = completionOf(pieces);
  const chunks = [];
  for await (const each of stream.chunks()) chunks.push(each);
  assert.deepEqual(chunks.map((each) => each.choices[0]?.text), ["a", "b", "c"]);
  const whole: object = await stream.final();
  assert.equal(Object.getPrototypeOf(whole), Object.prototype);
  assert.ok(Object.hasOwn(whole, "__proto__"), "a field like any other");
  assert.equal((whole as { new?: number }).new, 2);
  assert.equal(chunks[0]?.choices[0]?.text, "a", "a chunk stays as it is");
});

test("choices that interleave", async () => {
  const part = (index: number, text: string): string => event({ ...chunk(""), choices: [{ index, text }] });
  const stream = completionOf([part(1, "b"), part(0, "a"), part(1, "B"), part(0, "A"), DONE]);
  assert.deepEqual(
    (await stream.final()).choices.map(({ index, text }) => [index, text]),
    [
      [0, "aA"],
      [1, "bB"],
    ],
  );
});

test("log-probabilities join", async () => {
  const logprobs = (token: string, offset: number): object => ({
    logprobs: { tokens: [token], token_logprobs: [-1], top_logprobs: [{ [token]: -1 }], text_offset: [offset] },
  });
  const stream = completionOf([event(chunk("a", logprobs("a", 0))), event(chunk("b", logprobs("b", 1))), DONE]);
  assert.deepEqual((await stream.final()).choices[0]?.logprobs, {
    tokens: ["a", "b"],
    token_logprobs: [-1, -1],
    top_logprobs: [{ a: -1 }, { b: -1 }],
    text_offset: [0, 1],
  });
});

function chat(delta: object, more: object = {}): string {
  const choices = [{ index: 0, delta, finish_reason: null, ...more }];
  return event({ id: "c-1", object: "chat.completion.chunk", created: 1, model: "m", choices });
}

test("a chat with reasoning and calls of tools", async () => {
  const call = { index: 0, id: "call-1", type: "function", function: { name: "add", arguments: '{"a":' } };
  const stream = chatOf([
    chat({ role: "assistant", content: "" }),
    chat({ reasoning: "hm", reasoning_content: "hm" }, { thoughts: [THOUGHT] }),
    chat({ content: "A" }, { logprobs: { content: [{ token: "A", logprob: -1, top_logprobs: [] }] } }),
    chat({ content: "B" }, { logprobs: { content: [{ token: "B", logprob: -2, top_logprobs: [] }] } }),
    chat({ tool_calls: [call] }),
    chat({ tool_calls: [{ index: 0, function: { arguments: "1}" } }] }, { finish_reason: "tool_calls" }),
    DONE,
  ]);
  const { events } = await collect(stream);
  const tool = { type: "tool_call", index: 0, tool_index: 0 };
  assert.deepEqual(events, [
    { type: "thought", index: 0, thought: THOUGHT },
    { type: "reasoning", index: 0, text: "hm" },
    { type: "text", index: 0, text: "A" },
    { type: "text", index: 0, text: "B" },
    { ...tool, arguments: '{"a":', name: "add", id: "call-1" },
    { ...tool, arguments: "1}", name: null, id: null },
    { type: "finish", index: 0, finish_reason: "tool_calls" },
  ]);
  const whole = await stream.final();
  assert.equal(whole.object, "chat.completion");
  const { message, logprobs, thoughts } = whole.choices[0] ?? assert.fail();
  assert.equal(message.content, "AB");
  assert.equal(message.reasoning, "hm");
  assert.deepEqual(message.tool_calls, [{ ...call, function: { name: "add", arguments: '{"a":1}' } }]);
  assert.deepEqual(logprobs?.content?.map(({ token }) => token), ["A", "B"]);
  assert.deepEqual(thoughts, [THOUGHT]);
});

const OUTPUT = [
  { type: "reasoning", content: [{ type: "reasoning_text", text: "hm" }] },
  { type: "message", content: [{ type: "output_text", text: "AB" }] },
];

function named(type: string, more: object = {}): string {
  return event({ type, ...more }, type);
}

test("a response ends with its last event", async () => {
  const usage = { input_tokens: 1, output_tokens: 2, total_tokens: 3 };
  const response = { id: "r", output: OUTPUT, incomplete_details: { reason: "max_output_tokens" }, usage };
  const call = { item: { type: "function_call", name: "add", call_id: "c-1" }, output_index: 2 };
  const stream = responseOf([
    named("response.created", { response: { output: [] } }),
    named("response.reasoning_text.delta", { delta: "hm" }),
    named("response.output_text.delta", { delta: "AB", thoughts: [THOUGHT] }),
    named("response.output_item.added", call),
    named("response.function_call_arguments.delta", { delta: "{}", output_index: 2 }),
    named("response.incomplete", { response }),
  ]);
  const { events, error } = await collect(stream);
  assert.equal(error, null);
  const tool = { type: "tool_call", index: 0, tool_index: 2 };
  assert.deepEqual(events, [
    { type: "reasoning", index: 0, text: "hm" },
    { type: "thought", index: 0, thought: THOUGHT },
    { type: "text", index: 0, text: "AB" },
    { ...tool, arguments: "", name: "add", id: "c-1" },
    { ...tool, arguments: "{}", name: null, id: null },
    { type: "finish", index: 0, finish_reason: "length" },
    {
      type: "usage",
      usage: {
        prompt_tokens: 1,
        completion_tokens: 2,
        total_tokens: 3,
        prompt_tokens_details: null,
        completion_tokens_details: null,
      },
    },
  ]);
  assert.equal((await stream.final()).output_text, "AB");
});

test("an error within a stream keeps the events before it", async () => {
  const body = { error: { message: "NaN\u001b", code: "numbers_not_finite", param: "dtype" } };
  const forms: [string, unknown][] = [
    [event(body), body],
    [event(body.error, "error"), body.error],
    [event({ type: "error", ...body.error }), { type: "error", ...body.error }],
  ];
  for (const [piece, expected] of forms) {
    const stream = completionOf([event(chunk("a")), piece, DONE]);
    const { events, error } = await collect(stream);
    assert.deepEqual(events, [{ type: "text", index: 0, text: "a" }]);
    assert.ok(error instanceof StreamError);
    assert.equal(error.message, "NaN␛");
    assert.equal(error.code, "numbers_not_finite");
    assert.equal(error.param, "dtype");
    assert.deepEqual(error.body, expected);
    await assert.rejects(stream.final(), (again) => again === error);
  }
  const response = { output: [], error: { message: "dead", code: "engine_dead" } };
  const { error } = await collect(responseOf([named("response.failed", { response })]));
  assert.ok(error instanceof StreamError);
  assert.equal(error.message, "dead");
  assert.equal(error.code, "engine_dead");
});

test("a stream that is cut is an error, wherever the cut is", async () => {
  const bytes = new TextEncoder().encode(WHOLE.slice(0, 2).join(""));
  for (let length = 0; length <= bytes.length; length++) {
    const { error } = await collect(completionOf([bytes.slice(0, length)]));
    assert.ok(error instanceof StreamError);
    assert.match(error.message, /ended early/);
    assert.equal(error.message.includes("baseURL"), !error.message.endsWith("last chunk"));
  }
});

test("what is no chunk is an error that does not quote it", async () => {
  const odd = [
    "secret",
    "[1]",
    "null",
    '{"choices": null}',
    '{"choices": [{"index": "0", "text": "secret"}]}',
    '{"choices": [{"index": 0, "text": "a", "thoughts": "secret"}]}',
    '{"choices": [{"index": 0, "text": "a", "logprobs": {}}]}',
    '{"choices": [], "usage": "secret"}',
    "[".repeat(100_000),
  ];
  for (const data of odd) {
    const { error } = await collect(completionOf([event(chunk("a")), event(data), DONE]));
    assert.ok(error instanceof StreamError, data.slice(0, 50));
    assert.match(error.message, /is not a chunk of a completion/);
    assert.ok(!error.message.includes("secret"));
  }
});

test("an answer that is no stream", async () => {
  for (const type of ["text/html; charset=utf-8", "application/json", "application/problem+json"]) {
    const { fetch } = fakeFetch(() => new Response("{}", { headers: { "content-type": type } }));
    const { error } = await collect(clientOf(fetch).completions.stream({ prompt: "x", model: "m" }));
    assert.ok(error instanceof InvalidResponseError);
    assert.match(error.message, /not an event stream; does baseURL/);
  }
});

test("a refused stream is a status error", async () => {
  const { fetch } = fakeFetch(() => json(400, { error: { message: "no", param: "top_p" } }));
  const { error } = await collect(clientOf(fetch).completions.stream({ prompt: "x", model: "m", top_p: 2 }));
  assert.ok(error instanceof BadRequestError, inspect(error));
  assert.equal(error.param, "top_p");
});

function openStream(timeoutMs?: number): { stream: CompletionStream; sent: Sent[] } {
  const { fetch, sent } = fakeFetch(streaming([event(chunk("a")), event(chunk("b"))], { staysOpen: true }));
  return { stream: clientOf(fetch, timeoutMs).completions.stream({ prompt: "x", model: "m" }), sent };
}

test("leaving a loop closes the connection, and the rest is not silently missing", async () => {
  const { stream, sent } = openStream();
  for await (const each of stream) {
    assert.equal(each.type, "text");
    assert.equal(sent[0]?.init.signal?.aborted, false);
    break;
  }
  assert.equal(sent[0]?.init.signal?.aborted, true);
  await assert.rejects(stream.final(), /closed before it ended/);
  assert.ok((await collect(stream)).error instanceof StreamError);
});

test("abort() ends a loop, also one that waits", async () => {
  const { stream, sent } = openStream();
  setTimeout(() => stream.abort(), 20);
  const { events, error } = await collect(stream);
  assert.equal(events.length, 2);
  assert.equal(error, null);
  assert.equal(sent[0]?.init.signal?.aborted, true);
  await assert.rejects(stream.final(), StreamError);
  stream.abort();
});

test("abort() ends a stream that has not begun", async () => {
  const { fetch, sent } = fakeFetch(silent);
  const waiting = clientOf(fetch).completions.stream({ prompt: "x", model: "m" });
  setTimeout(() => waiting.abort(), 20);
  assert.deepEqual(await collect(waiting), { events: [], error: null });
  assert.equal(sent[0]?.init.signal?.aborted, true);
  const unsent = clientOf(fetch).completions.stream({ prompt: "x", model: "m" });
  unsent.abort();
  await assert.rejects(unsent.final(), StreamError);
  assert.equal(sent.length, 1);
});

test("a signal ends a stream with its reason", async () => {
  const { fetch, sent } = fakeFetch(streaming([event(chunk("a"))], { staysOpen: true }));
  const controller = new AbortController();
  const request = { prompt: "x", model: "m" };
  const stream = clientOf(fetch).completions.stream(request, { signal: controller.signal });
  setTimeout(() => controller.abort(new Error("enough")), 20);
  const { events, error } = await collect(stream);
  assert.equal(events.length, 1);
  assert.equal((error as Error).message, "enough");
  assert.equal(sent[0]?.init.signal?.aborted, true);
  const late = clientOf(fetch).completions.stream(request, { signal: AbortSignal.abort() });
  assert.equal(((await collect(late)).error as Error).name, "AbortError");
  assert.equal(sent.length, 1);
});

test("silence within a stream times out", async () => {
  const { stream } = openStream(30);
  const { events, error } = await collect(stream);
  assert.equal(events.length, 2);
  assert.ok(error instanceof APITimeoutError, inspect(error));
});

test("a connection that breaks", async () => {
  const closed = new TypeError("terminated", { cause: new Error("other side closed") });
  const broken = (): Response => {
    const pieces = [new TextEncoder().encode(event(chunk("a")))];
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        const piece = pieces.shift();
        if (piece === undefined) controller.error(closed);
        else controller.enqueue(piece);
      },
    });
    return new Response(body);
  };
  const { events, error } = await collect(
    clientOf(fakeFetch(broken).fetch).completions.stream({ prompt: "x", model: "m" }),
  );
  assert.equal(events.length, 1);
  assert.ok(error instanceof APIConnectionError);
  assert.match(error.message, /other side closed/);
});

test("two loops over one stream are refused", async () => {
  const { stream } = openStream();
  for await (const _ of stream) {
    await assert.rejects(stream.final(), QStarClientError);
    assert.match(String((await collect(stream)).error), /another loop reads this stream/);
    break;
  }
});

test("a loop behind the end is empty", async () => {
  const stream = completionOf(WHOLE);
  await stream.final();
  assert.deepEqual(await collect(stream), { events: [], error: null });
  assert.equal((await stream.final()).choices[0]?.text, "2é");
});

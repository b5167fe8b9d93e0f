/** The decoder against the grammar of the HTML standard: its own examples, every cut, and random streams. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { StreamError } from "../src/index.js";
import { SSEDecoder, type ServerSentEvent } from "../src/sse.js";

const encoder = new TextEncoder();

function decodeAll(pieces: readonly Uint8Array[]): ServerSentEvent[] {
  const decoder = new SSEDecoder();
  return [...pieces.flatMap((piece) => decoder.feed(piece)), ...decoder.flush()];
}

function decodeText(text: string): ServerSentEvent[] {
  return decodeAll([encoder.encode(text)]);
}

function message(data: string, event = "message"): ServerSentEvent {
  return { event, data };
}

test("examples of the standard, section 9.2.6", () => {
  assert.deepEqual(decodeText("data: YHOO\ndata: +2\ndata: 10\n\n"), [message("YHOO\n+2\n10")]);
  const blocks = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
  assert.deepEqual(decodeText(blocks), [message("first event"), message("second event"), message(" third event")]);
  assert.deepEqual(decodeText("data\n\ndata\ndata\n\n"), [message(""), message("\n")]);
  assert.deepEqual(decodeText("data:test\n\ndata: test\n\n"), [message("test"), message("test")]);
});

test("fields other than data and event are ignored, and an event without data is none", () => {
  assert.deepEqual(decodeText("id: 7\nretry: 10\nDATA: x\n data: x\ndatas: x\n\n"), []);
  assert.deepEqual(decodeText("event: error\n\ndata: a\n\n"), [message("a")]);
  assert.deepEqual(decodeText("event: error\nevent: ping\ndata: a\n\n"), [message("a", "ping")]);
  assert.deepEqual(decodeText("data: a:b: c\n\n"), [message("a:b: c")]);
});

const NASTY = "\ufeffdata: 漢\r\n\r\n: ping\r\revent: error\ndata: 🙂\rdata: b\ufeff\r\n\ndata: \u2028\u0085\n\n\n";
const NASTY_EVENTS = [message("漢"), message("🙂\nb\ufeff", "error"), message("\u2028\u0085")];

test("every cut into three pieces gives the same events", () => {
  const bytes = encoder.encode(NASTY);
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second++) {
      const pieces = [bytes.slice(0, first), bytes.slice(first, second), bytes.slice(second)];
      assert.deepEqual(decodeAll(pieces), NASTY_EVENTS, `cut at ${first} and ${second}`);
    }
  }
});

test("byte for byte", () => {
  const bytes = [...encoder.encode(NASTY)].map((byte) => Uint8Array.of(byte));
  assert.deepEqual(decodeAll(bytes), NASTY_EVENTS);
});

test("an event is given out as soon as its blank line is there", () => {
  const decoder = new SSEDecoder();
  assert.deepEqual(decoder.feed(encoder.encode("data: a\r\n\r")), [message("a")]);
  assert.deepEqual(decoder.feed(encoder.encode("\n")), []);
  assert.deepEqual(decoder.feed(encoder.encode("data: b\n\n")), [message("b")]);
});

/** Numbers in [0, limit) that are the same in every run. */
function randomNumbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

test("random streams", () => {
  const letters = ["a", ":", " ", "é", "漢", "😀", "\u2028", "\0", "data", "\ufeff"];
  for (let seed = 0; seed < 300; seed++) {
    const random = randomNumbers(seed);
    const pick = <Item>(items: readonly Item[]): Item => items[random(items.length)] as Item;
    const word = (): string => Array.from({ length: random(6) }, () => pick(letters)).join("");
    const end = (): string => pick(["\n", "\r\n", "\r"]);
    let text = pick(["", "\ufeff"]);
    const expected: ServerSentEvent[] = [];
    for (let count = random(5); count > 0; count--) {
      const lines = Array.from({ length: 1 + random(3) }, word);
      text += lines.map((line) => `data: ${line}${end()}${pick(["", `:${word()}${end()}`])}`).join("");
      // "\r" and the "\n" of a blank line would be one end of a line.
      text += text.endsWith("\r") ? pick(["\r", "\r\n"]) : end();
      expected.push(message(lines.join("\n")));
    }
    const bytes = encoder.encode(text);
    const pieces: Uint8Array[] = [];
    for (let start = 0, size = 0; start < bytes.length; start += size) {
      size = 1 + random(9);
      pieces.push(bytes.slice(start, start + size));
    }
    assert.deepEqual(decodeAll(pieces), expected, JSON.stringify(text));
  }
});

test("an event whose blank line is missing counts, and bytes that are no UTF-8 are U+FFFD", () => {
  assert.deepEqual(decodeText("data: a\n\ndata: [DONE]"), [message("a"), message("[DONE]")]);
  const broken = [...encoder.encode("data: "), 0xf0, 0x9f, 0x0a, 0x0a];
  assert.deepEqual(decodeAll([Uint8Array.from(broken)]), [message("\ufffd")]);
});

test("an endless line and an endless event are errors", () => {
  const line = new SSEDecoder(100);
  assert.deepEqual(line.feed(encoder.encode(`data: ${"x".repeat(90)}\n\n`)).length, 1);
  assert.throws(() => line.feed(encoder.encode("y".repeat(101))), StreamError);
  const event = new SSEDecoder(100);
  assert.throws(() => {
    for (let count = 0; count < 20; count++) event.feed(encoder.encode("data: 345\n"));
  }, /more than 100 characters/);
});

test("a long line in small pieces takes linear time", () => {
  const decoder = new SSEDecoder();
  const piece = encoder.encode("x".repeat(64));
  decoder.feed(encoder.encode("data: "));
  for (let count = 0; count < 100_000; count++) decoder.feed(piece);
  const [event] = decoder.feed(encoder.encode("\n\n"));
  assert.equal(event?.data.length, 6_400_000);
});

/** Parses the stream of any endpoint into chunks. No I/O. */

import { type AnswerType, WRONG_SERVER_HINT, errorFields, jsonOrText } from "./answers.js";
import { StreamError } from "./errors.js";
import type { StreamEvent } from "./events.js";
import { isRecord } from "./shapes.js";
import { SSEDecoder, type ServerSentEvent } from "./sse.js";

const DONE = "[DONE]";

/** Joins the chunks of a stream to the answer that `create` would have returned. */
export interface Joiner<Chunk, Whole> {
  /** Append one chunk, and leave it as it is. */
  add(chunk: Chunk): void;
  /** The whole. Call it last. @throws StreamError: chunks are missing. */
  join(): Whole;
}

/** What differs between the streams of the endpoints. */
export interface StreamFormat<Chunk, Whole> {
  chunk: AnswerType<Chunk>;
  joiner(): Joiner<Chunk, Whole>;
  /** What happens in a chunk. */
  events(chunk: Chunk): StreamEvent[];
  /** Whether the stream is complete after this chunk, without `[DONE]`. */
  isLast(chunk: Chunk): boolean;
}

/** Takes bytes and returns chunks. Chunks before an error are returned before it is thrown. */
export class StreamReader<Chunk, Whole> {
  readonly #format: StreamFormat<Chunk, Whole>;
  readonly #joiner: Joiner<Chunk, Whole>;
  readonly #decoder = new SSEDecoder();
  #events: ServerSentEvent[] = [];
  /** How many of the events are taken: `shift` would move all others each time. */
  #numTaken = 0;
  #hasChunks = false;
  #isEnded = false;
  #isDone = false;

  constructor(format: StreamFormat<Chunk, Whole>) {
    this.#format = format;
    this.#joiner = format.joiner();
  }

  /** True when `[DONE]` or the last chunk was read, so that the stream is complete. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Add the next bytes of the body. */
  feed(piece: Uint8Array): void {
    this.#addEvents(this.#decoder.feed(piece));
  }

  /** Mark the end of the body. An event that is cut there is none. */
  end(): void {
    const whole = this.#decoder.flush().filter(({ data }) => isDone(data) || typeof jsonOrText(data) !== "string");
    this.#addEvents(whole);
    this.#isEnded = true;
  }

  /**
   * The next chunk; null if more bytes are needed or the stream is done.
   *
   * @throws StreamError: the server reported an error, or the stream is malformed or incomplete.
   */
  pop(): Chunk | null {
    if (this.#isDone) return null;
    const event = this.#events[this.#numTaken++];
    if (event !== undefined && !isDone(event.data)) return this.#take(this.#parse(event));
    this.#isDone = event !== undefined;
    if (this.#isEnded && !this.#isDone) {
      // Without a single chunk it was no event stream, but for example a web page.
      const hint = this.#hasChunks ? "" : `; ${WRONG_SERVER_HINT}`;
      throw new StreamError(`the stream ended early: no [DONE] after the last chunk${hint}`);
    }
    return null;
  }

  /** The whole answer of a stream that is done. */
  join(): Whole {
    return this.#joiner.join();
  }

  #addEvents(events: readonly ServerSentEvent[]): void {
    this.#events = this.#events.slice(this.#numTaken).concat(events);
    this.#numTaken = 0;
  }

  #take(chunk: Chunk): Chunk {
    this.#isDone = this.#format.isLast(chunk);
    this.#hasChunks = true;
    try {
      this.#joiner.add(chunk);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new StreamError("an event of the stream is nested too deeply");
    }
    return chunk;
  }

  #parse(event: ServerSentEvent): Chunk {
    const body = jsonOrText(event.data);
    const error = reportedError(event.event, body);
    if (error !== undefined) {
      const { message, param, code } = errorFields(error);
      throw new StreamError(message ?? "the server sent no error message", { param, code, body });
    }
    if (this.#format.chunk.is(body)) return body;
    // The event contains generated text, so the message does not quote it.
    throw new StreamError(`an event of the stream is not ${this.#format.chunk.name}; ${WRONG_SERVER_HINT}`);
  }
}

function isDone(data: string): boolean {
  return data.trim() === DONE;
}

/** The error that an event reports, in one of the forms that servers use, or undefined. */
function reportedError(name: string, body: unknown): unknown {
  if (name === "error") return body;
  if (!isRecord(body)) return undefined;
  if (body["type"] === "error" || Boolean(body["error"])) return body;
  const response = body["response"];
  return body["type"] === "response.failed" && isRecord(response) ? (response["error"] ?? {}) : undefined;
}

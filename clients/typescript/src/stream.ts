/** Streams: one answer as the server produces it, for every endpoint. */

import { checkEventStream } from "./answers.js";
import { QStarClientError, StreamError } from "./errors.js";
import type { StreamEvent } from "./events.js";
import type { Exchange } from "./exchange.js";
import { type StreamFormat, StreamReader } from "./stream-reader.js";

/**
 * One answer as the server produces it.
 *
 *     for await (const event of client.completions.stream({ prompt: "2 + 2 =" })) { ... }
 *
 * The first step of a loop sends the request. Leaving the loop closes the connection, and the server stops generating.
 * There is one loop over a stream; `final()` is for behind it, or in its place.
 */
export class Stream<Chunk, Whole> implements AsyncIterable<StreamEvent> {
  readonly #connect: (signal: AbortSignal) => Promise<Exchange>;
  readonly #format: StreamFormat<Chunk, Whole>;
  readonly #caller: AbortSignal | null;
  readonly #reader: StreamReader<Chunk, Whole>;
  readonly #controller = new AbortController();
  readonly #onAbort = (): void => this.#controller.abort(this.#caller?.reason);
  #exchange: Exchange | null = null;
  #isReading = false;
  #isClosed = false;
  #failure: unknown = null;

  /**
   * @param connect - sends the request; the signal's abort closes the connection.
   * @param caller - the signal of the caller; its abort ends the stream with its reason as the error.
   */
  constructor(
    connect: (signal: AbortSignal) => Promise<Exchange>,
    format: StreamFormat<Chunk, Whole>,
    caller: AbortSignal | null,
  ) {
    this.#connect = connect;
    this.#format = format;
    this.#caller = caller;
    this.#reader = new StreamReader(format);
  }

  /** What happens, as typed events: thoughts, text, end, usage. */
  async *[Symbol.asyncIterator](): AsyncGenerator<StreamEvent, void, undefined> {
    for await (const chunk of this.chunks()) yield* this.#format.events(chunk);
  }

  /**
   * The chunks as the server sends them.
   *
   * @throws APIStatusError, APIConnectionError, StreamError; the signal's reason if it was aborted.
   */
  async *chunks(): AsyncGenerator<Chunk, void, undefined> {
    this.#begin();
    try {
      for (let chunk = await this.#next(); chunk !== null; chunk = await this.#next()) yield chunk;
    } catch (error) {
      this.#failure = error;
      throw error;
    } finally {
      this.#isReading = false;
      this.#caller?.removeEventListener("abort", this.#onAbort);
      this.abort();
    }
  }

  /**
   * Read to the end and return the whole answer, as `create` returns it, with the chunks that were read already.
   *
   * @throws StreamError: the stream failed or was closed early; the error of a loop that failed.
   */
  async final(): Promise<Whole> {
    if (!this.#reader.isDone) {
      for await (const _ of this.chunks());
    }
    this.#checkOpen();
    return this.#reader.join();
  }

  /** Close the connection: the server stops generating, and a loop ends. May be called more than once. */
  abort(): void {
    this.#isClosed = true;
    this.#controller.abort();
    this.#exchange?.close();
  }

  #begin(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#isReading) {
      throw new QStarClientError("another loop reads this stream; call final() behind it, or make another request");
    }
    this.#checkOpen();
    this.#caller?.throwIfAborted();
    this.#caller?.addEventListener("abort", this.#onAbort);
    this.#isReading = true;
  }

  /** A loop must not silently miss the rest of a stream. */
  #checkOpen(): void {
    if (this.#isClosed && !this.#reader.isDone) throw new StreamError("the stream was closed before it ended");
  }

  /** The next chunk; null at the end, and after `abort`. */
  async #next(): Promise<Chunk | null> {
    try {
      while (!this.#isClosed) {
        const chunk = this.#reader.pop();
        if (chunk !== null || this.#reader.isDone) return chunk;
        const piece = await (await this.#open()).read();
        if (piece === null) this.#reader.end();
        else this.#reader.feed(piece);
      }
    } catch (error) {
      if (!this.#isClosed) throw error;
    }
    return null;
  }

  async #open(): Promise<Exchange> {
    if (this.#exchange === null) {
      this.#exchange = await this.#connect(this.#controller.signal);
      checkEventStream(this.#exchange.response, this.#exchange.url);
    }
    return this.#exchange;
  }
}

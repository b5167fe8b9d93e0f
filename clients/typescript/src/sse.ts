/**
 * Incremental decoder of server-sent events: bytes in, events out, no I/O.
 *
 * Follows the event stream grammar of the HTML standard, with one deliberate difference: `flush` returns an event whose
 * final blank line is missing, because some proxies and servers drop it.
 */

import { StreamError } from "./errors.js";

/** Most characters of one event, so that a broken server cannot fill the memory. */
export const MAX_EVENT_CHARS = 16 * 1024 * 1024;

/** One event. `id` and `retry` are ignored, because a generation cannot be resumed. */
export interface ServerSentEvent {
  event: string;
  data: string;
}

/** Decodes one event stream, which may be split into pieces anywhere. */
export class SSEDecoder {
  readonly #maxEventChars: number;
  // Takes a byte order mark off the start of the stream, and keeps the first bytes of a character that is cut.
  readonly #decoder = new TextDecoder();
  #line: string[] = [];
  #numLineChars = 0;
  #isAfterCR = false;
  #data: string[] = [];
  #numDataChars = 0;
  #event = "";

  /** @param maxEventChars - most characters of one event or one line. */
  constructor(maxEventChars = MAX_EVENT_CHARS) {
    this.#maxEventChars = maxEventChars;
  }

  /**
   * Add the next bytes and return the events that they complete.
   *
   * @throws StreamError: an event or a line is longer than the limit.
   */
  feed(piece: Uint8Array): ServerSentEvent[] {
    return this.#feedText(this.#decoder.decode(piece, { stream: true }));
  }

  /** End the stream and return its last event if its blank line is missing. */
  flush(): ServerSentEvent[] {
    const events = this.#feedText(this.#decoder.decode());
    return [...events, ...this.#endLine(""), ...this.#endEvent()];
  }

  #feedText(text: string): ServerSentEvent[] {
    const events: ServerSentEvent[] = [];
    let start = 0;
    if (this.#isAfterCR && text !== "") {
      start = text.startsWith("\n") ? 1 : 0; // the second half of a CRLF
      this.#isAfterCR = false;
    }
    const lineEnd = /\r\n|\r|\n/g;
    lineEnd.lastIndex = start;
    for (let end = lineEnd.exec(text); end !== null; end = lineEnd.exec(text)) {
      events.push(...this.#endLine(text.slice(start, end.index)));
      start = lineEnd.lastIndex;
    }
    this.#extendLine(text.slice(start));
    this.#isAfterCR ||= text.endsWith("\r");
    return events;
  }

  #extendLine(text: string): void {
    this.#line.push(text);
    this.#numLineChars += text.length;
    if (this.#numLineChars + this.#numDataChars > this.#maxEventChars) {
      throw new StreamError(`the server sent an event of more than ${this.#maxEventChars} characters`);
    }
  }

  #endLine(lastText: string): ServerSentEvent[] {
    this.#extendLine(lastText);
    const line = this.#line.join("");
    this.#line = [];
    this.#numLineChars = 0;
    if (line === "") return this.#endEvent();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") {
      this.#data.push(value);
      this.#numDataChars += line.length;
    } else if (name === "event") {
      this.#event = value;
    }
    return [];
  }

  #endEvent(): ServerSentEvent[] {
    const events =
      this.#data.length > 0 ? [{ event: this.#event || "message", data: this.#data.join("\n") }] : [];
    this.#data = [];
    this.#numDataChars = 0;
    this.#event = "";
    return events;
  }
}

/** `client.completions`: texts that are continued. */

import type { Generation } from "../generation.js";
import { withUsage } from "../params.js";
import type { CallOptions } from "../session.js";
import type { Stream } from "../stream.js";
import type { CompletionParams } from "./params.js";
import { COMPLETION_STREAM } from "./stream-format.js";
import { COMPLETION, type Completion, type CompletionChunk } from "./types.js";

const PATH = "/v1/completions";

/** A completion as the server produces it. */
export type CompletionStream = Stream<CompletionChunk, Completion>;

/** `client.completions`: texts that are continued. */
export class Completions {
  readonly #generation: Generation;

  constructor(generation: Generation) {
    this.#generation = generation;
  }

  /**
   * Complete the prompt and return the whole completion.
   *
   * @throws APIStatusError: the server refused the request or failed; see its subclasses. APIConnectionError: no
   *   complete answer arrived. InvalidResponseError: the answer is not a completion.
   */
  create(params: CompletionParams, options: CallOptions = {}): Promise<Completion> {
    return this.#generation.whole(PATH, params, options, COMPLETION);
  }

  /** Complete the prompt as a stream, with the token counts. The first step of a loop sends the request. */
  stream(params: CompletionParams, options: CallOptions = {}): CompletionStream {
    return this.#generation.stream(PATH, withUsage(params), options, COMPLETION_STREAM);
  }
}

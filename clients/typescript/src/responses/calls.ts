/** `client.responses`: answers as lists of items. */

import type { Generation } from "../generation.js";
import type { CallOptions } from "../session.js";
import type { Stream } from "../stream.js";
import type { ResponseParams } from "./params.js";
import { RESPONSE_STREAM } from "./stream-format.js";
import { RESPONSE, type Response, type ResponseStreamEvent, withText } from "./types.js";

const PATH = "/v1/responses";

/** A response as the server produces it. */
export type ResponseStream = Stream<ResponseStreamEvent, Response>;

/** `client.responses`: answers as lists of items. */
export class Responses {
  readonly #generation: Generation;

  constructor(generation: Generation) {
    this.#generation = generation;
  }

  /**
   * Answer the input with a whole response.
   *
   * @throws APIStatusError: the server refused the request or failed; see its subclasses. APIConnectionError: no
   *   complete answer arrived. InvalidResponseError: the answer is not a response.
   */
  async create(params: ResponseParams, options: CallOptions = {}): Promise<Response> {
    return withText(await this.#generation.whole(PATH, params, options, RESPONSE));
  }

  /** Answer the input as a stream. The first step of a loop sends the request. */
  stream(params: ResponseParams, options: CallOptions = {}): ResponseStream {
    return this.#generation.stream(PATH, params, options, RESPONSE_STREAM);
  }
}

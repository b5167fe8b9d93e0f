/** `client.chat.completions`: answers in conversations. */

import type { Generation } from "../generation.js";
import { withUsage } from "../params.js";
import type { CallOptions } from "../session.js";
import type { Stream } from "../stream.js";
import type { ChatCompletionParams } from "./params.js";
import { CHAT_STREAM } from "./stream-format.js";
import { CHAT_COMPLETION, type ChatCompletion, type ChatCompletionChunk } from "./types.js";

const PATH = "/v1/chat/completions";

/** A chat completion as the server produces it. */
export type ChatCompletionStream = Stream<ChatCompletionChunk, ChatCompletion>;

/** `client.chat.completions`: answers in conversations. */
export class ChatCompletions {
  readonly #generation: Generation;

  constructor(generation: Generation) {
    this.#generation = generation;
  }

  /**
   * Answer the conversation with one whole completion.
   *
   * @throws APIStatusError: the server refused the request or failed; see its subclasses. APIConnectionError: no
   *   complete answer arrived. InvalidResponseError: the answer is not a chat completion.
   */
  create(params: ChatCompletionParams, options: CallOptions = {}): Promise<ChatCompletion> {
    return this.#generation.whole(PATH, params, options, CHAT_COMPLETION);
  }

  /** Answer the conversation as a stream, with the token counts. The first step of a loop sends the request. */
  stream(params: ChatCompletionParams, options: CallOptions = {}): ChatCompletionStream {
    return this.#generation.stream(PATH, withUsage(params), options, CHAT_STREAM);
  }
}

/** `client.chat`, which has the same place as in the openai package. */
export class Chat {
  readonly completions: ChatCompletions;

  constructor(generation: Generation) {
    this.completions = new ChatCompletions(generation);
  }
}

/** The client. */

import { Chat } from "./chat/calls.js";
import { Completions } from "./completions/calls.js";
import { type ClientOptions, HEALTH_TIMEOUT_MS, resolveConfig } from "./config.js";
import { ServiceUnavailableError } from "./errors.js";
import { Generation } from "./generation.js";
import { Models } from "./models.js";
import { Responses } from "./responses/calls.js";
import { type CallOptions, Session } from "./session.js";
import {
  type DetokenizeParams,
  type DetokenizeResponse,
  TOKENS,
  TOKENS_TEXT,
  type TokenizeParams,
  type TokenizeResponse,
} from "./tokens.js";

/**
 * A client of a Quiet-STaR server.
 *
 *     const client = new QStarClient();
 *     const completion = await client.completions.create({ prompt: "2 + 2 =", show_thoughts: true });
 */
export class QStarClient {
  readonly completions: Completions;
  readonly chat: Chat;
  readonly responses: Responses;
  readonly models: Models;
  readonly #session: Session;

  /** @throws TypeError, RangeError: an option is invalid. */
  constructor(options: ClientOptions = {}) {
    this.#session = new Session(resolveConfig(options));
    this.models = new Models(this.#session);
    const generation = new Generation(this.#session, this.models);
    this.completions = new Completions(generation);
    this.chat = new Chat(generation);
    this.responses = new Responses(generation);
  }

  /** The token ids of a text or a conversation. */
  tokenize(params: TokenizeParams, options: CallOptions = {}): Promise<TokenizeResponse> {
    return this.#session.fetch({ ...options, path: "/tokenize", body: params, isRepeatable: true }, TOKENS);
  }

  /** The text of token ids, with that of special tokens. */
  detokenize(params: DetokenizeParams, options: CallOptions = {}): Promise<DetokenizeResponse> {
    return this.#session.fetch({ ...options, path: "/detokenize", body: params, isRepeatable: true }, TOKENS_TEXT);
  }

  /**
   * Whether the server is ready. False if it is loading, draining or stopped (503).
   *
   * Sends one request, and waits at most 5 s.
   *
   * @throws APIConnectionError: the server cannot be reached.
   */
  async health(options: CallOptions = {}): Promise<boolean> {
    try {
      const request = { timeoutMs: HEALTH_TIMEOUT_MS, ...options, path: "/health", maxRetries: 0 };
      await (await this.#session.open(request)).text();
      return true;
    } catch (error) {
      if (error instanceof ServiceUnavailableError) return false;
      throw error;
    }
  }
}

/** Requests that generate: one answer or a stream, by the only model where none is named. */

import type { AnswerType } from "./answers.js";
import type { Models } from "./models.js";
import type { CallOptions, Session } from "./session.js";
import { Stream } from "./stream.js";
import type { StreamFormat } from "./stream-reader.js";

/** Fields that every request has. */
interface AnyParams {
  model?: string | null;
}

/** Sends the requests of all endpoints that generate. */
export class Generation {
  readonly #session: Session;
  readonly #models: Models;

  constructor(session: Session, models: Models) {
    this.#session = session;
    this.#models = models;
  }

  /** Send the request and wait for the complete answer. */
  async whole<Answer>(
    path: string,
    params: AnyParams,
    options: CallOptions,
    type: AnswerType<Answer>,
  ): Promise<Answer> {
    if ("stream" in params && Boolean(params.stream)) {
      throw new TypeError("create() returns whole answers; call stream() instead of passing stream: true");
    }
    const body = await this.#withModel(params, options);
    return this.#session.fetch({ ...options, path, body }, type);
  }

  /** A stream that sends the request when it is first read. */
  stream<Chunk, Whole>(
    path: string,
    params: AnyParams,
    options: CallOptions,
    format: StreamFormat<Chunk, Whole>,
  ): Stream<Chunk, Whole> {
    const connect = async (signal: AbortSignal) => {
      const body = await this.#withModel(params, { ...options, signal });
      return this.#session.open({ ...options, signal, path, body: { ...body, stream: true } });
    };
    return new Stream(connect, format, options.signal ?? null);
  }

  async #withModel(params: AnyParams, options: CallOptions): Promise<AnyParams> {
    return { ...params, model: params.model ?? (await this.#models.onlyId(options)) };
  }
}

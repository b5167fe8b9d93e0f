/** `client.models`: the models that a server serves. */

import type { AnswerType } from "./answers.js";
import { QStarClientError } from "./errors.js";
import type { Thinking } from "./params.js";
import type { CallOptions, Session } from "./session.js";
import { isListOf, isRecord, isText } from "./shapes.js";

const PATH = "/v1/models";

/** A model that the server serves. Fields of other servers may be absent, where the type says so. */
export interface ModelCard {
  id: string;
  object: string;
  /** Unix time in seconds. */
  created: number;
  owned_by: string;
  /** Most visible tokens, prompt and output together. */
  max_model_len?: number;
  description?: string;
  /** Length of each thought unless a request says otherwise; 0 for a model that cannot think. */
  num_thought_tokens?: number;
  /** Longest thought that a request may ask for. */
  max_thought_tokens?: number;
  /** At which tokens the model thinks unless a request says otherwise. */
  thinking?: Thinking;
  /** Whether a request may ask to see thoughts. */
  thoughts_allowed?: boolean;
  /** Most alternatives that a request may ask for. */
  max_top_logprobs?: number;
  /** Whether the model can chat. */
  has_chat_template?: boolean;
  /** Whether the checkpoint has a gate, so that `{"where": "gate"}` is possible. */
  has_gate?: boolean;
}

/** Every model of the server. */
export interface ModelList {
  object: string;
  data: ModelCard[];
}

const MODEL: AnswerType<ModelCard> = { name: "a model", is: isModel };
const MODEL_LIST: AnswerType<ModelList> = {
  name: "a list of models",
  is: (value): value is ModelList => isRecord(value) && isListOf(value["data"], isModel),
};

/** `client.models`: the models that the server serves. */
export class Models {
  readonly #session: Session;
  #onlyId: string | null = null;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Every model of the server. */
  list(options: CallOptions = {}): Promise<ModelList> {
    return this.#session.fetch({ ...options, path: PATH }, MODEL_LIST);
  }

  /**
   * One model by its id.
   *
   * @throws NotFoundError: the server has no such model. TypeError: the id is empty.
   */
  async retrieve(model: string, options: CallOptions = {}): Promise<ModelCard> {
    return this.#session.fetch({ ...options, path: modelPath(model) }, MODEL);
  }

  /**
   * The id of the server's only model; the server is asked once.
   *
   * @throws QStarClientError: the server has no model or several.
   */
  async onlyId(options: CallOptions = {}): Promise<string> {
    this.#onlyId ??= onlyId(await this.list(options));
    return this.#onlyId;
  }
}

/** The path of a model, whose id is one segment of it, whatever characters it has. */
function modelPath(model: string): string {
  if (model === "") throw new TypeError("model must not be empty");
  if (model === "." || model === "..") {
    // A URL has no form for them: also "%2E" means the same path, or the path above.
    throw new TypeError(`a model cannot be named ${model}`);
  }
  return `${PATH}/${encodeURIComponent(model)}`;
}

function onlyId(models: ModelList): string {
  const ids = models.data.map((model) => model.id);
  const [id] = ids;
  if (id === undefined || ids.length > 1) {
    throw new QStarClientError(`pass model: the server has ${ids.length} models (${ids.join(", ") || "none"})`);
  }
  return id;
}

function isModel(value: unknown): value is ModelCard {
  return isRecord(value) && isText(value["id"]);
}

/** The request fields that several endpoints share. What is absent or null has the server's default. */

/** At which tokens the model thinks about the next one. */
export type Thinking =
  | { where: "everywhere"; tokens?: readonly [] }
  | { where: "gate"; tokens?: readonly [] }
  | {
      where: "behind";
      /** Names or ids of the vocabulary. */
      tokens: readonly (string | number)[];
    };

/** How to think. */
export interface ThoughtParams {
  /** Return the thought of each token; default false. The operator can forbid it (403). */
  show_thoughts?: boolean | null;
  /** Return this many most likely tokens with and without each thought; needs `show_thoughts`. */
  thought_top_logprobs?: number | null;
  /** Return how the wavefront found each token; needs `show_thoughts`. */
  show_passes?: boolean | null;
  /** Sampled tokens in each thought; 0: do not think. Default: as trained. */
  num_thought_tokens?: number | null;
  /** Default: 0 if `temperature` is 0, else the checkpoint's, else 1. */
  thought_temperature?: number | null;
  /** At which tokens to think. Default: as the checkpoint says. */
  thinking?: Thinking | null;
  /** Skip a thought if the model's top probability without it is at least this. Faster, but approximate. */
  think_threshold?: number | null;
}

/** Fields of every request that generates. */
export interface SamplingParams extends ThoughtParams {
  /** A model id; may be absent if the server has exactly one model. */
  model?: string | null;
  /** 0 is greedy. */
  temperature?: number | null;
  top_p?: number | null;
  top_k?: number | null;
  min_p?: number | null;
  presence_penalty?: number | null;
  frequency_penalty?: number | null;
  repetition_penalty?: number | null;
  /** Added to the logits of these token ids; each in [-100, 100]. */
  logit_bias?: Readonly<Record<string, number>> | null;
  /** Ignore end-of-sequence and stop conditions until this many tokens are generated. */
  min_tokens?: number | null;
  /** Strings that end the output and are not part of it. */
  stop?: string | readonly string[] | null;
  stop_token_ids?: readonly number[] | null;
  include_stop_str_in_output?: boolean | null;
  ignore_eos?: boolean | null;
  skip_special_tokens?: boolean | null;
  /** Only these tokens may be generated. */
  allowed_token_ids?: readonly number[] | null;
  /** Words that may not be generated. */
  bad_words?: readonly string[] | null;
  /** One of `json`, `json_object`, `regex`, `choice` and `grammar`, as in vLLM. */
  structured_outputs?: Readonly<Record<string, unknown>> | null;
  /** The same seed and settings give the same text and thoughts. */
  seed?: number | null;
  /** `none` turns thinking off; other efforts choose the length of thoughts. */
  reasoning_effort?: string | null;
  chat_template_kwargs?: Readonly<Record<string, unknown>> | null;
  /** Of a stream. `include_usage` is true unless it is set here. */
  stream_options?: { include_usage?: boolean | null; continuous_usage_stats?: boolean | null } | null;
  /** A request with a lower number is served sooner. */
  priority?: number | null;
  /** Prefixes are shared only among requests with the same salt. */
  cache_salt?: string | null;
  /** Becomes part of the answer's `id`. */
  request_id?: string | null;
  user?: string | null;
}

/** Fields of the endpoints whose answers have `choices`: completions and chat. */
export interface ChoicesParams extends SamplingParams {
  /** Most visible tokens to produce. Default: 16 in completions, all that fit in chat. */
  max_tokens?: number | null;
  /** Number of answers for each prompt. */
  n?: number | null;
  /** `{ type: "json_object" }`, or `{ type: "json_schema", json_schema: { ... } }`. */
  response_format?: Readonly<Record<string, unknown>> | null;
  /** Whether the tokenizer adds its special tokens to the prompt. */
  add_special_tokens?: boolean | null;
  /** Keep only this many of the last prompt tokens; -1: as many as the context allows. */
  truncate_prompt_tokens?: number | null;
  return_token_ids?: boolean | null;
  /** Name tokens as `token_id:17` in logprobs. */
  return_tokens_as_token_ids?: boolean | null;
}

/** The same request, which asks a stream for the token counts, unless the caller says something about them. */
export function withUsage<Params extends SamplingParams>(params: Params): Params {
  return { ...params, stream_options: params.stream_options ?? { include_usage: true } };
}

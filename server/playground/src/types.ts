/**
 * The words that all parts of the page share. Names with an underscore are those of the HTTP API.
 *
 * Everything here is immutable: a part never changes what it was given, and a new object says that
 * something has changed. The one exception in speed, not in meaning: while an answer streams,
 * `Choice.thoughts` is a new array each frame whose entries are the same objects as before.
 */

/** One of the most likely tokens at a place. */
export interface TopLogprob {
  readonly token: string;
  readonly token_id: number;
  /** Natural logarithm of the probability, before temperature, penalties and filters. */
  readonly logprob: number;
}

/** The token that the model guessed without its thought, so that it could go on at once. */
export interface DraftToken {
  readonly token: string;
  readonly token_id: number;
  /** Whether the guess was fed to the model before the thought had ended. */
  readonly is_fed: boolean;
  /** Whether the thought agreed. */
  readonly is_kept: boolean;
}

/** A thought that was begun after a wrong guess, and thrown away. */
export interface DroppedThought {
  /** The token that it began after. */
  readonly token: string;
  readonly first: number;
  readonly last: number;
}

/** How the wavefront found a token; passes count from 0, that of the last token of the prompt. */
export interface Passes {
  readonly first: number;
  readonly last: number;
  readonly draft: DraftToken;
  readonly dropped: readonly DroppedThought[];
}

/** What the model did for one visible token. */
export interface Thought {
  readonly thought: string;
  readonly thought_token_ids: readonly number[];
  /** Share of the thought in the prediction; 0 where there was no thought. */
  readonly mixing_weight: number;
  readonly token: string;
  readonly token_id: number;
  /** With the thought. */
  readonly logprob: number;
  /** Without the thought. */
  readonly base_logprob: number;
  /** The most likely tokens with the thought; absent unless the request asks for it. */
  readonly top_logprobs?: readonly TopLogprob[];
  /** The most likely tokens without the thought; absent unless the request asks for it. */
  readonly base_top_logprobs?: readonly TopLogprob[];
  /** Absent unless the request asks for it. */
  readonly passes?: Passes;
}

/** One answer to a request. */
export interface Choice {
  readonly index: number;
  readonly text: string;
  /** null while the answer grows, and where it was stopped or cut. */
  readonly finish_reason: string | null;
  /** One entry for each token, in order; empty if the server does not show thoughts. */
  readonly thoughts: readonly Thought[];
}

/** Counts of tokens, as the server gives them. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly completion_tokens_details?: { readonly reasoning_tokens?: number } | null;
}

export type Endpoint = "completions" | "chat";

export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** At which tokens a model thinks, as the request field `thinking` says it. */
export interface ThinkingRule {
  readonly where: "everywhere" | "behind" | "gate";
  /** Names or ids; only with `behind`. */
  readonly tokens?: readonly (string | number)[];
}

/**
 * The body of a request without `stream` and `stream_options`. The page sets the fields named here;
 * a file may hold others.
 */
export interface RequestBody {
  readonly model?: string;
  /** Completions. */
  readonly prompt?: string;
  /** Chat. */
  readonly messages?: readonly Message[];
  readonly max_tokens?: number;
  readonly temperature?: number;
  readonly top_p?: number;
  readonly top_k?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly show_thoughts?: boolean;
  readonly num_thought_tokens?: number;
  readonly thought_temperature?: number;
  readonly think_threshold?: number;
  readonly thinking?: ThinkingRule;
  readonly thought_top_logprobs?: number;
  readonly show_passes?: boolean;
  readonly [field: string]: unknown;
}

/** A request and its answer, as a file of docs/decisions/0038 holds it in `runs`. */
export interface SavedRun {
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly endpoint: Endpoint;
  readonly request: RequestBody;
  readonly choices: readonly Choice[];
  readonly usage: Usage | null;
  /** From sending the request to the end of the answer. */
  readonly seconds: number;
}

/** `stopped`: by the user. `error`: what came before the error is kept. */
export type RunState = "streaming" | "done" | "stopped" | "error";

/** A run in the page. */
export interface Run extends SavedRun {
  /** Different for each run of this page. */
  readonly id: number;
  readonly state: RunState;
  /** What a person reads if `state` is `error`; else null. */
  readonly error: string | null;
}

export type Mode = "completion" | "chat";

/** What the person chose. null is the default of model and server, and the field is not sent. */
export interface Settings {
  readonly max_tokens: number;
  readonly temperature: number | null;
  readonly top_p: number | null;
  readonly top_k: number | null;
  readonly seed: number | null;
  readonly num_thought_tokens: number | null;
  readonly thought_temperature: number | null;
  readonly think_threshold: number | null;
  readonly thinking: ThinkingRule | null;
  readonly stop: readonly string[];
}

/** What a shared link holds: all that makes the next request, without the key. */
export interface Setup {
  readonly mode: Mode;
  /** The text of the completion, or the message that is being written. */
  readonly prompt: string;
  /** The turns of the conversation so far; kept while the mode is `completion`. */
  readonly messages: readonly Message[];
  readonly settings: Settings;
}

/** How tokens are shaded. */
export type Shading = "weight" | "change";

/**
 * Sends a request and streams its answer. `onProgress` gets the growing run, at most once a frame.
 * The promise gives the finished run, whose state is `done`, `stopped` (by the signal) or `error`;
 * it never rejects.
 */
export type RunRequest = (
  endpoint: Endpoint,
  request: RequestBody,
  onProgress: (run: Run) => void,
  signal: AbortSignal,
) => Promise<Run>;

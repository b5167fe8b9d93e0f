/** Checks the request in a file: the fields that the page uses; others stay as they are. */

import { flag, InvalidDataError, list, object, record, text, type Reader } from "../check";
import * as fields from "../fields";
import type { RequestBody } from "../../types";

const oneStop = list(text, 1);

/** The API takes one stop text as well as a list. */
const stop: Reader<readonly string[]> = (value, at) =>
  typeof value === "string" ? oneStop([value], at) : fields.stops(value, at);

const known = object<unknown, RequestBody>(
  {},
  {
    model: text,
    prompt: text,
    messages: fields.messages,
    max_tokens: fields.tokenCount,
    temperature: fields.temperature,
    top_p: fields.probability,
    top_k: fields.topK,
    seed: fields.seed,
    stop,
    show_thoughts: flag,
    num_thought_tokens: fields.tokenCount,
    thought_temperature: fields.temperature,
    think_threshold: fields.probability,
    thinking: fields.thinkingRule,
    thought_top_logprobs: fields.tokenCount,
    show_passes: flag,
  },
);

const LEFT_OUT = new Set(["stream", "stream_options", "__proto__"]);

/** Schemas are nested, but not so deep; what is cannot be written as JSON again. */
const MOST_LEVELS = 100;

function checkDepth(value: unknown, at: string, levels: number): void {
  if (typeof value !== "object" || value === null) return;
  if (levels === 0) {
    throw new InvalidDataError(`${at} is nested more than ${MOST_LEVELS} levels deep.`);
  }
  for (const item of Object.values(value)) checkDepth(item, at, levels - 1);
}

/** The body of a request, without `stream` and `stream_options`. */
export const request: Reader<RequestBody> = (value, at) => {
  const checked = known(value, at);
  const others = Object.entries(record(value, at)).filter(
    ([name, field]) => field !== null && !LEFT_OUT.has(name) && !Object.hasOwn(checked, name),
  );
  for (const [name, field] of others) checkDepth(field, `${at}.${name}`, MOST_LEVELS);
  return Object.fromEntries([...Object.entries(checked), ...others]) as RequestBody;
};

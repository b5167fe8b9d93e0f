/** Checks the request in a file: the fields that the page uses; others stay as they are. */

import { flag, list, object, record, text, type Reader } from "../check";
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

/** The body of a request, without `stream` and `stream_options`. */
export const request: Reader<RequestBody> = (value, at) => {
  const checked = known(value, at);
  const others = Object.entries(record(value, at)).filter(
    ([name, field]) => field !== null && !LEFT_OUT.has(name) && !Object.hasOwn(checked, name),
  );
  return Object.fromEntries([...Object.entries(checked), ...others]) as RequestBody;
};

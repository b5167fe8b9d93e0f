/** Runs as a file of docs/decisions/0038, which the terminal writes and opens as well. */

import { InvalidDataError, list, object, oneOf, orNull, parsedJson, quoted, text } from "../check";
import type { Reader } from "../check";
import { between, tokenCount } from "../fields";
import { choice } from "./entries";
import { request } from "./request";
import type { SavedRun, Usage } from "../../types";

const FORMAT = "qstar-run";
const VERSION = 1;
/** A file of 20,000 tokens with all details has about half of it. */
export const MOST_BYTES = 64_000_000;
const MOST_RUNS = 1000;
const MOST_CHOICES = 1000;
/** The year 9999, in seconds. */
const LAST_SECOND = 253_402_300_799;

const details = object<unknown, { reasoning_tokens?: number }>(
  {},
  { reasoning_tokens: tokenCount },
);

const usage: Reader<Usage> = object<
  Omit<Usage, "completion_tokens_details">,
  Pick<Usage, "completion_tokens_details">
>(
  { prompt_tokens: tokenCount, completion_tokens: tokenCount, total_tokens: tokenCount },
  { completion_tokens_details: details },
);

const time = between(0, LAST_SECOND);

const run: Reader<SavedRun> = object<SavedRun>({
  created: time,
  model: text,
  endpoint: oneOf("completions", "chat"),
  request,
  choices: list(choice, MOST_CHOICES),
  usage: orNull(usage),
  seconds: (value, at) => time(value ?? 0, at), // null: whoever wrote the file did not know
});

const runs = list(run, MOST_RUNS);

/** The text of the file. Only what a saved run has gets into it, whatever the page knows besides. */
export function toFile(saved: readonly SavedRun[]): string {
  const checked = runs(JSON.parse(JSON.stringify(saved)), "runs");
  return `${JSON.stringify({ format: FORMAT, version: VERSION, runs: checked })}\n`;
}

/**
 * The runs of a file that anybody may have written.
 *
 * @throws InvalidDataError It says which field is wrong, with its value.
 */
export function fromFile(content: string): readonly SavedRun[] {
  const parsed = parsedJson(content, "The file");
  const { format, version, runs: saved } = asFile(parsed);
  if (format !== FORMAT) {
    throw new InvalidDataError(
      `This is not a file of saved runs: its "format" is not "${FORMAT}".`,
    );
  }
  if (version !== VERSION) {
    throw new InvalidDataError(
      `The file has version ${quoted(version)}, and this page reads version ${VERSION}. ` +
        "Open it in the page of a newer server.",
    );
  }
  const checked = runs(saved, "runs");
  if (checked.length === 0) throw new InvalidDataError("The file has no runs in it.");
  return checked;
}

function asFile(parsed: unknown): Record<string, unknown> {
  return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
}

import { describe, expect, test } from "vitest";

import { finishedRun, thought, WAVEFRONT } from "../example";
import { fromFile, toFile } from "./file";
import type { RequestBody, SavedRun } from "../../types";

const HOSTILE = "<script>alert(1)</script>&\"' \u0000\u001b[2J\u202e 🙂 \ud800";

const CHAT: RequestBody = {
  messages: [{ role: "user", content: HOSTILE }],
  thinking: { where: "behind", tokens: ["?", 3] },
};

function saved(run: SavedRun = finishedRun(WAVEFRONT)): SavedRun {
  const { created, model, endpoint, request, choices, usage, seconds } = run;
  return { created, model, endpoint, request, choices, usage, seconds };
}

/** The file of one run, changed at a path such as `runs.0.model`. */
function changed(path: string, value: unknown): string {
  const file = JSON.parse(toFile([saved()])) as Record<string, unknown>;
  const names = path.split(".");
  const last = names.pop() ?? "";
  let place = file;
  for (const name of names) place = place[name] as Record<string, unknown>;
  place[last] = value;
  return JSON.stringify(file);
}

describe("a file gives back the runs", () => {
  test.each([
    ["with passes", saved()],
    ["with texts that could do harm", saved(finishedRun([thought(HOSTILE, { thought: HOSTILE })]))],
    [
      "with alternatives",
      saved(
        finishedRun([
          thought("a", { top_logprobs: [{ token: "a", token_id: 1, logprob: -0.5 }] }),
          thought("b", { base_top_logprobs: [] }),
        ]),
      ),
    ],
    ["stopped before its end", saved({ ...finishedRun([]), usage: null })],
    ["of a chat", saved({ ...finishedRun([]), endpoint: "chat", request: CHAT })],
  ])("%s", (_, run) => {
    expect(fromFile(toFile([run, run]))).toEqual([run, run]);
  });

  test("in the form of docs/decisions/0038", () => {
    const file: unknown = JSON.parse(toFile([finishedRun([])]));
    expect(file).toEqual({ format: "qstar-run", version: 1, runs: [saved(finishedRun([]))] });
  });

  test("without what only the page knows", () => {
    const run = { ...finishedRun([]), api_key: "sk-secret" };
    expect(toFile([run])).not.toMatch(/sk-secret|"state"|"id"/);
  });
});

test("fields of a request that the page does not use are kept, null and stream are not", () => {
  const request = { prompt: "x", min_p: 0.1, top_k: null, stream: true, stop: "\n" };
  const [run] = fromFile(changed("runs.0.request", request));
  expect(run?.request).toEqual({ prompt: "x", min_p: 0.1, stop: ["\n"] });
});

test("a run whose time nobody knew took 0 seconds", () => {
  expect(fromFile(changed("runs.0.seconds", null))[0]?.seconds).toBe(0);
});

test("an answer without thoughts has an empty list of them", () => {
  const [run] = fromFile(changed("runs.0.choices.0.thoughts", null));
  expect(run?.choices[0]?.thoughts).toEqual([]);
});

describe("a file that is not right is refused, with the place and the value", () => {
  test.each([
    ["not JSON", "PK\u0003\u0004", /^The file is not JSON: /],
    ["no object", "[1]", /not a file of saved runs/],
    ["null", "null", /not a file of saved runs/],
    ["another format", '{"format": "x"}', /"format" is not "qstar-run"/],
    ["a newer version", changed("version", 2), /has version 2, and this page reads version 1/],
    ["runs are missing", changed("runs", undefined), /^runs is missing, but should be a list/],
    ["no runs", changed("runs", []), /has no runs/],
    ["a model that is no text", changed("runs.0.model", 7), /^runs\[0\].model is 7/],
    ["an endpoint", changed("runs.0.endpoint", "<b>"), /^runs\[0\].endpoint is "<b>", but should/],
    ["a year", changed("runs.0.created", -1), /^runs\[0\].created is -1, but should be a number/],
    ["a prompt", changed("runs.0.request.prompt", [1]), /^runs\[0\].request.prompt is a list/],
    ["a rule", changed("runs.0.request.thinking", { where: 1 }), /request.thinking.where is 1/],
    ["usage", changed("runs.0.usage", []), /^runs\[0\].usage is a list, but should be an object/],
    [
      "a weight",
      changed("runs.0.choices.0.thoughts.2.mixing_weight", "1"),
      /^runs\[0\].choices\[0\].thoughts\[2\].mixing_weight is "1", but should be a number\.$/,
    ],
    [
      "infinity",
      changed("runs.0.choices.0.thoughts.0.logprob", "∞").replace('"∞"', "1e999"),
      /thoughts\[0\].logprob is Infinity, but should be a number/,
    ],
    [
      "a draft",
      changed("runs.0.choices.0.thoughts.1.passes.draft.is_kept", 1),
      /thoughts\[1\].passes.draft.is_kept is 1, but should be true or false/,
    ],
    [
      "passes the wrong way round",
      changed("runs.0.choices.0.thoughts.1.passes.last", 0),
      /thoughts\[1\].passes begins in pass 1, but ends in pass 0/,
    ],
    [
      "too many passes",
      changed("runs.0.choices.0.thoughts.1.passes.last", 1e9),
      /passes.last is 1000000000, but should be a whole number from 0 to 1000000/,
    ],
    [
      "too many tokens",
      changed("runs.0.choices.0.thoughts", Array(20_001).fill(0)),
      /thoughts has 20001 items; at most 20000 are allowed/,
    ],
  ])("%s", (_, content, message) => {
    expect(() => fromFile(content)).toThrow(message);
  });

  test("a long value is cut in the message", () => {
    expect(() => fromFile(changed("runs.0.endpoint", "x".repeat(10_000)))).toThrow(/^.{1,150}$/);
  });
});

test("a prototype in a file does not get into the page", () => {
  const content = toFile([saved()])
    .replaceAll('"token":', '"__proto__":{"polluted":1},"token":')
    .replace('"prompt":', '"__proto__":{"polluted":1},"prompt":');
  expect(fromFile(content)).toEqual([saved()]);
});

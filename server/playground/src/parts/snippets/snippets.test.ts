import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { PYTHON_ARGUMENTS } from "./arguments";
import { python } from "./literals";
import { snippet, type Call, type Language } from "./snippets";
import type { RequestBody } from "../../types";

const KEY = "sk-of-the-environment";
const ORIGIN = "http://127.0.0.1:8000";
const TEXTS = {
  quotes: `' " \` '' "" '\\'' """ '''`,
  "shell signs": "$HOME ${HOME} $(id) `id` ! !! !$ # ; & | > < * ? ~ [a] {b} %s \\n",
  backslashes: "\\ \\\\ \\n \\u0041 \\' \\",
  "line breaks": "a\nb\r\nc\td\n\n",
  unicode: "é 漢字 👩‍🔬 \u00a0 \ufeff",
  controls: "\u0000\u0007\u001b[2J\u007f\u009b",
  direction: "\u202egnp.exe \u2028 \u2029 \u{e0041}",
  "a lone surrogate": "\ud800",
  markup: "</script><script>alert(1)</script>",
  "an option": "-d @/etc/passwd",
  "an f-string": "{x} %s {{}} {__import__('os')}",
};

const RUNNERS: Record<Language, (source: string, call: Call) => unknown> = {
  curl: runCurl,
  python: runPython,
  javascript: runJavascript,
};
const hasPython = spawnSync("python3", ["--version"]).status === 0;
const hasBash = spawnSync("bash", ["--version"]).status === 0;
const IS_HERE = { curl: hasBash, python: hasPython, javascript: true };

describe.each(["curl", "python", "javascript"] as const)("%s", (language) => {
  const run = (endpoint: Call["endpoint"], request: RequestBody): unknown => {
    const call = { origin: ORIGIN, endpoint, request };
    return RUNNERS[language](snippet(language, call), call);
  };

  // Skipped only where the program that runs it (bash, python3) is not installed.
  test.skipIf(!IS_HERE[language]).each(Object.entries(TEXTS))(
    "sends %s as they are",
    async (_, text) => {
      const request: RequestBody = {
        model: text,
        prompt: text,
        stop: [text],
        temperature: 0.7,
        seed: -3,
        top_p: 1e-7,
        show_thoughts: true,
        thinking: { where: "behind", tokens: [text, 17] },
        odd: { [text]: [null, false, { a: 1 }] },
      };
      expect(await run("completions", request)).toEqual(request);
    },
  );

  test.skipIf(!IS_HERE[language])("sends a conversation", async () => {
    const messages = Object.values(TEXTS).map((content) => ({ role: "user" as const, content }));
    const request: RequestBody = { model: "lab", messages, max_tokens: 16 };
    expect(await run("chat", request)).toEqual(request);
  });

  test("contains no character that a terminal would obey or hide", () => {
    const prompt = Object.values(TEXTS).join("");
    const source = snippet(language, { origin: ORIGIN, endpoint: "completions", request: { prompt } });
    expect(source).not.toMatch(
      /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]/u,
    );
    expect(source).not.toMatch(/[\u{e0000}-\u{e007f}]/u);
  });
});

test("Python literals mean what the JSON means", () => {
  const value = [null, true, false, -1, 2.5, 1e21, 1e-7, "x", [], {}, { a: [{ b: null }] }];
  expect(python(value)).toBe(
    '[None, True, False, -1, 2.5, 1e+21, 1e-7, "x", [], {}, {"a": [{"b": None}]}]',
  );
});

test("the Python client has every argument that is passed by name", () => {
  const client = new URL("../../../../../clients/python/src/qstar_client/", import.meta.url);
  const read = (name: string): string => readFileSync(new URL(name, client), "utf-8");
  const shared = read("_request_body.py");
  for (const endpoint of ["completions", "chat"] as const) {
    const source = shared + read(`_${endpoint}/params.py`) + read(`_${endpoint}/calls.py`);
    for (const name of PYTHON_ARGUMENTS[endpoint]) {
      expect(source).toMatch(new RegExp(`^ +${name}: `, "m"));
    }
  }
});

/** Bash reads the command, with a `curl` that prints its arguments. */
function runCurl(source: string, call: Call): unknown {
  const script = `curl() { printf '%s\\0' "$@"; }\n${source}`;
  const { stdout } = spawnSync("bash", ["-c", script], { env: { QSTAR_API_KEY: KEY } });
  const words = stdout.toString().split("\0");
  const path = call.endpoint === "chat" ? "/v1/chat/completions" : "/v1/completions";
  expect(words[0]).toBe(ORIGIN + path);
  expect(words).toContain(`Authorization: Bearer ${KEY}`);
  return JSON.parse(words[words.indexOf("--data-raw") + 1] ?? "");
}

/** Python runs the program, with a client that prints what it is called with. */
function runPython(source: string, call: Call): unknown {
  const attribute = call.endpoint === "chat" ? "chat.completions" : "completions";
  const program = `
import json, sys, types
from unittest.mock import MagicMock
client = MagicMock()
client.__enter__.return_value = client
module = types.ModuleType("qstar_client")
module.QStarClient = MagicMock(return_value=client)
sys.modules["qstar_client"] = module
printed = print
exec(compile(sys.stdin.read(), "snippet", "exec"), {"print": lambda *_: None})
arguments = client.${attribute}.create.call_args.kwargs
extra = arguments.pop("extra_body", {})
module.QStarClient.assert_called_once_with(base_url=${JSON.stringify(ORIGIN)})
printed(json.dumps({**arguments, **extra}))
`;
  const ran = spawnSync("python3", ["-c", program], { input: source });
  expect(ran.stderr.toString()).toBe("");
  return JSON.parse(ran.stdout.toString());
}

/** JavaScript runs the program, with a client that keeps what it is called with. */
async function runJavascript(source: string, call: Call): Promise<unknown> {
  let body: unknown;
  const create = async (request: unknown) => {
    body = request;
    const choice = call.endpoint === "chat" ? { message: { content: "" } } : { text: "" };
    return { choices: [choice] };
  };
  class QStarClient {
    readonly completions = { create };
    readonly chat = { completions: { create } };
    constructor(options: unknown) {
      expect(options).toEqual({ baseURL: ORIGIN });
    }
  }
  const program = source.replace(/^import .*\n/, "");
  const AsyncFunction = (async () => {}).constructor as new (...parts: string[]) => (
    ...values: unknown[]
  ) => Promise<void>;
  await new AsyncFunction("QStarClient", "console", program)(QStarClient, { log: () => {} });
  return body;
}

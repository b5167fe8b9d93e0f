/**
 * A request as a command or a program. The key is never part of it: each reads it from the
 * environment, as QSTAR_API_KEY.
 */

import { PYTHON_ARGUMENTS } from "./arguments";
import { json, python, shellWord } from "./literals";
import type { Endpoint, RequestBody } from "../../types";

/** What a snippet asks for. */
export interface Call {
  /** Such as `http://127.0.0.1:8000`. */
  readonly origin: string;
  readonly endpoint: Endpoint;
  readonly request: RequestBody;
}

export type Language = "curl" | "python" | "javascript";

const PATHS = { completions: "/v1/completions", chat: "/v1/chat/completions" } as const;
const CALLS = { completions: "completions", chat: "chat.completions" } as const;
const TEXTS = { completions: "text", chat: "message.content" } as const;

export function snippet(language: Language, call: Call): string {
  switch (language) {
    case "curl":
      return curl(call);
    case "python":
      return pythonProgram(call);
    case "javascript":
      return javascript(call);
  }
}

/** For bash, zsh and sh. */
function curl({ origin, endpoint, request }: Call): string {
  return [
    `curl ${shellWord(origin + PATHS[endpoint])} \\`,
    "  -H 'Content-Type: application/json' \\",
    '  -H "Authorization: Bearer $QSTAR_API_KEY" \\',
    `  --data-raw ${shellWord(json(request))}`,
    "",
  ].join("\n");
}

/** With `qstar_client`, which reads the key itself. What it does not know goes into extra_body. */
function pythonProgram({ origin, endpoint, request }: Call): string {
  const fields = Object.entries(request);
  const known = fields.filter(([name]) => PYTHON_ARGUMENTS[endpoint].has(name));
  const others = fields.filter(([name]) => !PYTHON_ARGUMENTS[endpoint].has(name));
  const named = known.map(([name, value]) => `        ${name}=${python(value)},`);
  const extra =
    others.length === 0 ? [] : [`        extra_body=${python(Object.fromEntries(others))},`];
  return [
    "from qstar_client import QStarClient",
    "",
    `with QStarClient(base_url=${python(origin)}) as client:`,
    `    answer = client.${CALLS[endpoint]}.create(`,
    ...named,
    ...extra,
    "    )",
    "choice = answer.choices[0]",
    `print(choice.${TEXTS[endpoint]})`,
    "for entry in choice.thoughts or []:",
    "    print(repr(entry.token), round(entry.mixing_weight, 2), repr(entry.thought))",
    "",
  ].join("\n");
}

/** With the package `qstar-client`, in Node, where it reads the key itself. */
function javascript({ origin, endpoint, request }: Call): string {
  const choice = "answer.choices[0]";
  return [
    'import { QStarClient } from "qstar-client";',
    "",
    `const client = new QStarClient({ baseURL: ${json(origin)} });`,
    `const answer = await client.${CALLS[endpoint]}.create(${json(request)});`,
    `console.log(${choice}.${TEXTS[endpoint]});`,
    `for (const entry of ${choice}.thoughts ?? []) {`,
    "  console.log(entry.token, entry.mixing_weight, entry.thought);",
    "}",
    "",
  ].join("\n");
}

/** A `fetch` that answers as a test says, and what answers look like. */

import type { Fetch } from "../src/index.js";

/** One request as `fetch` got it. */
export interface Sent {
  url: string;
  init: RequestInit;
  /** The decoded body; null if there was none. */
  body: Record<string, unknown> | null;
}

type Script = (sent: Sent) => Response | Promise<Response>;

/** A `fetch` whose n-th request is answered by the n-th script, further ones by the last. */
export function fakeFetch(...scripts: Script[]): { fetch: Fetch; sent: Sent[] } {
  const sent: Sent[] = [];
  const fetch: Fetch = async (url, init) => {
    init.signal?.throwIfAborted();
    const body = typeof init.body === "string" ? (JSON.parse(init.body) as Record<string, unknown>) : null;
    sent.push({ url, init, body });
    const script = scripts[Math.min(sent.length, scripts.length) - 1];
    if (script === undefined) throw new Error("no script");
    return script({ url, init, body });
  };
  return { fetch, sent };
}

/** An answer of JSON. */
export function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", ...headers },
  });
}

/** A script that never answers, but obeys its signal, as `fetch` does. */
export function silent({ init }: Sent): Promise<Response> {
  return new Promise((_, reject) => onAbort(init, reject));
}

/** One server-sent event. */
export function event(data: unknown, name = ""): string {
  const head = name === "" ? "" : `event: ${name}\n`;
  return `${head}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
}

/** A script of an event stream. It ends behind its pieces, or stays open. */
export function streaming(pieces: readonly (string | Uint8Array)[], { staysOpen = false } = {}): Script {
  return ({ init }) => {
    const encoder = new TextEncoder();
    const queue = [...pieces];
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => onAbort(init, (reason) => controller.error(reason)),
      pull: (controller) => {
        const piece = queue.shift();
        if (piece !== undefined) controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
        else if (!staysOpen) controller.close();
        return staysOpen && piece === undefined ? new Promise(() => {}) : undefined;
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
}

/** A chunk of a completion. */
export function chunk(text: string, more: object = {}): object {
  return {
    id: "cmpl-1",
    object: "text_completion",
    created: 1,
    model: "tiny",
    choices: [{ index: 0, text, finish_reason: null, ...more }],
  };
}

export const DONE = "data: [DONE]\n\n";
export const USAGE = { prompt_tokens: 2, completion_tokens: 2, total_tokens: 4 };
export const COMPLETION = { ...chunk(" 4", { finish_reason: "stop" }), usage: USAGE };
export const THOUGHT = {
  thought: "two and two",
  thought_token_ids: [5, 6, 5],
  mixing_weight: 0.25,
  token: "4",
  token_id: 9,
  logprob: -0.5,
  base_logprob: -1.5,
};

function onAbort(init: RequestInit, act: (reason: unknown) => void): void {
  init.signal?.addEventListener("abort", () => act(init.signal?.reason));
}

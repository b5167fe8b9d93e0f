// @vitest-environment happy-dom
import { expect, test } from "vitest";

import type { Run, RunRequest } from "../../types";
import { finishedRun, thought } from "../example";
import { button, mount } from "../mount";
import { SideBySide } from "./SideBySide";

const tokens = (text: string) =>
  [...text].map((token) => thought(token, { token_id: token.codePointAt(0) ?? 0 }));
const HERE = finishedRun(tokens("abcd"));

/** A server whose answers the test gives. */
function server() {
  const calls: { request: unknown; signal: AbortSignal; progress: (run: Run) => void }[] = [];
  const ends: ((run: Run) => void)[] = [];
  const runRequest: RunRequest = (_, request, progress, signal) => {
    calls.push({ request, signal, progress });
    return new Promise((resolve) => ends.push(resolve));
  };
  return { calls, ends, runRequest };
}

const view = (run: Run, runRequest: RunRequest) => (
  <SideBySide run={run} maxThoughtTokens={16} shading="weight" runRequest={runRequest} />
);
const rows = (root: HTMLElement): string[] =>
  [...root.querySelectorAll(".versus-row")].map((row) => row.textContent ?? "");

test("runs the request without thoughts, and shows both answers row by row", async () => {
  const { calls, ends, runRequest } = server();
  const { root, act, click, text } = await mount(view(HERE, runRequest));
  await click("Thinking off");
  expect(calls[0]?.request).toEqual({ ...HERE.request, num_thought_tokens: 0 });

  await act(() => calls[0]?.progress(finishedRun(tokens("ab"), { id: 2, state: "streaming" })));
  expect(text()).toContain("The same so far.");
  expect(button(root, "Stop the second run")).toBeTruthy();

  const bare = tokens("abxd").map((each) => ({ ...each, thought_token_ids: [], base_logprob: -0.5 }));
  await act(() => ends[0]?.(finishedRun(bare, { id: 2, seconds: 1 })));
  expect(text()).toContain("They first differ at token 3: “c” here, “x” there. In all, 1 token differs.");
  expect(rows(root)).toEqual([
    "1a w 0.25a ",
    "2b w 0.25b ",
    "3 first differencec w 0.25x ",
    "4d w 0.25d ",
  ]);
  expect([...root.querySelectorAll("tbody tr")].map((row) => row.textContent)).toEqual([
    "Tokens44",
    "Mean change through thoughts+1.00 nats–",
    "Tokens per second2.04.0",
    "Passes per token––",
  ]);
});

test("offers another length that the server allows, and another seed", async () => {
  const { calls, ends, runRequest } = server();
  const run = finishedRun(tokens("ab"), { request: { prompt: "x", num_thought_tokens: 12 } });
  const { root, act, click } = await mount(view(run, runRequest));
  await click("Another thought length");
  expect(calls[0]?.request).toEqual({ prompt: "x", num_thought_tokens: 6 });
  await act(() => ends[0]?.(finishedRun(tokens("ab"), { id: 2 })));
  await act(() => {
    const input = root.querySelector<HTMLInputElement>('[aria-label="Other seed"]')!;
    input.value = "42";
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await click("Another seed");
  expect(calls[1]?.request).toEqual({ prompt: "x", num_thought_tokens: 12, seed: 42 });
});

test("says that chance may make the difference where no seed is given", async () => {
  const { ends, runRequest } = server();
  const { act, click, text } = await mount(view({ ...HERE, request: { prompt: "x" } }, runRequest));
  await click("Thinking off");
  await act(() => ends[0]?.(finishedRun(tokens("b"), { id: 2 })));
  expect(text()).toContain("may differ by chance alone");
});

test("an error is told, and what came before it stays", async () => {
  const { ends, runRequest } = server();
  const { root, act, click } = await mount(view(HERE, runRequest));
  await click("Thinking off");
  const error = "The server is busy.";
  await act(() => ends[0]?.(finishedRun(tokens("ab"), { id: 2, state: "error", error })));
  expect(root.querySelector("[role=alert]")?.textContent).toBe(error);
  expect(rows(root)).toHaveLength(4);
});

test("a new answer ends the second run, and nothing of it is shown", async () => {
  const { calls, runRequest } = server();
  const { root, draw, act, click } = await mount(view(HERE, runRequest));
  await click("Thinking off");
  await draw(view({ ...HERE, id: 5 }, runRequest));
  expect(calls[0]?.signal.aborted).toBe(true);
  await act(() => calls[0]?.progress(finishedRun(tokens("zz"), { id: 2, state: "streaming" })));
  expect(rows(root)).toEqual([]);
});

test("stops on request", async () => {
  const { calls, runRequest } = server();
  const { act, click } = await mount(view(HERE, runRequest));
  await click("Thinking off");
  await act(() => calls[0]?.progress(finishedRun([], { id: 2, state: "streaming" })));
  await click("Stop the second run");
  expect(calls[0]?.signal.aborted).toBe(true);
});

test("a text that could do harm is shown as text", async () => {
  const { ends, runRequest } = server();
  const { root, act, click } = await mount(view(HERE, runRequest));
  await click("Thinking off");
  const hostile = "<img src=x onerror=alert(1)>";
  await act(() => ends[0]?.(finishedRun([thought(hostile)], { id: 2 })));
  expect(root.querySelector("img")).toBeNull();
  expect(rows(root)[0]).toContain(hostile);
});

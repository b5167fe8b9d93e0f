import type { QStarClient, StreamEvent } from "qstar-client";
import { APIStatusError, StreamError } from "qstar-client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { cardOf, NO_SETTINGS } from "../model/card";
import { failureOf } from "../model/failure";
import type { Run, Setup, Thought } from "../types";
import { buildRequest, setupOf } from "./request";
import { createRunRequest } from "./runRequest";
import { afterAnswer, inMode } from "./useSetup";

const CARD = cardOf({
  id: "m",
  object: "model",
  created: 0,
  owned_by: "qstar",
  max_top_logprobs: 3,
});
const SETUP: Setup = { mode: "completion", prompt: "Hi", messages: [], settings: NO_SETTINGS };
const THOUGHT: Thought = {
  thought: " so",
  thought_token_ids: [1],
  mixing_weight: 0.5,
  token: " it",
  token_id: 2,
  logprob: -1,
  base_logprob: -2,
};

describe("the body of a request", () => {
  it("has only what was chosen, and all details", () => {
    expect(buildRequest(SETUP, CARD)).toEqual({
      model: "m",
      prompt: "Hi",
      max_tokens: 64,
      show_thoughts: true,
      show_passes: true,
      thought_top_logprobs: 3,
    });
  });

  it("asks for no thoughts where they are forbidden", () => {
    const body = buildRequest(SETUP, { ...CARD, thoughts_allowed: false });
    expect(Object.keys(body)).toEqual(["model", "prompt", "max_tokens"]);
  });

  it("keeps zeros, which are not the default", () => {
    const settings = { ...NO_SETTINGS, temperature: 0, num_thought_tokens: 0, seed: 0, top_p: 0 };
    expect(buildRequest({ ...SETUP, settings }, CARD)).toMatchObject({
      temperature: 0,
      num_thought_tokens: 0,
      seed: 0,
      top_p: 0,
    });
  });

  it.each<Setup>([
    SETUP,
    {
      mode: "chat",
      prompt: "And now?",
      messages: [
        { role: "user", content: "Hi" },
        { role: "assistant", content: "Hello" },
      ],
      settings: { ...NO_SETTINGS, temperature: 0.5, stop: ["\n"], thinking: { where: "gate" } },
    },
  ])("gives back the setup that made it", (setup) => {
    const endpoint = setup.mode === "chat" ? "chat" : "completions";
    expect(setupOf(endpoint, buildRequest(setup, CARD))).toEqual(setup);
  });
});

describe("a setup", () => {
  it("takes an answer of a chat into the conversation, but not one that failed", () => {
    const run = {
      endpoint: "chat",
      state: "done",
      request: { messages: [{ role: "user", content: "Hi" }] },
      choices: [{ index: 0, text: "Hello", finish_reason: "stop", thoughts: [] }],
    } as unknown as Run;
    const chat: Setup = { ...SETUP, mode: "chat" };
    expect(afterAnswer(chat, run)).toMatchObject({
      prompt: "",
      messages: [{ content: "Hi" }, { role: "assistant", content: "Hello" }],
    });
    expect(afterAnswer(chat, { ...run, state: "error" })).toBe(chat);
    expect(afterAnswer({ ...chat, prompt: "Next" }, run).prompt).toBe("Next");
  });

  it("changes an example with the mode, but nothing that a person wrote", () => {
    const example = { ...SETUP, prompt: "The capital of France is" };
    expect(inMode(example, "chat", CARD).prompt).toBe("Why is the sky blue?");
    expect(inMode(SETUP, "chat", CARD).prompt).toBe("Hi");
  });
});

describe("a run", () => {
  let frames: FrameRequestCallback[] = [];
  beforeEach(() => {
    frames = [];
    vi.stubGlobal("requestAnimationFrame", (callback: FrameRequestCallback) => frames.push(callback));
    vi.stubGlobal("cancelAnimationFrame", () => (frames = []));
  });
  afterEach(() => vi.unstubAllGlobals());

  async function run(events: () => AsyncGenerator<StreamEvent>, signal = new AbortController().signal) {
    const client = { completions: { stream: events } } as unknown as QStarClient;
    const seen: Run[] = [];
    const ended = await createRunRequest(client)("completions", { model: "m" }, (each) => seen.push(each), signal);
    return { ended, seen };
  }

  it("is shown once a frame, however much comes", async () => {
    const { ended, seen } = await run(async function* () {
      for (let index = 0; index < 100; index++) {
        yield { type: "thought", index: 0, thought: THOUGHT as never };
        yield { type: "text", index: 0, text: "a" };
        if (index === 49) frames.splice(0).forEach((frame) => frame(0));
      }
      yield { type: "finish", index: 0, finish_reason: "stop" };
    });
    expect(seen.map((each) => each.choices[0]?.thoughts.length)).toEqual([0, 50]);
    expect(ended).toMatchObject({ state: "done", error: null, model: "m" });
    expect(ended.choices[0]).toMatchObject({ text: "a".repeat(100), finish_reason: "stop" });
    expect(seen[1]?.choices[0]?.thoughts.length).toBe(50); // what was shown did not grow
  });

  it("keeps what came before an error", async () => {
    const { ended } = await run(async function* () {
      yield { type: "text", index: 0, text: "half" };
      throw new StreamError("no [DONE]");
    });
    expect(ended.state).toBe("error");
    expect(ended.error).toContain("broke off");
    expect(ended.choices[0]?.text).toBe("half");
  });

  it("that the person stops is no error", async () => {
    const abort = new AbortController();
    const { ended } = await run(async function* () {
      yield { type: "text", index: 0, text: "half" };
      abort.abort();
      throw abort.signal.reason;
    }, abort.signal);
    expect(ended).toMatchObject({ state: "stopped", error: null });
  });
});

describe("a failure", () => {
  const status = (code: number, errorCode: string | null = null, retryAfterS: number | null = null) =>
    failureOf(
      new APIStatusError("Because.", {
        status: code,
        param: null,
        code: errorCode,
        requestId: null,
        retryAfterS,
        body: null,
      }),
    );

  it.each([
    [401, "locked"],
    [403, "forbidden"],
    [429, "busy"],
    [500, "other"],
  ])("of status %d is of the kind %j, and says why", (code, kind) => {
    expect(status(code)).toMatchObject({ kind, message: expect.stringContaining("Because.") });
  });

  it("knows a model that loads, and how long to wait", () => {
    expect(status(503, "model_loading").kind).toBe("loading");
    expect(status(503, "engine_dead").kind).toBe("other");
    expect(status(429, "queue_full", 7).retryAfterS).toBe(7);
  });
});

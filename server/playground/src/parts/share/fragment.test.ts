import { deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";

import { fromFragment, MOST_CHARACTERS, toFragment, TooLongError } from "./fragment";
import type { Setup } from "../../types";

const SETUP: Setup = {
  mode: "completion",
  prompt: "5*3-2+4?",
  messages: [],
  settings: {
    max_tokens: 64,
    temperature: 0.7,
    top_p: null,
    top_k: -1,
    seed: 9007199254740991,
    num_thought_tokens: 4,
    thought_temperature: null,
    think_threshold: 0.9,
    thinking: { where: "behind", tokens: ["?", 17] },
    stop: ["\n\n"],
  },
};

const HARD = "quotes \" ' ` $HOME \\ ! <script> \u0000 \u2028 \u202e é 漢字 👩‍👩‍👧 \ud83d\ude00 %23 # & =";

const link = (value: unknown, name = "qstar1z"): string =>
  `#${name}=${deflateRawSync(JSON.stringify(value)).toString("base64url")}`;

describe("a link gives back what it was made of", () => {
  test.each([
    ["a completion", SETUP],
    ["a conversation", { ...SETUP, mode: "chat", messages: [{ role: "user", content: HARD }] }],
    ["hard characters", { ...SETUP, prompt: HARD }],
    ["a long text", { ...SETUP, prompt: "over and over ".repeat(5000) }],
  ] as [string, Setup][])("%s", async (_, setup) => {
    const fragment = await toFragment(setup);
    expect(fragment).toMatch(/^#qstar1z?=[A-Za-z0-9_-]+$/);
    expect(await fromFragment(fragment)).toEqual(setup);
  });

  test("a short one is plain JSON in base64url, a long one is compressed", async () => {
    const [name, body] = (await toFragment(SETUP)).split("=");
    expect(name).toBe("#qstar1");
    expect(JSON.parse(Buffer.from(body ?? "", "base64url").toString())).toEqual(SETUP);
    const long = await toFragment({ ...SETUP, prompt: "over and over ".repeat(5000) });
    expect(long).toMatch(/^#qstar1z=/);
    expect(long.length).toBeLessThan(2000);
  });
});

test("a key that somebody put into the setup does not get into the link", async () => {
  const leaking = { ...SETUP, api_key: "sk-secret", settings: { ...SETUP.settings, key: "sk-x" } };
  expect(await fromFragment(await toFragment(leaking))).toEqual(SETUP);
});

test("what is too long for a link says so, and what to do", async () => {
  const noise = Array.from({ length: 30_000 }, () => Math.random().toString(36)[2]).join("");
  const refused = toFragment({ ...SETUP, prompt: noise });
  await expect(refused).rejects.toThrow(TooLongError);
  await expect(refused).rejects.toThrow(/too long for a link: .* Export it as JSON/);
});

test.each(["", "#", "#top", "#/route", "?qstar1=x"])("%j is no link of ours", async (fragment) => {
  expect(await fromFragment(fragment)).toBeNull();
});

describe("a hostile or damaged link is refused with a message", () => {
  const settings = SETUP.settings;
  test.each([
    ["another version", "#qstar2=abc", /another version/],
    ["not base64url", "#qstar1=<script>", /not base64url/],
    ["cut", "#qstar1=abcde", /not base64url|not JSON|not UTF-8/],
    ["not deflated", "#qstar1z=AAAA____", /cannot be unpacked/],
    ["cut deflated", link(SETUP).slice(0, -20), /cannot be unpacked|not JSON/],
    ["not UTF-8", "#qstar1=_____w", /not UTF-8/],
    ["not JSON", `#qstar1=${Buffer.from("{").toString("base64url")}`, /not JSON/],
    ["not an object", link(null), /null, but should be an object/],
    ["a mode we do not know", link({ ...SETUP, mode: "<b>" }), /^mode is "<b>", but should be/],
    ["a prompt that is no text", link({ ...SETUP, prompt: {} }), /^prompt is an object/],
    [
      "a role we do not know",
      link({ ...SETUP, messages: [{ role: "tool", content: "" }] }),
      /^messages\[0\].role is "tool"/,
    ],
    [
      "a count below 0",
      link({ ...SETUP, settings: { ...settings, max_tokens: -1 } }),
      /^settings.max_tokens is -1, but should be a whole number from 0/,
    ],
    [
      "a setting that is missing",
      link({ ...SETUP, settings: { ...settings, seed: undefined } }),
      /^settings.seed is missing/,
    ],
    ["a bomb", link("x".repeat(2_000_000)), /unpacks to more than/],
    ["too long", `#qstar1=${"A".repeat(MOST_CHARACTERS)}`, /more than 16000 characters/],
  ])("%s", async (_, fragment, message) => {
    await expect(fromFragment(fragment)).rejects.toThrow(message);
  });

  test("a prototype in a link does not get into the page", async () => {
    const evil = JSON.stringify(SETUP).replace("{", '{"__proto__":{"polluted":true},');
    const fragment = `#qstar1=${Buffer.from(evil).toString("base64url")}`;
    const setup = await fromFragment(fragment);
    expect(setup).toEqual(SETUP);
    expect(setup).not.toHaveProperty("polluted");
  });
});

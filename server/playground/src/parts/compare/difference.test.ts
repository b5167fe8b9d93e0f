import { expect, test } from "vitest";

import { finishedRun, passed, thought } from "../example";
import { firstDifference, numDifferent, pairs, totals } from "./difference";
import { differsByChance, variantName, variantRequest } from "./variants";

const tokens = (text: string) =>
  [...text].map((token) => thought(token, { token_id: token.codePointAt(0) ?? 0 }));

test("aligns two answers by index, as far as the longer one goes", () => {
  const both = pairs(tokens("ab"), tokens("axc"));
  expect(both.map(({ index, left, right }) => [index, left?.token, right?.token])).toEqual([
    [0, "a", "a"],
    [1, "b", "x"],
    [2, undefined, "c"],
  ]);
});

test("finds the first difference; a shorter answer differs only when it has ended", () => {
  expect(firstDifference(tokens("abc"), tokens("abd"), false)).toBe(2);
  expect(firstDifference(tokens("abc"), tokens("abc"), false)).toBeNull();
  expect(firstDifference(tokens("abc"), tokens("ab"), false)).toBe(2);
  expect(firstDifference(tokens("abc"), tokens("ab"), true)).toBeNull();
  expect(firstDifference(tokens("abc"), tokens("x"), true)).toBe(0);
});

test("counts tokens that differ, those beyond the shorter answer included", () => {
  expect(numDifferent(tokens("abcd"), tokens("axc"))).toBe(2);
});

test("sums up a run", () => {
  const run = finishedRun([passed("a", 0, 2), passed("b", 1, 3)], { seconds: 4 });
  expect(totals(run)).toEqual({
    tokens: 2,
    meanChange: 1,
    tokensPerSecond: 0.5,
    passesPerToken: 2,
  });
  expect(totals(finishedRun([], { seconds: 0 }))).toEqual({
    tokens: 0,
    meanChange: null,
    tokensPerSecond: null,
    passesPerToken: null,
  });
});

test("a variant changes one thing", () => {
  const request = { prompt: "x", seed: 3, temperature: 1, num_thought_tokens: 4 };
  expect(variantRequest(request, { kind: "off" })).toEqual({ ...request, num_thought_tokens: 0 });
  expect(variantRequest(request, { kind: "length", numThoughtTokens: 8 })).toEqual({
    ...request,
    num_thought_tokens: 8,
  });
  expect(variantRequest(request, { kind: "seed", seed: 9 })).toEqual({ ...request, seed: 9 });
  expect(variantName({ kind: "length", numThoughtTokens: 8 })).toBe("Thoughts of 8 tokens");
});

test("an effort gives way to a length, because the server refuses both together", () => {
  const request = { prompt: "x", reasoning_effort: "none" };
  expect(variantRequest(request, { kind: "length", numThoughtTokens: 2 })).toEqual({
    prompt: "x",
    num_thought_tokens: 2,
  });
});

test("without a seed a sampled answer differs by chance", () => {
  const off = { kind: "off" } as const;
  expect(differsByChance({ prompt: "x" }, off)).toBe(true);
  expect(differsByChance({ prompt: "x", seed: 1 }, off)).toBe(false);
  expect(differsByChance({ prompt: "x", temperature: 0 }, off)).toBe(false);
  expect(differsByChance({ prompt: "x" }, { kind: "seed", seed: 1 })).toBe(false);
});

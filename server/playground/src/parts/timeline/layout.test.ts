import { describe, expect, test } from "vitest";

import { passed, thought, WAVEFRONT } from "../example";
import { countPasses } from "./counts";
import { barsBetween, layOut } from "./layout";
import { barName, describe as sentence, momentAt, stateAt } from "./moment";

describe("layOut", () => {
  test("places each thought from its first to its last pass, in the first free lane", () => {
    const { bars, numLanes, numPasses } = layOut(WAVEFRONT);
    expect(bars.map((bar) => [bar.token, bar.kind, bar.first, bar.last, bar.lane])).toEqual([
      [" a", "kept", 0, 2, 0],
      [" b", "kept", 1, 3, 1],
      [" c", "rejected", 2, 4, 2],
      [" x", "dropped", 3, 4, 0],
      [" y", "dropped", 4, 4, 1],
      [" d", "waited", 5, 7, 0],
    ]);
    expect([numLanes, numPasses]).toEqual([3, 8]);
  });

  test("never puts two thoughts into the same cell", () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const cells = new Set<string>();
      for (const bar of layOut(randomThoughts(seed, 40)).bars) {
        for (let pass = bar.first; pass <= bar.last; pass += 1) {
          const cell = `${bar.lane}/${pass}`;
          expect(cells).not.toContain(cell);
          cells.add(cell);
        }
      }
    }
  });

  test("grows while tokens arrive, without moving what is there", () => {
    const whole = layOut(WAVEFRONT).bars;
    for (let count = 0; count <= WAVEFRONT.length; count += 1) {
      const part = layOut(WAVEFRONT.slice(0, count)).bars;
      expect(part).toEqual(whole.slice(0, part.length));
    }
  });

  test("has nothing for tokens without passes", () => {
    expect(layOut([thought("a")])).toEqual({ bars: [], numLanes: 0, numPasses: 0 });
  });

  test("lays out 2,000 tokens in a fraction of a frame", () => {
    const thoughts = randomThoughts(1, 2000);
    layOut(thoughts);
    const start = performance.now();
    for (let repeat = 0; repeat < 10; repeat += 1) layOut(thoughts);
    expect((performance.now() - start) / 10).toBeLessThan(50);
  });
});

test("barsBetween gives the bars that touch the window", () => {
  const tokens = (first: number, last: number): string[] =>
    barsBetween(layOut(WAVEFRONT), first, last).map((bar) => bar.token);
  expect(tokens(0, 0)).toEqual([" a"]);
  expect(tokens(4, 5)).toEqual([" c", " x", " y", " d"]);
  expect(tokens(8, 99)).toEqual([]);
});

test("a moment counts what runs, what is decided and what is decided now", () => {
  const layout = layOut(WAVEFRONT);
  const [, b] = layout.bars;
  expect(b && [0, 1, 2, 3].map((pass) => stateAt(b, pass))).toEqual([
    "future",
    "running",
    "running",
    "ended",
  ]);
  expect(sentence(momentAt(layout, 3), layout.numPasses)).toBe(
    "Pass 3 (the last is 7): 3 thoughts in flight, decides “ b” (guess right); 2 tokens so far.",
  );
  expect(sentence(momentAt(layout, 5), layout.numPasses)).toBe(
    "Pass 5 (the last is 7): 1 thought in flight, decides no token; 3 tokens so far.",
  );
  expect(b && barName(b)).toBe("Token 2 “ b”, passes 1 to 3, guess right");
});

test("counts the passes and the guesses that were fed", () => {
  expect(countPasses(WAVEFRONT)).toEqual({
    tokens: 4,
    passes: 8,
    passesPerToken: 2,
    accepted: 2,
    rejected: 1,
    dropped: 2,
  });
  const bare = { ...passed(" e", 8, 8), thought_token_ids: [] };
  expect(countPasses([...WAVEFRONT, bare])).toMatchObject({ tokens: 5, accepted: 2, rejected: 1 });
  expect(layOut([bare]).bars[0]?.kind).toBe("bare");
  expect(countPasses([])).toBeNull();
  expect(countPasses([...WAVEFRONT, thought("x")])).toBeNull();
});

/** Thoughts of different lengths in an order that a wavefront could give. */
function randomThoughts(seed: number, count: number) {
  let state = seed;
  const below = (limit: number): number => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state % limit;
  };
  let pass = 0;
  return Array.from({ length: count }, (_, index) => {
    pass += below(3);
    const last = pass + below(5);
    const isKept = below(2) === 0;
    const dropped = isKept
      ? []
      : Array.from({ length: last - pass }, (_unused, step) => ({
          token: "x",
          first: pass + step + 1,
          last,
        }));
    return passed(`t${index}`, pass, last, { is_fed: true, is_kept: isKept }, dropped);
  });
}

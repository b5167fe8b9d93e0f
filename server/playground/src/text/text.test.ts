import { describe, expect, it } from "vitest";
import type { Thought } from "../types";
import { blocksOf } from "./blocks";
import { count, nats, percent, share, timesAsLikely } from "./numbers";
import { changeOf, shade } from "./shade";
import { onOneLine, tokenName, withSigns } from "./signs";

function entry(fields: Partial<Thought> = {}): Thought {
  return {
    thought: " so",
    thought_token_ids: [1],
    mixing_weight: 0.5,
    token: " it",
    token_id: 2,
    logprob: -1,
    base_logprob: -1,
    ...fields,
  };
}

describe("signs", () => {
  it.each([
    ["\x1b[31m", "␛[31m"],
    ["\x00\x07\x7f", "␀␇␡"],
    ["\u202etfel", "⟨U+202E⟩tfel"],
    ["a\u200bb\ufeff", "a⟨U+200B⟩b⟨U+FEFF⟩"],
    ["<b>&amp;</b> 😀 é\n\tok", "<b>&amp;</b> 😀 é\n\tok"],
  ])("shows %j as %j", (text, shown) => {
    expect(withSigns(text)).toBe(shown);
  });

  it("puts a text on one line", () => {
    expect(onOneLine("a\r\nb\nc\td")).toBe("a↵b↵c→d");
  });

  it.each([
    ["", "(empty)"],
    [" ", "(space)"],
    ["   ", "(3 spaces)"],
    ["\n", "↵"],
    [" word", " word"],
  ])("names the token %j %j", (token, name) => {
    expect(tokenName(token)).toBe(name);
  });
});

describe("numbers", () => {
  it.each([
    [0, "0 %"],
    [0.00005, "< 0.01 %"],
    [0.0042, "0.42 %"],
    [0.047, "4.7 %"],
    [0.0996, "10 %"],
    [0.62, "62 %"],
    [0.9995, "> 99.9 %"],
    [1, "100 %"],
    [NaN, "–"],
  ])("writes %d as %j", (probability, text) => {
    expect(percent(probability)).toBe(text);
  });

  it("says how much more likely", () => {
    expect(timesAsLikely(Math.log(3.2))).toBe("3.2 times more likely");
    expect(timesAsLikely(-Math.log(20))).toBe("20 times less likely");
    expect(timesAsLikely(0.01)).toBe("about as likely");
    expect(timesAsLikely(100)).toBe("over 1000 times more likely");
  });

  it("writes signs, shares and counts", () => {
    expect([nats(2), nats(-0.5), nats(0)]).toEqual(["+2.00 nats", "−0.50 nats", "±0.00 nats"]);
    expect([share(0.875), share(0.0312), share(0)]).toEqual(["0.875", "0.031", "0.00"]);
    expect([count(1, "token"), count(2000, "token")]).toEqual(["1 token", "2,000 tokens"]);
  });
});

describe("shade", () => {
  it("is orange by the weight, and full at 1", () => {
    expect(shade(entry({ mixing_weight: 1 }), "weight")).toBe("rgba(240,140,0,0.550)");
    expect(shade(entry({ mixing_weight: 1.7 }), "weight")).toBe("rgba(240,140,0,0.550)");
    expect(shade(entry({ mixing_weight: 0.5 }), "weight")).toBe("rgba(240,140,0,0.275)");
    expect(shade(entry({ mixing_weight: 0 }), "weight")).toBeUndefined();
    expect(shade(entry({ mixing_weight: -0.2 }), "weight")).toBeUndefined();
  });

  it("is blue where more likely, red-brown where less, and full at 3 nats", () => {
    expect(shade(entry({ base_logprob: -2.5 }), "change")).toBe("rgba(0,114,178,0.275)");
    expect(shade(entry({ base_logprob: -9 }), "change")).toBe("rgba(0,114,178,0.550)");
    expect(shade(entry({ logprob: -4 }), "change")).toBe("rgba(213,94,0,0.550)");
    expect(shade(entry(), "change")).toBeUndefined();
  });

  it("does not shade what is no number", () => {
    const never = entry({ logprob: -Infinity, base_logprob: -Infinity });
    expect(changeOf(never)).toBe(0);
    expect(shade(never, "change")).toBeUndefined();
  });
});

describe("blocks", () => {
  const words = (length: number, each: number): Thought[] =>
    Array.from({ length }, (_, index) => entry({ token: (index + 1) % each ? " a" : "\n" }));

  it("hold every token once, in order", () => {
    for (const [length, each] of [[0, 5], [1, 5], [95, 7], [2000, 40], [2000, 5000]] as const) {
      const blocks = blocksOf(words(length, each));
      expect(blocks.flatMap(({ start, end }) => [start, end])).toEqual(
        blocks.flatMap((_, index) => [blocks[index - 1]?.end ?? 0, blocks[index]?.end]),
      );
      expect(blocks[blocks.length - 1]?.end ?? 0).toBe(length);
      expect(blocks.every(({ start, end }) => end - start <= 96)).toBe(true);
    }
  });

  it("do not change once they have ended", () => {
    const all = words(700, 37);
    const whole = blocksOf(all);
    for (let length = 1; length < all.length; length += 13) {
      const ended = blocksOf(all.slice(0, length)).slice(0, -1);
      expect(ended).toEqual(whole.slice(0, ended.length));
    }
  });

  it("are boxes of their own only if they are whole lines", () => {
    const all = words(400, 40);
    for (const { start, end, isLines } of blocksOf(all)) {
      const isWhole = start > 0 && all[start - 1]?.token === "\n" && all[end - 1]?.token === "\n";
      expect(isLines).toBe(isWhole);
    }
  });
});

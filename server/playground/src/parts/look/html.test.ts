import { readFileSync } from "node:fs";
import { Window } from "happy-dom";
import { describe, expect, test } from "vitest";

import { finishedRun, thought } from "../example";
import { fromFile } from "../saved/file";
import { escape, thoughtsHtml } from "./html";
import { changeColour, percent, rounded, signed, weightColour } from "./numbers";
import { runsPage } from "./page";

const LOOK = new URL("../../../../../clients/look/", import.meta.url);
const look = (name: string): string => readFileSync(new URL(name, LOOK), "utf-8");
const HOSTILE = ["</code><script>alert(1)</script>", '" onmouseover="alert(1)', "<img src=x>"];

test("gives the bytes of the example that the Python view gives, too", () => {
  const [run] = fromFile(look("example.run.json"));
  const thoughts = run?.choices[0]?.thoughts ?? [];
  expect(thoughts.length).toBeGreaterThan(5);
  expect(thoughtsHtml(thoughts, "example-0", "Choice 0")).toBe(look("example.html"));
});

describe("numbers have the digits of Python", () => {
  test.each([
    [0, "0.00"],
    [-0.004, "0.00"],
    [-0.005, "-0.01"],
    [0.125, "0.13"],
    [-1234.5, "-1234.50"],
    [1e9, "?"],
    [NaN, "?"],
    [-Infinity, "?"],
  ])("%d", (number, digits) => expect(rounded(number)).toBe(digits));

  test("a difference has a sign", () => {
    expect([signed(0), signed(1), signed(-1), signed(NaN)]).toEqual(["+0.00", "+1.00", "-1.00", "?"]);
  });

  test("a probability has one digit", () => {
    expect([0, 0.1, -0.98, -20, -Infinity, NaN].map(percent)).toEqual([
      "100.0 %",
      "100.0 %",
      "37.5 %",
      "<0.1 %",
      "0.0 %",
      "?",
    ]);
  });

  test("colours are those of docs/decisions/0038", () => {
    const weights = [0, 0.4, 1, 7, -1, NaN].map((weight) =>
      weightColour(thought("x", { mixing_weight: weight })),
    );
    const strongest = "rgba(240,140,0,0.55)";
    expect(weights).toEqual([null, "rgba(240,140,0,0.22)", strongest, strongest, null, null]);
    const changes = [0, 1.5, 9, -3].map((nats) =>
      changeColour(thought("x", { logprob: -10 + nats, base_logprob: -10 })),
    );
    expect(changes).toEqual([
      null,
      "rgba(0,114,178,0.28)",
      "rgba(0,114,178,0.55)",
      "rgba(213,94,0,0.55)",
    ]);
  });
});

describe("the page", () => {
  const run = finishedRun(HOSTILE.map((text) => thought(text, { thought: text })), {
    model: HOSTILE[0] ?? "",
    request: { prompt: HOSTILE.join(""), stop: HOSTILE, odd: { field: HOSTILE } },
  });
  const document = new Window().document;
  document.write(runsPage([run, { ...run, choices: [...run.choices, ...run.choices] }]));

  test("shows every text as text", () => {
    expect(document.querySelectorAll("script, img, link, iframe, object")).toHaveLength(0);
    const attributes = [...document.querySelectorAll("*")].flatMap((each) =>
      [...each.attributes].map(({ name }) => name),
    );
    expect(attributes.filter((name) => name.startsWith("on") || name === "src")).toEqual([]);
    expect(document.querySelector("pre")?.textContent).toBe(HOSTILE.join(""));
    const tokens = [...document.querySelectorAll("section:first-of-type summary")];
    expect(tokens.map((each) => each.textContent)).toEqual(expect.arrayContaining(HOSTILE));
  });

  test("needs no other file and forbids scripts", () => {
    const page = runsPage([run]);
    expect(page).not.toMatch(/<(script|link|base|iframe)\b|@import|url\(/i);
    expect(page).toContain("default-src 'none'; style-src 'unsafe-inline'");
    expect(page).toContain(look("thoughts.css"));
  });

  test("names choices only where there are several, and keeps their groups apart", () => {
    const names = [...document.querySelectorAll(".key b")].map((each) => each.textContent);
    expect(names).toEqual(["Choice 0", "Choice 0"]);
    const groups = new Set([...document.querySelectorAll("details[name]")].map((e) =>
      e.getAttribute("name"),
    ));
    expect([...groups]).toEqual(["run-0-0", "run-1-0"]);
  });

  test("shows an answer without thoughts as its text", () => {
    const bare = finishedRun([]);
    const page = runsPage([{ ...bare, choices: [{ ...bare.choices[0]!, text: "<b>4" }] }]);
    expect(page).toContain("<pre>&lt;b&gt;4</pre>");
  });
});

test("escape covers text and attributes", () => {
  expect(escape(`&<>"'`)).toBe("&amp;&lt;&gt;&quot;&#x27;");
});

// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Thought } from "../../types";
import { finishedRun, passed, thought, WAVEFRONT } from "../example";
import { button, mount } from "../mount";
import { Timeline } from "./Timeline";
import { passesIn } from "./useVisiblePasses";

const timeline = (thoughts: readonly Thought[], selected: number | null = null) => (
  <Timeline run={finishedRun(thoughts)} selected={selected} onSelect={onSelect} />
);
const onSelect = vi.fn();
const bars = (root: HTMLElement, kind: string): string[] =>
  [...root.querySelectorAll(`.timeline-chart .timeline-bar.${kind}`)].map(
    (bar) => bar.querySelector(".timeline-name")?.textContent ?? "",
  );

beforeEach(() => onSelect.mockClear());
afterEach(() => vi.useRealTimers());

test("shows what became of each guess, in marks and in numbers", async () => {
  const { root, text } = await mount(timeline(WAVEFRONT));
  expect(bars(root, "kept")).toEqual([" a", " b"]);
  expect(bars(root, "rejected")).toEqual([" c"]);
  expect(bars(root, "waited")).toEqual([" d"]);
  expect(bars(root, "dropped")).toEqual([" x", " y"]);
  expect(text()).toMatch(/4 tokens.*8 passes.*2\.00 passes per token.*2 right.*1 wrong.*2 drafts dropped/);
});

test("a slider goes back to an earlier pass", async () => {
  const { root, act, text } = await mount(timeline(WAVEFRONT));
  const slider = root.querySelector<HTMLInputElement>("input[type=range]")!;
  expect(slider.getAttribute("aria-valuetext")).toMatch(/^Pass 7 \(the last is 7\)/);
  await act(() => {
    slider.value = "3";
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  });
  expect(text()).toContain("Pass 3 (the last is 7): 3 thoughts in flight");
  expect(bars(root, "running")).toEqual([" c", " x"]);
  expect(bars(root, "kept")).toEqual([" a", " b"]);
  expect(root.querySelectorAll(".timeline-chart .timeline-bar")).toHaveLength(4);
});

test("plays from the first pass to the last, and stops there", async () => {
  vi.useFakeTimers();
  const { root, act, click, text } = await mount(timeline(WAVEFRONT));
  await click("Play");
  expect(text()).toContain("Pass 0 (the last is 7)");
  for (let pass = 0; pass < 9; pass += 1) await act(() => void vi.advanceTimersByTime(400));
  expect(text()).toContain("Pass 7 (the last is 7)");
  expect(button(root, "Play")).toBeTruthy();
});

test("follows an answer that streams, unless a pass was chosen", async () => {
  const { draw, click, text } = await mount(timeline(WAVEFRONT.slice(0, 2)));
  expect(text()).toContain("Pass 3 (the last is 3)");
  await draw(timeline(WAVEFRONT.slice(0, 3)));
  expect(text()).toContain("Pass 4 (the last is 4)");
  await click("Previous pass");
  await draw(timeline(WAVEFRONT));
  expect(text()).toContain("Pass 3 (the last is 7)");
});

describe("a bar", () => {
  test("opens its token, and shows which one is open", async () => {
    const { root, click } = await mount(timeline(WAVEFRONT, 1));
    expect(root.querySelector("[aria-current]")?.getAttribute("data-bar")).toBe("1");
    await click("Token 3 “ c”, passes 2 to 4, guess wrong");
    expect(onSelect).toHaveBeenCalledWith(2);
  });

  test("is reached by one tab stop, and by arrows from there", async () => {
    const { root, act } = await mount(timeline(WAVEFRONT));
    const stops = [...root.querySelectorAll<HTMLElement>('[data-bar][tabindex="0"]')];
    expect(stops.map((bar) => bar.dataset["bar"])).toEqual(["0"]);
    const press = (key: string) =>
      act(() => {
        (document.activeElement ?? document.body).dispatchEvent(
          new KeyboardEvent("keydown", { key, bubbles: true }),
        );
      });
    const focused = (): string | undefined =>
      (document.activeElement as HTMLElement | null)?.dataset["bar"];
    await act(() => stops[0]?.focus());
    await press("ArrowRight");
    expect(focused()).toBe("1");
    await press("End");
    expect(focused()).toBe("3");
    await press("ArrowRight");
    expect(focused()).toBe("3");
    await press("Home");
    expect(focused()).toBe("0");
  });

  test("and its token are marked together while the pointer is at one", async () => {
    const tokens = WAVEFRONT.map((_, index) => <span key={index} data-index={index} />);
    const { root, act } = await mount(
      <>
        {tokens}
        {timeline(WAVEFRONT)}
      </>,
    );
    const marked = () => [...root.querySelectorAll("[data-pointed]")].map((each) => each.tagName);
    const point = (at: string) =>
      act(() => {
        root.querySelector(at)?.dispatchEvent(new Event("pointerover", { bubbles: true }));
      });
    await point('[data-index="2"]');
    expect(marked()).toEqual(["SPAN", "BUTTON", "SPAN", "SPAN"]);
    await point('button[data-bar="0"]');
    expect(marked()).toEqual(["SPAN", "BUTTON"]);
    await point("h2");
    expect(marked()).toEqual([]);
  });

  test("of a text that could do harm shows it as text", async () => {
    const { root } = await mount(timeline([passed("<img src=x>\u202e", 0, 0)]));
    expect(root.querySelector("img")).toBeNull();
    expect(bars(root, "kept")).toEqual(["<img src=x>⟨U+202E⟩"]);
  });
});

test("of a long answer only the bars in sight are drawn", async () => {
  const long = Array.from({ length: 2000 }, (_, index) => passed("t", index, index + 4));
  const { root } = await mount(timeline(long));
  const count = root.querySelectorAll(".timeline-chart .timeline-bar").length;
  expect(count).toBeGreaterThan(0);
  expect(count).toBeLessThan(200);
  expect(passesIn(26 * 1000, 700)).toEqual({ first: 980, last: 1059 });
});

test("a table says the same, fifty tokens at a time", async () => {
  const long = Array.from({ length: 70 }, (_, index) => passed(`t${index}`, index, index + 4));
  const { root, act, click } = await mount(timeline([...WAVEFRONT, ...long]));
  const details = root.querySelector("details")!;
  await act(() => {
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
  });
  const rows = (): string[] =>
    [...root.querySelectorAll("tbody tr")].map((row) =>
      [...row.children].map((cell) => cell.textContent).join("|"),
    );
  expect(rows()[2]).toBe("3  c|2|4| c|guess wrong|2");
  expect(rows()).toHaveLength(50);
  await click("Later tokens");
  expect(rows()).toHaveLength(24);
  expect(rows()[0]).toMatch(/^51 t46/);
});

test("says why there is nothing to show", async () => {
  const { draw, root, text } = await mount(timeline([thought("a")]));
  expect(text()).toContain("does not say in which passes");
  await draw(timeline([]));
  expect(root.textContent).toBe("");
});

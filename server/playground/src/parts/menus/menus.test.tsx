// @vitest-environment happy-dom
import { beforeEach, describe, expect, test, vi } from "vitest";

import type { Run, SavedRun, Setup } from "../../types";
import { finishedRun, thought, WAVEFRONT } from "../example";
import { mount, type Mounted } from "../mount";
import { fromFile, toFile } from "../saved/file";
import { fromFragment } from "../share/fragment";
import { useSharedSetup } from "../share/useSharedSetup";
import { fileName } from "./download";
import { ExportMenu } from "./ExportMenu";
import { RunPicker } from "./RunPicker";
import { ShareMenu } from "./ShareMenu";
import { useOpened } from "./useOpened";

const RUN = finishedRun(WAVEFRONT);
const SETUP: Setup = {
  mode: "chat",
  prompt: "<b>hello</b>",
  messages: [{ role: "user", content: "hi" }],
  settings: {
    max_tokens: 8,
    temperature: null,
    top_p: null,
    top_k: null,
    seed: null,
    num_thought_tokens: null,
    thought_temperature: null,
    think_threshold: null,
    thinking: null,
    stop: [],
  },
};

const writeText = vi.fn<(text: string) => Promise<void>>();
const saved: { name: string; content: Promise<string> }[] = [];

beforeEach(() => {
  writeText.mockReset().mockResolvedValue(undefined);
  vi.stubGlobal("navigator", { clipboard: { writeText } });
  saved.length = 0;
  const blobs = new Map<string, Blob>();
  vi.spyOn(URL, "createObjectURL").mockImplementation((blob) => {
    blobs.set("blob:1", blob as Blob);
    return "blob:1";
  });
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (
    this: HTMLAnchorElement,
  ) {
    saved.push({ name: this.download, content: blobs.get(this.href)?.text() ?? never() });
  });
  location.hash = "";
});

describe("ExportMenu", () => {
  test.each([
    ["Copy as curl", /^curl '.*\/v1\/completions'/],
    ["Copy as Python", /^from qstar_client import QStarClient/],
    ["Copy as JavaScript", /^import \{ QStarClient \} from "qstar-client"/],
  ])("%s", async (name, begin) => {
    const { click, root } = await mount(<ExportMenu run={RUN} />);
    await click(name);
    expect(writeText.mock.lastCall?.[0]).toMatch(begin);
    expect(root.querySelector("[role=status]")?.textContent).toMatch(/copied$/);
  });

  test("shows a text that the browser refuses to copy", async () => {
    writeText.mockRejectedValue(new Error("not allowed"));
    const { click, root } = await mount(<ExportMenu run={RUN} />);
    await click("Copy as curl");
    expect(root.querySelector("textarea")?.value).toMatch(/^curl /);
    await click("Close");
    expect(root.querySelector("textarea")).toBeNull();
  });

  test("saves the run as JSON, which opens again", async () => {
    const { click } = await mount(<ExportMenu run={RUN} />);
    await click("Export JSON");
    expect(saved[0]?.name).toBe("lab-2026-11-30-00-53-20.json");
    expect(fromFile(await (saved[0]?.content ?? never()))[0]?.choices).toEqual(RUN.choices);
  });

  test("saves the run as a page", async () => {
    const { click } = await mount(<ExportMenu run={RUN} />);
    await click("Export HTML");
    expect(saved[0]?.name).toBe("lab-2026-11-30-00-53-20.html");
    expect(await saved[0]?.content).toMatch(/^<!doctype html>/);
  });
});

test("a file name has no part of a path", () => {
  expect(fileName("../../etc/pass wd", 0, "json")).toBe("etc-pass-wd-1970-01-01-00-00-00.json");
  expect(fileName("漢字", 0, "html")).toBe("run-1970-01-01-00-00-00.html");
});

describe("ShareMenu", () => {
  const onOpen = vi.fn<(runs: readonly SavedRun[]) => void>();
  beforeEach(() => onOpen.mockReset());

  const give = async ({ root }: Mounted, content: string): Promise<void> => {
    const input = root.querySelector<HTMLInputElement>("input[type=file]")!;
    const file = new File([content], "runs.json");
    Object.defineProperty(input, "files", { value: [file], configurable: true });
    input.dispatchEvent(new Event("change", { bubbles: true }));
    const said = (): string =>
      [...root.querySelectorAll("[role=status], [role=alert]")].map((e) => e.textContent).join("");
    await vi.waitFor(() => expect(said()).not.toBe(""));
  };

  test("copies a link that gives the setup back", async () => {
    const { click } = await mount(<ShareMenu setup={SETUP} onOpen={onOpen} />);
    await click("Copy link");
    await vi.waitFor(() => expect(writeText).toHaveBeenCalled());
    const { hash } = new URL(writeText.mock.lastCall?.[0] ?? "");
    expect(await fromFragment(hash)).toEqual(SETUP);
  });

  test("opens a file, each answer on its own", async () => {
    const menu = await mount(<ShareMenu setup={SETUP} onOpen={onOpen} />);
    const [choice] = RUN.choices;
    const two = { ...RUN, choices: [choice!, { ...choice!, index: 1 }] };
    await give(menu, toFile([two, RUN]));
    const runs = onOpen.mock.lastCall?.[0] ?? [];
    expect(runs.map((run) => run.choices.map((each) => each.index))).toEqual([[0], [1], [0]]);
  });

  test("says what is wrong with a file", async () => {
    const menu = await mount(<ShareMenu setup={SETUP} onOpen={onOpen} />);
    await give(menu, toFile([RUN]).replace('"model":"lab"', '"model":7'));
    expect(menu.root.querySelector("[role=alert]")?.textContent).toContain(
      "runs[0].model is 7, but should be a text.",
    );
    expect(onOpen).not.toHaveBeenCalled();
  });
});

test("a file with several runs lets the person choose, and fills the form", async () => {
  const shown: Run[] = [];
  const setups: Setup[] = [];
  const show = (run: Run): void => void shown.push(run);
  const change = (update: () => Setup): void => void setups.push(update());
  function Page() {
    const { runs, chosen, open, choose } = useOpened(show, change);
    const other = finishedRun([thought("x")], { request: { prompt: "another", max_tokens: 3 } });
    return (
      <>
        <button onClick={() => open([RUN, other])}>open</button>
        <RunPicker runs={runs} chosen={chosen} onChoose={choose} />
      </>
    );
  }
  const { root, act, click } = await mount(<Page />);
  expect(root.querySelector("select")).toBeNull();
  await click("open");
  expect([...root.querySelectorAll("option")].map((each) => each.textContent)).toEqual([
    "1: 2 + 2 =",
    "2: another",
  ]);
  await act(() => {
    const select = root.querySelector("select")!;
    select.value = "1";
    select.dispatchEvent(new Event("change", { bubbles: true }));
  });
  expect(setups.map(({ prompt }) => prompt)).toEqual(["2 + 2 =", "another"]);
  expect(shown.map(({ state, error }) => [state, error])).toEqual(Array(2).fill(["done", null]));
  expect(new Set(shown.map(({ id }) => id)).size).toBe(2);
  expect(shown.every(({ id }) => id < 0)).toBe(true);
});

test("a bad link says why, and changes nothing", async () => {
  const change = vi.fn();
  function Page() {
    return <p>{useSharedSetup(change)}</p>;
  }
  location.hash = "#qstar1=!!";
  const { root } = await mount(<Page />);
  await vi.waitFor(() => expect(root.textContent).toContain("not base64url"));
  expect(change).not.toHaveBeenCalled();
});

function never(): never {
  throw new Error("nothing was saved");
}

/** Runs as one HTML file that needs nothing else: no script, no other host, its own style sheet. */

import { printable } from "qstar-client";
import { oneLine } from "./signs";
import { escape, thoughtsHtml } from "./html";
import type { Choice, SavedRun } from "../../types";
import pageSheet from "./page.css?raw";
import thoughtsSheet from "../../../../../clients/look/thoughts.css?raw";

/** Even if a text got through as markup, a browser would neither run nor load anything. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'";

/** The whole document. */
export function runsPage(runs: readonly SavedRun[]): string {
  const title = `Thoughts of ${[...new Set(runs.map((run) => run.model))].join(", ")}`;
  return (
    "<!doctype html>\n" +
    '<html lang="en">\n<head>\n<meta charset="utf-8">\n' +
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}">\n` +
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n' +
    `<title>${escape(oneLine(title))}</title>\n` +
    `<style>\n${pageSheet}${thoughtsSheet}</style>\n</head>\n<body>\n<main>\n` +
    `<h1>${escape(oneLine(title))}</h1>\n` +
    runs.map(runHtml).join("") +
    "</main>\n</body>\n</html>\n"
  );
}

function runHtml(run: SavedRun, place: number): string {
  const hasOne = run.choices.length === 1;
  return (
    `<section>\n${promptHtml(run)}${settingsHtml(run)}` +
    run.choices.map((choice) => choiceHtml(choice, place, hasOne)).join("") +
    "</section>\n"
  );
}

/** An answer without thoughts is shown as its text. */
function choiceHtml(choice: Choice, place: number, isOnly: boolean): string {
  if (choice.thoughts.length === 0) return `<pre>${escape(printable(choice.text))}</pre>\n`;
  const label = isOnly ? "" : `Choice ${choice.index}`;
  return thoughtsHtml(choice.thoughts, `run-${place}-${choice.index}`, label);
}

function promptHtml({ request }: SavedRun): string {
  const turns = request.messages ?? [];
  const prompt = request.prompt === undefined ? [] : [{ role: "prompt", content: request.prompt }];
  return [...prompt, ...turns]
    .map(
      ({ role, content }) =>
        `<h2>${escape(role)}</h2>\n<pre>${escape(printable(content))}</pre>\n`,
    )
    .join("");
}

function settingsHtml(run: SavedRun): string {
  const { prompt: _, messages: _messages, ...settings } = run.request;
  const lines: [string, string][] = [
    ["date", new Date(run.created * 1000).toISOString()],
    ["seconds", String(run.seconds)],
    ...Object.entries(settings).map(([name, value]): [string, string] => [
      name,
      JSON.stringify(value),
    ]),
  ];
  const rows = lines.map(
    ([name, value]) =>
      `<div><dt>${escape(oneLine(name))}</dt><dd>${escape(oneLine(value))}</dd></div>`,
  );
  return `<details class="request">\n<summary>Request</summary>\n<dl>${rows.join("")}</dl>\n</details>\n`;
}

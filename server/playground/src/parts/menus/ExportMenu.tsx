/** Copies the request of an answer as a program, and saves the answer as a file. */

import type { SavedRun } from "../../types";
import { runsPage } from "../look/page";
import { toFile } from "../saved/file";
import { snippet, type Language } from "../snippets/snippets";
import { download, fileName } from "./download";
import { OutcomeLine } from "./OutcomeLine";
import { useOutcome } from "./useOutcome";

interface Props {
  readonly run: SavedRun;
}

const LANGUAGES: readonly (readonly [Language, string])[] = [
  ["curl", "curl"],
  ["python", "Python"],
  ["javascript", "JavaScript"],
];

const FILES = [
  ["json", "JSON", "application/json", (run: SavedRun) => toFile([run])],
  ["html", "HTML", "text/html", (run: SavedRun) => runsPage([run])],
] as const;

export function ExportMenu({ run }: Props) {
  const outcome = useOutcome();
  const { origin } = location;
  return (
    <div class="menu">
      <div class="menu-row" role="group" aria-label="Copy the request">
        <span class="quiet">Copy as</span>
        {LANGUAGES.map(([language, name]) => (
          <button
            key={language}
            type="button"
            class="small"
            aria-label={`Copy as ${name}`}
            onClick={() => void outcome.copy(snippet(language, { origin, ...run }), name)}
          >
            {name}
          </button>
        ))}
      </div>
      <div class="menu-row" role="group" aria-label="Export the answer">
        <span class="quiet">Export</span>
        {FILES.map(([ending, name, type, content]) => (
          <button
            key={ending}
            type="button"
            class="small"
            aria-label={`Export ${name}`}
            onClick={() => {
              try {
                download(fileName(run.model, run.created, ending), type, content(run));
                outcome.succeed(`${name} saved`);
              } catch (error) {
                outcome.fail(error);
              }
            }}
          >
            {name}
          </button>
        ))}
      </div>
      <OutcomeLine outcome={outcome} />
    </div>
  );
}

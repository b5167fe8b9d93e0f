/** Copies a link to what is set up, and opens saved runs. */

import { useRef } from "preact/hooks";
import type { SavedRun, Setup } from "../../types";
import { InvalidDataError } from "../check";
import { fromFile, MOST_BYTES } from "../saved/file";
import { toFragment } from "../share/fragment";
import { OutcomeLine } from "./OutcomeLine";
import { useOutcome, type OutcomeControl } from "./useOutcome";

interface Props {
  readonly setup: Setup;
  /** Gets the runs of a file, each with one answer. */
  readonly onOpen: (runs: readonly SavedRun[]) => void;
}

export function ShareMenu({ setup, onOpen }: Props) {
  const outcome = useOutcome();
  const input = useRef<HTMLInputElement>(null);
  return (
    <div class="menu">
      <div class="menu-row">
        <button type="button" class="small" onClick={() => void copyLink(setup, outcome)}>
          Copy link
        </button>
        <button type="button" class="small" onClick={() => input.current?.click()}>
          Open file
        </button>
        <input
          ref={input}
          type="file"
          hidden
          accept=".json,application/json"
          aria-label="File of saved runs"
          onChange={(event) => {
            const file = event.currentTarget.files?.[0];
            event.currentTarget.value = ""; // so that the same file can be opened again
            if (file !== undefined) void openFile(file, onOpen, outcome);
          }}
        />
      </div>
      <OutcomeLine outcome={outcome} />
    </div>
  );
}

async function copyLink(setup: Setup, outcome: OutcomeControl): Promise<void> {
  try {
    const fragment = await toFragment(setup);
    history.replaceState(null, "", fragment);
    await outcome.copy(location.href, "Link");
  } catch (error) {
    outcome.fail(error);
  }
}

async function openFile(
  file: File,
  onOpen: Props["onOpen"],
  outcome: OutcomeControl,
): Promise<void> {
  try {
    if (file.size > MOST_BYTES) {
      throw new InvalidDataError(`The file has more than ${MOST_BYTES / 1_000_000} MB.`);
    }
    const runs = oneAnswerEach(fromFile(await file.text()));
    onOpen(runs);
    outcome.succeed(`${file.name} opened`);
  } catch (error) {
    outcome.fail(error);
  }
}

/** The page shows one answer at a time. */
function oneAnswerEach(runs: readonly SavedRun[]): readonly SavedRun[] {
  const answers = runs.flatMap((run) =>
    run.choices.map((choice) => ({ ...run, choices: [choice] })),
  );
  if (answers.length === 0) throw new InvalidDataError("No run of the file has an answer.");
  return answers;
}

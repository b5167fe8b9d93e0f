/** Chooses a run of a file that has several. */

import { tokenName } from "../../text/signs";
import type { SavedRun } from "../../types";

interface Props {
  readonly runs: readonly SavedRun[];
  readonly chosen: number;
  readonly onChoose: (index: number) => void;
}

const LONGEST = 60;

export function RunPicker({ runs, chosen, onChoose }: Props) {
  if (runs.length < 2) return null;
  return (
    <label class="row picker">
      <span class="quiet">Saved run</span>
      <select value={chosen} onChange={(event) => onChoose(Number(event.currentTarget.value))}>
        {runs.map((run, index) => (
          <option key={index} value={index}>
            {index + 1}: {nameOf(run)}
          </option>
        ))}
      </select>
    </label>
  );
}

function nameOf({ request, choices }: SavedRun): string {
  const text = request.prompt ?? request.messages?.findLast((turn) => turn.role === "user")?.content;
  const name = tokenName(text ?? choices[0]?.text ?? "");
  return name.length > LONGEST ? `${name.slice(0, LONGEST)}…` : name;
}

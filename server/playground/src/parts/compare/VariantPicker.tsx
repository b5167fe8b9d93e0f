/** Chooses what the second run changes. */

import { useState } from "preact/hooks";
import type { Run } from "../../types";
import type { Variant } from "./variants";

interface Props {
  readonly run: Run;
  readonly maxThoughtTokens: number;
  readonly isRunning: boolean;
  readonly onRun: (variant: Variant) => void;
  readonly onStop: () => void;
}

/** Seeds that are easy to read and to write down. */
const MOST_SEED = 10_000;

export function VariantPicker({ run, maxThoughtTokens, isRunning, onRun, onStop }: Props) {
  const [length, setLength] = useState(() => otherLength(run, maxThoughtTokens));
  const [seed, setSeed] = useState(() => Math.floor(Math.random() * MOST_SEED));
  if (isRunning) {
    return (
      <button type="button" onClick={onStop}>
        Stop the second run
      </button>
    );
  }
  return (
    <div class="row versus-choices">
      <button type="button" onClick={() => onRun({ kind: "off" })}>
        Thinking off
      </button>
      {maxThoughtTokens > 0 && (
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            onRun({ kind: "length", numThoughtTokens: length });
          }}
        >
          <button type="submit">Another thought length</button>
          <Amount name="Thought length" most={maxThoughtTokens} value={length} onValue={setLength} />
        </form>
      )}
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          onRun({ kind: "seed", seed });
        }}
      >
        <button type="submit">Another seed</button>
        <Amount name="Other seed" most={Number.MAX_SAFE_INTEGER} value={seed} onValue={setSeed} />
      </form>
    </div>
  );
}

interface AmountProps {
  readonly name: string;
  readonly most: number;
  readonly value: number;
  readonly onValue: (value: number) => void;
}

function Amount({ name, most, value, onValue }: AmountProps) {
  return (
    <input
      type="number"
      aria-label={name}
      min={0}
      max={most}
      step={1}
      required
      value={value}
      onInput={(event) => {
        const next = event.currentTarget.valueAsNumber;
        if (Number.isSafeInteger(next)) onValue(next);
      }}
    />
  );
}

/** Twice the length of this run, or half of it if the server does not allow twice. */
function otherLength(run: Run, most: number): number {
  const length = run.request.num_thought_tokens ?? longestThought(run);
  if (length === 0) return Math.min(4, most);
  return length * 2 <= most ? length * 2 : Math.max(1, Math.floor(length / 2));
}

function longestThought(run: Run): number {
  const lengths = (run.choices[0]?.thoughts ?? []).map((each) => each.thought_token_ids.length);
  return lengths.reduce((longest, length) => Math.max(longest, length), 0);
}

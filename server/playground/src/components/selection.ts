/** Which token is open, and which are pinned. */

import { useCallback, useState } from "preact/hooks";
import type { Run } from "../types";
import type { Pin } from "./Compare";

/** Pinned tokens stay for the next answer; an open token does not. */
export interface Selection {
  /** Index of the open token of this run; null if none is open. */
  readonly selected: number | null;
  readonly pins: readonly Pin[];
  readonly select: (index: number | null) => void;
  readonly togglePin: (index: number) => void;
  readonly unpin: (pin: Pin) => void;
}

const MOST_PINS = 2;

export function useSelection(run: Run | null): Selection {
  const [opened, setOpened] = useState<{ runId: number; index: number } | null>(null);
  const [pins, setPins] = useState<readonly Pin[]>([]);
  const runId = run?.id ?? -1;
  const entries = run?.choices[0]?.thoughts;

  const select = useCallback(
    (index: number | null) => setOpened(index === null ? null : { runId, index }),
    [runId],
  );
  const unpin = useCallback((pin: Pin) => setPins((old) => old.filter((each) => each !== pin)), []);
  const togglePin = useCallback(
    (index: number) => {
      const entry = entries?.[index];
      if (entry === undefined) return;
      setPins((old) => {
        const others = old.filter((pin) => pin.runId !== runId || pin.index !== index);
        if (others.length < old.length) return others;
        return [...old.slice(1 - MOST_PINS), { runId, index, entry }].slice(-MOST_PINS);
      });
    },
    [entries, runId],
  );
  const selected = opened !== null && opened.runId === runId ? opened.index : null;
  return { selected, pins, select, togglePin, unpin };
}

/** The pinned tokens of a run. */
export function pinsOf(pins: readonly Pin[], run: Run): number[] {
  return pins.filter((pin) => pin.runId === run.id).map((pin) => pin.index);
}

/** The tokens of an answer as one widget of the keyboard: arrows move, Enter opens, P pins. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { blocksOf } from "../text/blocks";
import type { Shading, Thought } from "../types";
import { TokenBlock } from "./TokenBlock";
import { nextIndex } from "./tokenKeys";

interface Props {
  readonly entries: readonly Thought[];
  readonly shading: Shading;
  readonly selected: number | null;
  readonly pinned: readonly number[];
  /** The token that is not part of the text: the end of the answer, as the model writes it. */
  readonly unsaid: number | null;
  readonly onSelect: (index: number | null) => void;
  readonly onPin: (index: number) => void;
}

export function Tokens(props: Props) {
  const { entries, shading, selected, pinned, unsaid, onSelect, onPin } = props;
  const box = useRef<HTMLSpanElement>(null);
  const [current, setCurrent] = useState(0);
  const blocks = useMemo(() => blocksOf(entries), [entries]);
  useEffect(() => {
    // On a phone the open card would cover its token.
    if (box.current !== null && selected !== null) {
      tokenAt(box.current, selected)?.scrollIntoView({ block: "nearest" });
    }
  }, [selected]);
  const at = Math.min(selected ?? current, entries.length - 1);

  const onKeyDown = (event: KeyboardEvent): void => {
    const index = indexOf(event.target);
    if (index === null || box.current === null || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") onSelect(index);
    else if (event.key === "p" || event.key === "P") onPin(index);
    else {
      const next = nextIndex(box.current, index, entries.length, event.key);
      if (next === null) return;
      tokenAt(box.current, next)?.focus();
      setCurrent(next);
      if (selected !== null) onSelect(next); // an open card follows
    }
    event.preventDefault();
  };

  return (
    <span
      ref={box}
      class="tokens"
      onKeyDown={onKeyDown}
      onClick={(event) => {
        const index = indexOf(event.target);
        if (index === null) return;
        setCurrent(index);
        onSelect(index === selected ? null : index);
      }}
    >
      {blocks.map((block) => (
        <TokenBlock
          key={block.start}
          block={block}
          entries={entries}
          shading={shading}
          current={within(block, at)}
          selected={within(block, selected ?? -1)}
          unsaid={within(block, unsaid ?? -1)}
          pinned={pinned.filter((index) => within(block, index) >= 0).join(",")}
        />
      ))}
    </span>
  );
}

function within(block: { readonly start: number; readonly end: number }, index: number): number {
  return index >= block.start && index < block.end ? index : -1;
}

function indexOf(target: EventTarget | null): number | null {
  if (!(target instanceof HTMLElement)) return null;
  const index = target.closest<HTMLElement>("[data-index]")?.dataset["index"];
  return index === undefined ? null : Number(index);
}

/** Put the focus on a token of the answer, if there is one. */
export function focusToken(index: number | null): void {
  const box = document.querySelector<HTMLElement>(".tokens");
  if (box !== null && index !== null) tokenAt(box, index)?.focus();
}

function tokenAt(box: HTMLElement, index: number): HTMLElement | null {
  return box.querySelector<HTMLElement>(`[data-index="${index}"]`);
}

/** Some tokens of an answer. Drawn again only if something of theirs has changed. */

import { useMemo } from "preact/hooks";
import type { Block } from "../text/blocks";
import { breaksLine, tokenName, withSigns } from "../text/signs";
import { shade } from "../text/shade";
import type { Shading, Thought } from "../types";

interface Props {
  readonly block: Block;
  readonly entries: readonly Thought[];
  readonly shading: Shading;
  /** The token that the tab key reaches, or -1 where it is in another block. */
  readonly current: number;
  /** The token that is open, or -1. */
  readonly selected: number;
  /** The pinned tokens of this block, joined by commas. */
  readonly pinned: string;
  /** The token of this block that is not part of the text, or -1. */
  readonly unsaid: number;
}

export function TokenBlock(props: Props) {
  const { block, entries, shading, current, selected, pinned, unsaid } = props;
  const { start, end, isLines } = block;
  const first = entries[start];
  return useMemo(() => {
    const pins = pinned.split(",");
    return (
      <span class={isLines ? "block lines" : "block"}>
        {entries.slice(start, end).map((entry, offset) => (
          <Token
            key={start + offset}
            index={start + offset}
            entry={entry}
            background={shade(entry, shading)}
            isCurrent={start + offset === current}
            isSelected={start + offset === selected}
            isPinned={pins.includes(String(start + offset))}
            isUnsaid={start + offset === unsaid}
          />
        ))}
      </span>
    );
    // `entries` grows, but its entries stay: the first one and the ends say which they are.
  }, [first, start, end, isLines, shading, current, selected, pinned, unsaid]);
}

interface TokenProps {
  readonly index: number;
  readonly entry: Thought;
  readonly background: string | undefined;
  readonly isCurrent: boolean;
  readonly isSelected: boolean;
  readonly isPinned: boolean;
  readonly isUnsaid: boolean;
}

/** Spaces before a word are drawn before its box: at the end of a line they would be a stain. */
function Token(props: TokenProps) {
  const { index, background, isCurrent, isSelected, isPinned, isUnsaid } = props;
  const { token } = props.entry;
  const isBlank = token.trim() === "";
  const before = isBlank ? "" : (/^ */.exec(token)?.[0] ?? "");
  return (
    <>
      {before}
      <span
        role="button"
        class={`token${isPinned ? " pinned" : ""}${isUnsaid ? " unsaid" : ""}`}
        tabIndex={isCurrent ? 0 : -1}
        data-index={index}
        aria-current={isSelected ? "true" : undefined}
        aria-label={isBlank ? tokenName(token) : undefined}
        aria-description={isPinned ? "pinned" : undefined}
        style={background === undefined ? undefined : { backgroundColor: background }}
      >
        {visible(token.slice(before.length))}
      </span>
    </>
  );
}

/** A line break is seen as a sign, and breaks the line. */
function visible(token: string): string {
  const signed = withSigns(token.replace(/\r\n/g, "\n"));
  if (token === "") return "∅";
  return breaksLine(signed) ? signed.replace(/\n/g, "↵\n") : signed;
}

/** One thought in the chart. Its kind is told by pattern, border and sign, not by colour alone. */

import { tokenName } from "../../text/signs";
import { CELL, px } from "./geometry";
import type { Bar } from "./layout";
import { barName, OUTCOME } from "./moment";

interface Props {
  readonly bar: Bar;
  /** In pixels. */
  readonly top: number;
  /** The last pass that is drawn; the bar goes on while it runs. */
  readonly last: number;
  readonly isRunning: boolean;
  readonly isSelected: boolean;
  readonly isTabStop: boolean;
  readonly onSelect: (index: number) => void;
  readonly onFocus: (index: number) => void;
}

/** Between a bar and the next one, in pixels. */
const GAP = 3;

const SIGNS = { kept: "✓", rejected: "✕", waited: "", bare: "", dropped: "–" } as const;

export function BarMark(props: Props) {
  const { bar, top, last, isRunning, isSelected } = props;
  const kind = isRunning ? "running" : bar.kind;
  const common = {
    class: `timeline-bar ${kind}${isSelected ? " selected" : ""}`,
    style: {
      left: px(bar.first * CELL),
      top: px(top),
      width: px((last - bar.first + 1) * CELL - GAP),
    },
    title: isRunning ? `${tokenName(bar.token)}: running` : title(bar),
    "data-bar": bar.index,
  };
  // In the width of one pass there is no room for it; border and pattern say the same.
  const hasSign = !isRunning && last > bar.first;
  const content = (
    <>
      <span class="timeline-name">{tokenName(bar.token)}</span>
      {hasSign && <span class="timeline-sign">{SIGNS[bar.kind]}</span>}
    </>
  );
  // A dropped thought has no entry that one could open; the token that it waited for has.
  if (bar.kind === "dropped") {
    return (
      <span {...common} aria-hidden="true">
        {content}
      </span>
    );
  }
  return (
    <button
      {...common}
      type="button"
      tabIndex={props.isTabStop ? 0 : -1}
      aria-label={isRunning ? `Token ${bar.index + 1}, running` : barName(bar)}
      aria-current={isSelected ? "true" : undefined}
      onFocus={() => props.onFocus(bar.index)}
      onClick={() => props.onSelect(bar.index)}
    >
      {content}
    </button>
  );
}

function title(bar: Bar): string {
  if (bar.kind !== "dropped") return barName(bar);
  const passes = `passes ${bar.first} to ${bar.last}`;
  return `Thought after “${tokenName(bar.token)}”, ${passes}, ${OUTCOME.dropped}`;
}

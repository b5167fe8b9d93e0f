/**
 * The bars. Only those in the visible part of a long answer are in the document.
 *
 * For the keyboard they are one widget, like the tokens: arrows move, Enter opens.
 */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { BarMark } from "./BarMark";
import { CELL, LANE, px } from "./geometry";
import { barsBetween, type Bar, type Layout } from "./layout";
import { stateAt } from "./moment";
import { useVisiblePasses } from "./useVisiblePasses";

interface Props {
  readonly layout: Layout;
  /** The newest pass that is shown. */
  readonly pass: number;
  readonly selected: number | null;
  readonly onSelect: (index: number) => void;
}

/** Every so many passes one has its number. */
const TICK = 5;
const AXIS = 22;

export function Chart({ layout, pass, selected, onSelect }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const visible = useVisiblePasses(box);
  const [current, setCurrent] = useState(0);
  const wantsFocus = useRef(false);
  const isAtEnd = pass === layout.numPasses - 1;

  useLayoutEffect(() => reveal(box.current, pass), [pass, isAtEnd]);
  useEffect(() => {
    const bar = selected === null ? undefined : ownBar(layout, selected);
    if (bar !== undefined) reveal(box.current, bar.first);
  }, [selected]);
  useEffect(() => {
    if (!wantsFocus.current) return;
    const bar = box.current?.querySelector<HTMLElement>(`button[data-bar="${current}"]`);
    if (bar === null || bar === undefined) return; // not drawn yet: the chart is scrolling to it
    wantsFocus.current = false;
    bar.focus({ preventScroll: true });
  });

  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const next = nextBar(event.key, current, layout);
    if (next === undefined) return;
    event.preventDefault();
    wantsFocus.current = true;
    reveal(box.current, next.first);
    setCurrent(next.index);
  };

  const bars = barsBetween(layout, visible.first, visible.last);
  const shown = bars.filter((bar) => bar.first <= pass);
  const tabStop = tabbable(shown, selected ?? current);
  return (
    <div class="timeline-chart" ref={box} onKeyDown={onKeyDown} role="group" aria-label="Thoughts">
      <div
        class="timeline-canvas"
        style={{
          width: px(layout.numPasses * CELL),
          height: px(layout.numLanes * LANE + AXIS),
        }}
      >
        <Axis first={visible.first} last={Math.min(visible.last, layout.numPasses - 1)} />
        <div class="timeline-now" style={{ left: px(pass * CELL), width: px(CELL) }} />
        {shown.map((bar) => (
          <BarMark
            key={`${bar.index} ${bar.lane} ${bar.first}`}
            bar={bar}
            top={AXIS + bar.lane * LANE}
            last={Math.min(bar.last, pass)}
            isRunning={stateAt(bar, pass) === "running"}
            isSelected={bar.index === selected}
            isTabStop={bar === tabStop}
            onSelect={onSelect}
            onFocus={setCurrent}
          />
        ))}
      </div>
    </div>
  );
}

function Axis({ first, last }: { readonly first: number; readonly last: number }) {
  const ticks = [];
  for (let pass = Math.ceil(first / TICK) * TICK; pass <= last; pass += TICK) ticks.push(pass);
  return (
    <>
      {ticks.map((pass) => (
        <span key={pass} class="timeline-tick" style={{ left: px(pass * CELL) }} aria-hidden="true">
          {pass}
        </span>
      ))}
    </>
  );
}

function nextBar(key: string, current: number, layout: Layout): Bar | undefined {
  const last = layout.bars.findLast((bar) => bar.kind !== "dropped")?.index ?? 0;
  const next = {
    ArrowLeft: current - 1,
    ArrowUp: current - 1,
    ArrowRight: current + 1,
    ArrowDown: current + 1,
    Home: 0,
    End: last,
  }[key];
  return next === undefined ? undefined : ownBar(layout, next);
}

/** The bar of a token's own thought. */
function ownBar(layout: Layout, index: number): Bar | undefined {
  return layout.bars.find((bar) => bar.index === index && bar.kind !== "dropped");
}

/** The bar that the tab key reaches: the wanted one if it is there, else the first. */
function tabbable(bars: readonly Bar[], wanted: number): Bar | undefined {
  const own = bars.filter((bar) => bar.kind !== "dropped");
  return own.find((bar) => bar.index === wanted) ?? own[0];
}

/** Scrolls if a pass is out of sight, so that most of what came before it can be seen. */
function reveal(box: HTMLElement | null, pass: number): void {
  if (box === null) return;
  const { scrollLeft, clientWidth } = box;
  const left = pass * CELL;
  const isSeen = left >= scrollLeft && left + CELL <= scrollLeft + clientWidth;
  if (!isSeen) box.scrollLeft = left - (clientWidth * 3) / 4;
}

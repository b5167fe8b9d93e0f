/** Which passes are in the visible part of the chart, and some beyond, so that scrolling is smooth. */

import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { CELL } from "./geometry";

export interface VisiblePasses {
  readonly first: number;
  readonly last: number;
}

/** Passes are drawn in groups of this many, so that few scroll events change anything. */
const GROUP = 20;
/** Before the size is known: as many as a wide window shows. */
const UNKNOWN: VisiblePasses = { first: 0, last: 100 };

/** The passes to draw, of a box that scrolls from left to right. */
export function useVisiblePasses(box: RefObject<HTMLElement | null>): VisiblePasses {
  const [visible, setVisible] = useState(UNKNOWN);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const measure = (): void => {
      const next = passesIn(element.scrollLeft, element.clientWidth);
      setVisible((old) => (old.first === next.first && old.last === next.last ? old : next));
    };
    measure();
    const sizes = new ResizeObserver(measure);
    sizes.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      sizes.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, [box]);
  return visible;
}

/** The groups that touch a window, and one more on either side. */
export function passesIn(scrollLeft: number, width: number): VisiblePasses {
  const first = Math.floor(scrollLeft / CELL / GROUP) - 1;
  const last = Math.floor((scrollLeft + width) / CELL / GROUP) + 1;
  return { first: Math.max(0, first * GROUP), last: (last + 1) * GROUP - 1 };
}

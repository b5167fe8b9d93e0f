/** Sizes of the chart, in CSS pixels. */

/** Width of a pass. */
export const CELL = 26;
/** Height of a lane. */
export const LANE = 28;

/** A length for a style. */
export function px(pixels: number): string {
  return `${pixels}px`;
}

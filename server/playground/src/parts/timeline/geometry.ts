/** Sizes of the chart, in CSS pixels. */

/** Width of a pass. */
export const CELL = 26;
/** Height of a lane. */
export const LANE = 28;

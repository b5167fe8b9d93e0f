/** A model's text on one line. */

import { printable } from "qstar-client";

/** As `printable`, with signs for line breaks and tabs as well. */
export function oneLine(text: string): string {
  return printable(text.replace(/[\n\r]/g, "↵").replace(/\t/g, "⇥"));
}

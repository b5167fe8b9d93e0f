/** How the engine found a token, in a sentence. */

import { count } from "../text/numbers";
import { tokenName } from "../text/signs";
import type { Passes } from "../types";

interface Props {
  readonly passes: Passes;
  /** Without a thought there is nothing to guess meanwhile. */
  readonly hasThought: boolean;
}

export function PassesText({ passes, hasThought }: Props) {
  const { first, last, draft, dropped } = passes;
  const span = first === last ? `in pass ${last}` : `in passes ${first} to ${last}`;
  return (
    <p class="quiet passes">
      Found {span}.{" "}
      {hasThought &&
        draft.is_fed &&
        (draft.is_kept
          ? "Meanwhile the engine went on with a guess, and the guess was right."
          : `Meanwhile the engine went on with the guess “${tokenName(draft.token)}”, which was wrong` +
            `${consequence(dropped.length)}.`)}
    </p>
  );
}

function consequence(numDropped: number): string {
  if (numDropped === 0) return "";
  return `, and ${count(numDropped, "draft")} after it ${numDropped === 1 ? "was" : "were"} dropped`;
}

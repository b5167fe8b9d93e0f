/** How the engine found a token, in a sentence. */

import { count } from "../text/numbers";
import { tokenName } from "../text/signs";
import type { Passes } from "../types";

export function PassesText({ passes }: { readonly passes: Passes }) {
  const { first, last, draft, dropped } = passes;
  const span = first === last ? `in pass ${last}` : `in passes ${first} to ${last}`;
  return (
    <p class="quiet passes">
      Found {span}.{" "}
      {draft.is_fed &&
        (draft.is_kept
          ? "Meanwhile the engine went on with a guess, and the guess was right."
          : `Meanwhile the engine went on with the guess “${tokenName(draft.token)}”, which was wrong` +
            `${dropped.length > 0 ? `: ${count(dropped.length, "thought")} behind it dropped` : ""}.`)}
    </p>
  );
}

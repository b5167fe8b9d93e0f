/** Says what an action did, or shows the text that could not be copied. */

import { withSigns } from "../../text/signs";
import type { OutcomeControl } from "./useOutcome";

export function OutcomeLine({ outcome }: { readonly outcome: OutcomeControl }) {
  const { done, failed, uncopied, clear } = outcome;
  return (
    <>
      <span class="quiet outcome" role="status">
        {done}
      </span>
      {failed !== "" && (
        <p class="outcome-failed" role="alert">
          {withSigns(failed)}{" "}
          <button type="button" class="small" onClick={clear}>
            Close
          </button>
        </p>
      )}
      {uncopied !== "" && (
        <div class="outcome-text">
          <label>
            <span>This browser does not let the page copy. Here is the text:</span>
            <textarea
              ref={(box) => box?.select()}
              readOnly
              rows={6}
              spellcheck={false}
              value={uncopied}
            />
          </label>
          <button type="button" class="small" onClick={clear}>
            Close
          </button>
        </div>
      )}
    </>
  );
}

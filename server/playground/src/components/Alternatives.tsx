/** The most likely tokens, with and without the thought, as two lists. */

import { percentOf } from "../text/numbers";
import type { Thought, TopLogprob } from "../types";
import { Meter } from "./Meter";
import { TokenText } from "./TokenText";

export function Alternatives({ entry }: { readonly entry: Thought }) {
  const { top_logprobs: mixed, base_top_logprobs: base } = entry;
  if (mixed === undefined || base === undefined || mixed.length === 0) return null;
  if (entry.thought_token_ids.length === 0) {
    return <List title="Most likely here" kind="without" tokens={base} chosen={entry.token_id} />;
  }
  return (
    <div class="alternatives">
      <List title="With the thought" kind="with" tokens={mixed} chosen={entry.token_id} />
      <List title="Without it" kind="without" tokens={base} chosen={entry.token_id} />
    </div>
  );
}

interface ListProps {
  readonly title?: string;
  readonly kind: "with" | "without";
  readonly tokens: readonly TopLogprob[];
  readonly chosen: number;
}

export function List({ title, kind, tokens, chosen }: ListProps) {
  return (
    <section>
      {title !== undefined && <h3>{title}</h3>}
      <ol>
        {tokens.map((each) => (
          <li key={each.token_id} class={each.token_id === chosen ? "chosen" : undefined}>
            <span class="text name">
              <TokenText text={each.token} />
            </span>
            <span class="share">{percentOf(each.logprob)}</span>
            <Meter share={Math.exp(each.logprob)} kind={kind} />
            {each.token_id === chosen && <span class="unseen">, chosen</span>}
          </li>
        ))}
      </ol>
    </section>
  );
}

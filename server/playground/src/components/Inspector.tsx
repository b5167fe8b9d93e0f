/** Everything about one token: a panel at the side, on a phone at the bottom. */

import { count, nats, percentOf, share } from "../text/numbers";
import { changeOf } from "../text/shade";
import type { Thought } from "../types";
import { Alternatives } from "./Alternatives";
import { Meter } from "./Meter";
import { PassesText } from "./PassesText";
import { TokenText } from "./TokenText";
import { effectOf } from "./effect";

interface Props {
  readonly entry: Thought;
  readonly index: number;
  readonly isPinned: boolean;
  readonly onPin: () => void;
  readonly onClose: () => void;
}

export function Inspector({ entry, index, isPinned, onPin, onClose }: Props) {
  return (
    <aside class="inspector" aria-label="Token">
      <div class="row spread">
        <span class="quiet">Token {index + 1}</span>
        <span class="row">
          <button type="button" class="small" aria-pressed={isPinned} onClick={onPin}>
            Pin
          </button>
          <button type="button" class="small" aria-label="Close" onClick={onClose}>
            ×
          </button>
        </span>
      </div>
      <h2 class="big text">
        <TokenText text={entry.token} />
      </h2>
      <ThoughtText entry={entry} />
      <p class="effect">{effectOf(entry)}</p>
      <Numbers entry={entry} />
      <Alternatives entry={entry} />
      {entry.passes !== undefined && (
        <PassesText passes={entry.passes} hasThought={entry.thought_token_ids.length > 0} />
      )}
      <p class="quiet hints">← → other tokens, P pins, Esc closes</p>
    </aside>
  );
}

function ThoughtText({ entry }: { readonly entry: Thought }) {
  const length = entry.thought_token_ids.length;
  if (length === 0) return <p class="thought none">The model did not think before this token.</p>;
  return (
    <figure class="thought">
      <figcaption>Its thought, {count(length, "token")}</figcaption>
      <blockquote class="text">
        <TokenText text={entry.thought} />
      </blockquote>
    </figure>
  );
}

function Numbers({ entry }: { readonly entry: Thought }) {
  if (entry.thought_token_ids.length === 0) {
    return (
      <dl class="numbers">
        <dt>Probability</dt>
        <dd>
          <Meter share={Math.exp(entry.logprob)} kind="without" /> {percentOf(entry.logprob)}
        </dd>
      </dl>
    );
  }
  return (
    <dl class="numbers">
      <dt>With the thought</dt>
      <dd>
        <Meter share={Math.exp(entry.logprob)} kind="with" /> {percentOf(entry.logprob)}
      </dd>
      <dt>Without it</dt>
      <dd>
        <Meter share={Math.exp(entry.base_logprob)} kind="without" /> {percentOf(entry.base_logprob)}
      </dd>
      <dt>Mixing weight</dt>
      <dd>
        <Meter share={entry.mixing_weight} kind="weight" /> {share(entry.mixing_weight)}
      </dd>
      <dt>Change</dt>
      <dd class="bare">{nats(changeOf(entry))}</dd>
    </dl>
  );
}

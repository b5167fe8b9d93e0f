/** Why nothing can be asked now, or why no thoughts will be seen. */

import type { Connection } from "../model/connection";

export function Notice({ connection }: { readonly connection: Connection }) {
  const text = noticeOf(connection);
  return (
    <div role="status">
      {text !== null && <p class="notice card">{text}</p>}
    </div>
  );
}

function noticeOf({ state, card, failure }: Connection): string | null {
  if (state === "loading") return "The model is loading. This page goes on by itself.";
  if (state === "failed") return failure?.message ?? "The server does not answer.";
  if (card !== null && !card.thoughts_allowed) {
    return "The operator of this server does not show thoughts: you see the answers alone.";
  }
  if (card !== null && card.max_thought_tokens === 0) {
    return "This model cannot think: you see its answers alone.";
  }
  return null;
}

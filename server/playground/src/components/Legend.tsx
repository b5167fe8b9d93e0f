/** Says what the colours mean. */

import type { Shading } from "../types";

export function Legend({ shading }: { readonly shading: Shading }) {
  if (shading === "weight") {
    return (
      <span class="legend">
        0 <span class="ramp weight" aria-hidden="true" /> 1
        <span class="quiet wide">share of the thought in the word</span>
      </span>
    );
  }
  return (
    <span class="legend">
      less <span class="ramp change" aria-hidden="true" /> more
      <span class="quiet wide">likely through the thought, up to 3 nats</span>
    </span>
  );
}

/** The same request with one thing changed. */

import type { RequestBody } from "../../types";

export type Variant =
  | { readonly kind: "off" }
  | { readonly kind: "length"; readonly numThoughtTokens: number }
  | { readonly kind: "seed"; readonly seed: number };

/** The request of a variant; everything else stays as it was. */
export function variantRequest(request: RequestBody, variant: Variant): RequestBody {
  switch (variant.kind) {
    case "off":
      return withLength(request, 0);
    case "length":
      return withLength(request, variant.numThoughtTokens);
    case "seed":
      return { ...request, seed: variant.seed };
  }
}

/** How the columns are headed. */
export function variantName(variant: Variant): string {
  switch (variant.kind) {
    case "off":
      return "Thinking off";
    case "length":
      return `Thoughts of ${variant.numThoughtTokens} tokens`;
    case "seed":
      return `Seed ${variant.seed}`;
  }
}

/**
 * Whether two runs of a request could differ by chance alone: tokens are sampled, and the request
 * names no seed. Changing the seed is the chance that one wants to see.
 */
export function differsByChance(request: RequestBody, variant: Variant): boolean {
  return variant.kind !== "seed" && request.seed === undefined && request.temperature !== 0;
}

/** `reasoning_effort` is another name for the length, and the server refuses both together. */
function withLength(request: RequestBody, length: number): RequestBody {
  const { reasoning_effort: _, ...others } = request;
  return { ...others, num_thought_tokens: length };
}

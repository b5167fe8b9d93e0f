/** Numbers as a person reads them. */

/** A probability in per cent, short: `0.03 %`, `4.7 %`, `62 %`, `> 99.9 %`. */
export function percent(probability: number): string {
  const share = probability * 100;
  if (!Number.isFinite(share)) return "–";
  if (share === 0) return "0 %";
  if (share < 0.01) return "< 0.01 %";
  if (share < 1) return `${share.toFixed(2)} %`;
  if (share < 9.95) return `${share.toFixed(1)} %`;
  if (share > 99.9 && share < 100) return "> 99.9 %";
  return `${share.toFixed(0)} %`;
}

/** The probability of a natural logarithm, in per cent. */
export function percentOf(logprob: number): string {
  return percent(Math.exp(logprob));
}

/** A share from 0 to 1, with two or three digits. */
export function share(value: number): string {
  return value.toFixed(3).replace(/0$/, "");
}

/** How much more or less likely: `3.2 times more likely`. */
export function timesAsLikely(change: number): string {
  const factor = Math.exp(Math.abs(change));
  if (factor < 1.05) return "about as likely";
  const times = factor < 9.95 ? factor.toFixed(1) : factor < 1000 ? factor.toFixed(0) : "over 1000";
  return `${times} times ${change > 0 ? "more" : "less"} likely`;
}

/** A number of nats with its sign. */
export function nats(change: number): string {
  const digits = Math.abs(change).toFixed(2);
  const sign = Number(digits) === 0 ? "±" : change < 0 ? "−" : "+";
  return `${sign}${digits} nats`;
}

/** Counts with the right form of the noun. */
export function count(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * Numbers of a thought as every view shows them: the same digits as in Python. clients/look/README.md
 * has the rules.
 */

import type { Thought } from "../../types";

const UNKNOWN = "?";
/** What is larger is no number that a model computed. */
const LARGEST = 1e9;
const STRONGEST_ALPHA = 0.55;
/** Nats; larger changes have the same colour. */
const STRONGEST_CHANGE = 3;

/** Two digits behind the point; never -0.00. */
export function rounded(number: number): string {
  if (!(Math.abs(number) < LARGEST)) return UNKNOWN;
  const hundredths = Math.floor(Math.abs(number) * 100 + 0.5);
  const sign = number < 0 && hundredths > 0 ? "-" : "";
  const fraction = String(hundredths % 100).padStart(2, "0");
  return `${sign}${Math.floor(hundredths / 100)}.${fraction}`;
}

/** With its sign, for a difference. */
export function signed(number: number): string {
  const digits = rounded(number);
  return digits.startsWith("-") || digits === UNKNOWN ? digits : `+${digits}`;
}

/** By how many nats the thought made its token more likely; below 0: less likely. */
export function change(thought: Thought): number {
  return thought.logprob - thought.base_logprob;
}

/** The probability with one digit behind the point. */
export function percent(logprob: number): string {
  if (Number.isNaN(logprob)) return UNKNOWN;
  const tenths = tenthsOfPercent(logprob);
  return tenths === 0 && logprob > -Infinity ? "<0.1 %" : `${decimal(tenths)} %`;
}

/** The probability as a length in CSS. */
export function barLength(logprob: number): string {
  return `${decimal(tenthsOfPercent(logprob))}%`;
}

/** A translucent orange, the stronger the larger the thought's weight; null for no colour. */
export function weightColour(thought: Thought): string | null {
  const weight = thought.mixing_weight;
  const share = Number.isFinite(weight) ? Math.min(Math.max(weight, 0), 1) : 0;
  return translucent("240,140,0", share);
}

/** Blue where the thought made the token more likely, red-brown where less; null for neither. */
export function changeColour(thought: Thought): string | null {
  const nats = change(thought);
  if (Number.isNaN(nats)) return null;
  const colour = nats > 0 ? "0,114,178" : "213,94,0";
  return translucent(colour, Math.min(1, Math.abs(nats) / STRONGEST_CHANGE));
}

function translucent(colour: string, strength: number): string | null {
  const alpha = rounded(STRONGEST_ALPHA * strength);
  return alpha === "0.00" ? null : `rgba(${colour},${alpha})`;
}

function tenthsOfPercent(logprob: number): number {
  if (Number.isNaN(logprob)) return 0;
  return Math.floor(Math.exp(Math.min(logprob, 0)) * 1000 + 0.5);
}

function decimal(tenths: number): string {
  return `${Math.floor(tenths / 10)}.${tenths % 10}`;
}

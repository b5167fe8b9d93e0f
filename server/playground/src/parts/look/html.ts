/**
 * Thoughts as HTML without a script, byte for byte as the Python view makes it.
 * clients/look/README.md describes the markup. Every text is escaped, and no address is ever an
 * attribute.
 */

import { printable } from "qstar-client";
import { oneLine } from "./signs";
import { barLength, change, changeColour, percent, rounded, signed, weightColour } from "./numbers";
import type { Passes, Thought, TopLogprob } from "../../types";

/** Stands for a token without text, which nobody could point at. */
const EMPTY = "∅";
/** Stands for a space, in a card, in a text of nothing else. */
const SPACE = "␣";

/**
 * The thoughts of one choice, without the style sheet.
 *
 * @param group letters, digits and dashes, other than those of the page's other choices: of the
 *   tokens in one group, one is open at a time.
 * @param label stands before the text; may be empty.
 */
export function thoughtsHtml(thoughts: readonly Thought[], group: string, label: string): string {
  const heading = label === "" ? "" : `<b>${escape(label)}</b>`;
  const tokens = thoughts.map((thought) => token(thought, group)).join("");
  return (
    '<div class="qstar-thoughts tex2jax_ignore mathjax_ignore">\n' +
    `<div class="key">${heading}<span>${count(thoughts.length, "token")}; open one to read its ` +
    'thought</span><label><input type="checkbox">shade by change of probability</label>' +
    '<span class="by-weight">orange: weight of the thought, 0 to 1</span>' +
    '<span class="by-change" hidden>blue: more likely with the thought; ' +
    "red-brown: less likely</span></div>\n" +
    `<div class="text">${tokens}</div>\n` +
    "</div>\n"
  );
}

/** For text and attribute values; with signs already in place of control characters. */
export function escape(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#x27;");
}

function token(thought: Thought, group: string): string {
  const weight = weightColour(thought);
  const nats = changeColour(thought);
  const styles = [
    ...(weight === null ? [] : [`background-color:${weight}`]),
    ...(nats === null ? [] : [`--change:${nats}`]),
  ];
  const style = styles.length === 0 ? "" : ` style="${styles.join(";")}"`;
  const name = isSpaces(thought.token) ? ' aria-label="space"' : "";
  return (
    `<details name="${group}"${style}><summary${name}>${inLine(thought.token)}</summary>` +
    `<div class="card">${card(thought)}</div></details>`
  );
}

/** A token in the line: what could not be seen has a sign, and line breaks stay. */
function inLine(text: string): string {
  return escape(printable(text).replaceAll("\n", "↵\n") || EMPTY);
}

function card(thought: Thought): string {
  const hasThought = thought.thought_token_ids.length > 0;
  const { passes } = thought;
  return (
    (hasThought ? thoughtLine(thought) : "<p>No thought before this token.</p>") +
    (hasThought ? numbers(thought) : `<dl>${probability("probability", thought.logprob)}</dl>`) +
    alternatives(thought, hasThought) +
    (passes === undefined ? "" : passesLine(passes, hasThought))
  );
}

function thoughtLine({ thought, thought_token_ids: ids }: Thought): string {
  return `<p>Thought of ${count(ids.length, "token")}: ${code(thought)}</p>`;
}

function numbers(thought: Thought): string {
  const best = thought.base_top_logprobs?.[0];
  const parts = [
    number("weight", rounded(thought.mixing_weight)),
    probability("with the thought", thought.logprob),
    probability("without it", thought.base_logprob),
    number("change", `${signed(change(thought))} nats`),
    best === undefined ? "" : number("choice without it", code(best.token)),
  ];
  return `<dl>${parts.join("")}</dl>`;
}

function number(name: string, value: string): string {
  return `<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

function probability(name: string, logprob: number): string {
  return number(name, `${escape(percent(logprob))} <small>${rounded(logprob)}</small>`);
}

function alternatives(thought: Thought, hasThought: boolean): string {
  const withIt = thought.top_logprobs ?? [];
  const lists = hasThought
    ? [
        list("Most likely with the thought", withIt, thought.token_id),
        list("Most likely without it", thought.base_top_logprobs ?? [], thought.token_id),
      ]
    : [list("Most likely", withIt, thought.token_id)];
  const shown = lists.join("");
  return shown === "" ? "" : `<div class="tops">${shown}</div>`;
}

function list(name: string, rows: readonly TopLogprob[], chosen: number): string {
  if (rows.length === 0) return "";
  const lines = rows.map((row) => listRow(row, row.token_id === chosen)).join("");
  return `<div><p>${name}</p><ol>${lines}</ol></div>`;
}

function listRow({ token: text, logprob }: TopLogprob, isChosen: boolean): string {
  const name = isChosen ? `<b>${code(text)}</b>` : code(text);
  return (
    `<li style="--p:${barLength(logprob)}">${name} ` +
    `<span>${escape(percent(logprob))}</span></li>`
  );
}

function passesLine({ first, last, draft, dropped }: Passes, hasThought: boolean): string {
  const decided = hasThought
    ? `Begun in pass ${first}, decided in pass ${last}. Draft ${code(draft.token)}: ` +
      `${draft.is_fed ? "fed" : "not fed"}, ${draft.is_kept ? "right" : "wrong"}.`
    : `Decided in pass ${last}.`;
  const names = dropped.map(
    (each) => `${code(each.token)} (passes ${each.first} to ${each.last})`,
  );
  const after = names.length === 0 ? "" : ` Thoughts dropped after ${names.join(", ")}.`;
  return `<p class="passes">${decided}${after}</p>`;
}

function code(text: string): string {
  const seen = isSpaces(text) ? text.replaceAll(" ", SPACE) : oneLine(text);
  return `<code>${escape(seen || EMPTY)}</code>`;
}

function isSpaces(text: string): boolean {
  return /^ +$/.test(text);
}

function count(size: number, name: string): string {
  return size === 1 ? `${size} ${name}` : `${size} ${name}s`;
}

/** Two pinned tokens side by side. */

import type { ComponentChildren } from "preact";
import { nats, percentOf, share } from "../text/numbers";
import { changeOf } from "../text/shade";
import type { Thought, TopLogprob } from "../types";
import { List } from "./Alternatives";
import { TokenText } from "./TokenText";
import { drawnWithout } from "./effect";

/** A pinned token. It stays when the next answer comes. */
export interface Pin {
  readonly runId: number;
  readonly index: number;
  readonly entry: Thought;
}

interface Props {
  readonly pins: readonly Pin[];
  readonly onUnpin: (pin: Pin) => void;
}

export function Compare({ pins, onUnpin }: Props) {
  if (pins.length === 0) return null;
  return (
    <section class="compare card" aria-label="Compare">
      <h2>Compare</h2>
      {pins.length === 1 && <p class="quiet">Pin a second token to compare the two.</p>}
      <div class="scroll" tabIndex={0} role="group" aria-label="Pinned tokens">
        <table>
          <thead>
            <tr>
              <td />
              {pins.map((pin) => (
                <th scope="col" key={keyOf(pin)}>
                  <span class="text big">
                    <TokenText text={pin.entry.token} />
                  </span>
                  <span class="quiet"> token {pin.index + 1} </span>
                  <button type="button" class="small" onClick={() => onUnpin(pin)}>
                    Unpin
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            <Row name="Thought" pins={pins} cell={thought} />
            <Row name="Mixing weight" pins={pins} cell={(entry) => share(entry.mixing_weight)} />
            <Row name="With it" pins={pins} cell={(entry) => percentOf(entry.logprob)} />
            <Row name="Without it" pins={pins} cell={(entry) => percentOf(entry.base_logprob)} />
            <Row name="Change" pins={pins} cell={(entry) => nats(changeOf(entry))} />
            <Row name="Drawn without" pins={pins} cell={choice} />
            <Row name="Likely with" pins={pins} cell={alternatives("with")} />
            <Row name="Likely without" pins={pins} cell={alternatives("without")} />
          </tbody>
        </table>
      </div>
    </section>
  );
}

interface RowProps {
  readonly name: string;
  readonly pins: readonly Pin[];
  readonly cell: (entry: Thought) => ComponentChildren;
}

/** A row is left out if none of the tokens has it. */
function Row({ name, pins, cell }: RowProps) {
  const cells = pins.map((pin) => [keyOf(pin), cell(pin.entry)] as const);
  if (cells.every(([, content]) => content === null)) return null;
  return (
    <tr>
      <th scope="row">{name}</th>
      {cells.map(([key, content]) => (
        <td key={key}>{content ?? "–"}</td>
      ))}
    </tr>
  );
}

function keyOf(pin: Pin): string {
  return `${pin.runId}-${pin.index}`;
}

function thought(entry: Thought): ComponentChildren {
  if (entry.thought_token_ids.length === 0) return "none";
  return (
    <em class="text">
      <TokenText text={entry.thought} />
    </em>
  );
}

function choice(entry: Thought): ComponentChildren {
  const token = drawnWithout(entry);
  if (token === null) return null;
  return (
    <span class="text">
      <TokenText text={token} />
    </span>
  );
}

function alternatives(kind: "with" | "without"): (entry: Thought) => ComponentChildren {
  return function cell(entry) {
    const tokens: readonly TopLogprob[] | undefined =
      kind === "with" ? entry.top_logprobs : entry.base_top_logprobs;
    if (tokens === undefined || tokens.length === 0) return null;
    return <List kind={kind} tokens={tokens} chosen={entry.token_id} />;
  };
}

/** The same as the chart, as a table to read: a page of tokens at a time. */

import { useState } from "preact/hooks";
import { tokenName } from "../../text/signs";
import type { Thought } from "../../types";
import { guessKind } from "../choices";
import { OUTCOME } from "./moment";

const ROWS = 50;

export function PassTable({ thoughts }: { readonly thoughts: readonly Thought[] }) {
  const [isOpen, setOpen] = useState(false);
  const [page, setPage] = useState(0);
  const start = page * ROWS;
  const end = Math.min(start + ROWS, thoughts.length);
  return (
    <details class="timeline-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Passes as a table</summary>
      {isOpen && (
        <>
          <Rows thoughts={thoughts} start={start} end={end} />
          {thoughts.length > ROWS && (
            <p class="row">
              <button
                type="button"
                class="small"
                disabled={page === 0}
                onClick={() => setPage(page - 1)}
              >
                Earlier tokens
              </button>
              <span class="quiet">
                tokens {start + 1} to {end} of {thoughts.length}
              </span>
              <button
                type="button"
                class="small"
                disabled={end === thoughts.length}
                onClick={() => setPage(page + 1)}
              >
                Later tokens
              </button>
            </p>
          )}
        </>
      )}
    </details>
  );
}

interface RowsProps {
  readonly thoughts: readonly Thought[];
  readonly start: number;
  readonly end: number;
}

function Rows({ thoughts, start, end }: RowsProps) {
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Passes of the tokens">
      <table>
        <thead>
          <tr>
            <th scope="col">Token</th>
            <th scope="col">First pass</th>
            <th scope="col">Decided in</th>
            <th scope="col">Guess</th>
            <th scope="col">What became of it</th>
            <th scope="col">Dropped after it</th>
          </tr>
        </thead>
        <tbody>
          {thoughts.slice(start, end).map((thought, offset) => (
            <Row key={start + offset} index={start + offset} thought={thought} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ index, thought }: { readonly index: number; readonly thought: Thought }) {
  const { token, passes } = thought;
  if (passes === undefined) return null;
  const kind = guessKind(thought, passes);
  return (
    <tr>
      <th scope="row">
        {index + 1} <span class="text">{tokenName(token)}</span>
      </th>
      <td>{passes.first}</td>
      <td>{passes.last}</td>
      <td class="text">{kind === "bare" ? "–" : tokenName(passes.draft.token)}</td>
      <td>{OUTCOME[kind]}</td>
      <td>{passes.dropped.length}</td>
    </tr>
  );
}

/** What the two answers sum up to. */

import { count, nats } from "../../text/numbers";
import { tokenName } from "../../text/signs";
import type { Run } from "../../types";
import { firstChoice } from "../choices";
import { firstDifference, hasNoTokens, numDifferent, totals, type Totals as Sums } from "./difference";

interface Props {
  readonly left: Run;
  readonly right: Run;
  /** Heads the second column. */
  readonly name: string;
}

export function Totals({ left, right, name }: Props) {
  const columns = [totals(left), totals(right)];
  return (
    <>
      <p class="versus-difference" role="status">{differenceText(left, right)}</p>
      <div class="scroll" tabIndex={0} role="group" aria-label="Summary of both answers">
        <table>
          <thead>
            <tr>
              <td />
              <th scope="col">This answer</th>
              <th scope="col">{name}</th>
            </tr>
          </thead>
          <tbody>
            {ROWS.map(([label, cell]) => (
              <tr key={label}>
                <th scope="row">{label}</th>
                {columns.map((sums, index) => (
                  <td key={index}>{cell(sums)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

const UNKNOWN = "–";
const ROWS: readonly (readonly [string, (sums: Sums) => string])[] = [
  ["Tokens", (sums) => sums.tokens.toLocaleString("en")],
  ["Mean change through thoughts", ({ meanChange: mean }) => (mean === null ? UNKNOWN : nats(mean))],
  ["Tokens per second", ({ tokensPerSecond: speed }) => fixed(speed, 1)],
  ["Passes per token", ({ passesPerToken: passes }) => fixed(passes, 2)],
];

function fixed(number: number | null, digits: number): string {
  return number === null ? UNKNOWN : number.toFixed(digits);
}

function differenceText(left: Run, right: Run): string {
  const [a, b] = [firstChoice(left).thoughts, firstChoice(right).thoughts];
  const isGrowing = left.state === "streaming" || right.state === "streaming";
  if (hasNoTokens(left, right)) return isGrowing ? "" : textDifference(left, right);
  const first = firstDifference(a, b, isGrowing);
  if (first === null) return isGrowing ? "The same so far." : "Both answers are the same.";
  const [here, there] = [tokenOf(a[first]?.token), tokenOf(b[first]?.token)];
  const difference = `They first differ at token ${first + 1}: ${here} here, ${there} there`;
  if (isGrowing) return `${difference}.`;
  const number = numDifferent(a, b);
  return `${difference}. In all, ${count(number, "token")} ${number === 1 ? "differs" : "differ"}.`;
}

function textDifference(left: Run, right: Run): string {
  const isSame = firstChoice(left).text === firstChoice(right).text;
  return isSame ? "Both answers are the same." : "The answers differ.";
}

function tokenOf(token: string | undefined): string {
  return token === undefined ? "the end" : `“${tokenName(token)}”`;
}

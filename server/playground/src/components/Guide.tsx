/** How to read an answer: stands where an opened token will. */

import { weightColour } from "../text/shade";

/** Not measured, but the picture of the idea. */
const EXAMPLE = [
  ["The capital of France is", "", 0],
  [" Paris", "a city in the north", 0.7],
  [", on the", "a river", 0.3],
  [" Seine", "called the Seine", 0.9],
] as const;

/** @param isLate - whether there is an answer already; a phone has no room for both. */
export function Guide({ isLate }: { readonly isLate: boolean }) {
  return (
    <section class={isLate ? "guide late" : "guide"} aria-label="How to read it">
      <h2>How to read it</h2>
      <p class="text drawn" aria-hidden="true">
        {EXAMPLE.map(([words, thought, weight]) => (
          <span key={words} class="pair">
            <em>{thought}</em>
            <span class="token" style={{ backgroundColor: weightColour(weight) }}>
              {words}
            </span>
          </span>
        ))}
      </p>
      <p class="quiet">An invented example.</p>
      <ol>
        <li>Before a word, the model writes a short thought that is not part of the answer.</li>
        <li>
          It then mixes what it would say with the thought and without it. The deeper the colour, the
          more the thought counts.
        </li>
        <li>Click a word to read its thought, and to see what would stand there without it.</li>
      </ol>
    </section>
  );
}

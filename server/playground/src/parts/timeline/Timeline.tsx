/** The wavefront at work: which thought ran in which pass, and what became of each guess. */

import { useMemo, useState } from "preact/hooks";
import { count } from "../../text/numbers";
import type { Run } from "../../types";
import { firstChoice } from "../choices";
import { Chart } from "./Chart";
import { countPasses, type Counts } from "./counts";
import { layOut } from "./layout";
import { describe, momentAt } from "./moment";
import { PassControls } from "./PassControls";
import { PassTable } from "./PassTable";
import { usePointing } from "./usePointing";

interface Props {
  readonly run: Run;
  /** The open token, or null. */
  readonly selected: number | null;
  readonly onSelect: (index: number) => void;
}

export function Timeline({ run, selected, onSelect }: Props) {
  const { thoughts } = firstChoice(run);
  const counts = useMemo(() => countPasses(thoughts), [thoughts]);
  const layout = useMemo(() => layOut(thoughts), [thoughts]);
  const [chosen, setChosen] = useState<number | null>(null);
  usePointing();

  if (counts === null) return <Untold run={run} />;
  const newest = layout.numPasses - 1;
  const pass = Math.min(chosen ?? newest, newest);
  const sentence = describe(momentAt(layout, pass), layout.numPasses);
  return (
    <section class="timeline card" aria-label="Timeline">
      <h2>The wavefront</h2>
      <p class="quiet">
        While a thought runs, the engine goes on with a guess of its token. Each column is a pass
        through the model, each bar a thought.
      </p>
      <Numbers counts={counts} />
      <PassControls
        pass={pass}
        numPasses={layout.numPasses}
        sentence={sentence}
        onPass={(next) => setChosen(next >= newest ? null : next)}
      />
      <Chart layout={layout} pass={pass} selected={selected} onSelect={onSelect} />
      <Legend />
      <PassTable thoughts={thoughts} />
    </section>
  );
}

/** Nothing before the first token; a reason if the answer has tokens without passes. */
function Untold({ run }: { readonly run: Run }) {
  if (firstChoice(run).thoughts.length === 0) return null;
  return (
    <section class="timeline card" aria-label="Timeline">
      <h2>The wavefront</h2>
      <p class="quiet">
        This answer does not say in which passes its tokens were found. A request asks for it with
        “show_passes”.
      </p>
    </section>
  );
}

function Numbers({ counts }: { readonly counts: Counts }) {
  const items = [
    count(counts.tokens, "token"),
    `${counts.passes.toLocaleString("en")} passes`,
    `${counts.passesPerToken.toFixed(2)} passes per token`,
    `guesses: ${counts.accepted.toLocaleString("en")} right`,
    `${counts.rejected.toLocaleString("en")} wrong`,
    `${count(counts.dropped, "draft")} dropped`,
  ];
  return (
    <ul class="timeline-counts">
      {items.map((item) => (
        <li key={item}>{item}</li>
      ))}
    </ul>
  );
}

const KINDS = [
  ["kept", "guess was right"],
  ["rejected", "guess was wrong"],
  ["waited", "no guess fed"],
  ["bare", "no thought"],
  ["dropped", "dropped after a wrong guess"],
  ["running", "still running at this pass"],
] as const;

function Legend() {
  return (
    <ul class="timeline-legend" aria-label="Marks">
      {KINDS.map(([kind, text]) => (
        <li key={kind}>
          <span class={`timeline-bar ${kind}`} aria-hidden="true" /> {text}
        </li>
      ))}
    </ul>
  );
}

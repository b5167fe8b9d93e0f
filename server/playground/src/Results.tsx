/** The lower half of the page: the answer, and what can be studied of it. */

import { Answer } from "./components/Answer";
import { Compare } from "./components/Compare";
import { ErrorNotice } from "./components/ErrorNotice";
import { pinsOf } from "./components/selection";
import { SideBySide } from "./parts/compare/SideBySide";
import { ExportMenu } from "./parts/menus/ExportMenu";
import { Timeline } from "./parts/timeline/Timeline";
import type { Playground } from "./usePlayground";

export function Results({ playground }: { readonly playground: Playground }) {
  const { connection, control, selection, shading, setShading } = playground;
  const { run, failure } = control;
  const { selected, pins, select, togglePin, unpin } = selection;
  const compare = <Compare pins={pins} onUnpin={unpin} />;
  if (run === null) return compare;
  const isEmpty = (run.choices[0]?.text ?? "") === "";
  const notice = failure !== null && connection.state !== "locked" && (
    <ErrorNotice
      failure={failure}
      isPartial={!isEmpty}
      onRetry={() => control.start(run.endpoint, run.request)}
    />
  );
  if (isEmpty && run.state === "error") {
    return (
      <>
        {notice}
        {compare}
      </>
    );
  }
  return (
    <>
      {notice}
      <Answer
        run={run}
        shading={shading}
        selected={selected}
        pinned={pinsOf(pins, run)}
        onShading={setShading}
        onSelect={select}
        onPin={togglePin}
      >
        <ExportMenu run={run} />
      </Answer>
      {compare}
      <Timeline run={run} selected={selected} onSelect={select} />
      <SideBySide
        run={run}
        maxThoughtTokens={connection.card?.max_thought_tokens ?? 0}
        shading={shading}
        runRequest={control.runRequest}
      />
    </>
  );
}

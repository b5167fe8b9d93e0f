/** Both answers, a row for each index. Rows are drawn in groups, which a browser can skip. */

import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { nats } from "../../text/numbers";
import { changeOf, shade } from "../../text/shade";
import { tokenName, withSigns } from "../../text/signs";
import type { Run, Shading, Thought } from "../../types";
import { firstChoice } from "../choices";
import { rounded } from "../look/numbers";
import { firstDifference, hasNoTokens, isSame, pairs, type Pair } from "./difference";

interface Props {
  readonly left: Run;
  readonly right: Run;
  readonly name: string;
  readonly shading: Shading;
}

const GROUP = 64;

export function Columns({ left, right, name, shading }: Props) {
  const [a, b] = [firstChoice(left).thoughts, firstChoice(right).thoughts];
  const isGrowing = left.state === "streaming" || right.state === "streaming";
  const first = firstDifference(a, b, isGrowing);
  const length = Math.max(a.length, b.length);
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (first !== null && !isGrowing) showInTheMiddle(box.current, first);
  }, [first, isGrowing]);
  const starts = Array.from({ length: Math.ceil(length / GROUP) }, (_, index) => index * GROUP);
  return (
    <div class="versus-columns" ref={box} tabIndex={0} role="group" aria-label="Both answers">
      <div role="table" aria-label="Token by token" aria-rowcount={length + 1}>
        <div role="rowgroup" class="versus-head">
          <div role="row">
            <span role="columnheader">#</span>
            <span role="columnheader">This answer</span>
            <span role="columnheader">{name}</span>
          </div>
        </div>
        {hasNoTokens(left, right) && <Texts left={left} right={right} />}
        {starts.map((start) => (
          <Group
            key={start}
            start={start}
            left={a}
            right={b}
            first={first !== null && first >= start && first < start + GROUP ? first : null}
            shading={shading}
          />
        ))}
      </div>
    </div>
  );
}

function showInTheMiddle(box: HTMLElement | null, index: number): void {
  const row = box?.querySelector<HTMLElement>(`[aria-rowindex="${index + 2}"]`);
  if (box == null || row == null) return;
  const below = row.getBoundingClientRect().top - box.getBoundingClientRect().top;
  box.scrollTop += below - box.clientHeight / 2;
}

/** Answers whose tokens the server does not show. */
function Texts({ left, right }: Pick<Props, "left" | "right">) {
  return (
    <div role="rowgroup">
      <div role="row" class="versus-row">
        <span role="rowheader" aria-label="Text" />
        {[left, right].map((run) => (
          <span role="cell" key={run.id} class="text versus-text">
            {withSigns(firstChoice(run).text)}
          </span>
        ))}
      </div>
    </div>
  );
}

interface GroupProps {
  readonly start: number;
  readonly left: readonly Thought[];
  readonly right: readonly Thought[];
  /** The first difference if it is in this group. */
  readonly first: number | null;
  readonly shading: Shading;
}

/** Drawn again only while it grows: entries stay the same objects. */
function Group({ start, left, right, first, shading }: GroupProps) {
  const [a, b] = [left.slice(start, start + GROUP), right.slice(start, start + GROUP)];
  const ends = [a[0], b[0], a.length, b.length];
  return useMemo(
    () => (
      <div role="rowgroup" class={a.length === GROUP || b.length === GROUP ? "versus-whole" : ""}>
        {pairs(a, b).map((pair) => (
          <Row
            key={pair.index}
            pair={{ ...pair, index: start + pair.index }}
            isFirst={first === start + pair.index}
            shading={shading}
          />
        ))}
      </div>
    ),
    [...ends, start, first, shading],
  );
}

interface RowProps {
  readonly pair: Pair;
  readonly isFirst: boolean;
  readonly shading: Shading;
}

function Row({ pair, isFirst, shading }: RowProps) {
  const kind = isFirst ? " first" : isSame(pair) ? "" : " different";
  return (
    <div role="row" class={`versus-row${kind}`} aria-rowindex={pair.index + 2}>
      <span role="rowheader">
        {pair.index + 1}
        {isFirst && <small> first difference</small>}
      </span>
      <Cell thought={pair.left} shading={shading} />
      <Cell thought={pair.right} shading={shading} />
    </div>
  );
}

function Cell({ thought, shading }: { thought: Thought | undefined; shading: Shading }) {
  if (thought === undefined) return <span role="cell" class="versus-none" />;
  const hasThought = thought.thought_token_ids.length > 0;
  const background = shade(thought, shading);
  const measure =
    shading === "weight" ? `w ${rounded(thought.mixing_weight)}` : nats(changeOf(thought));
  return (
    <span role="cell" title={hasThought ? tokenName(thought.thought) : "no thought"}>
      <span class="text" style={background === undefined ? undefined : { backgroundColor: background }}>
        {tokenName(thought.token)}
      </span>{" "}
      {hasThought && <small>{measure}</small>}
    </span>
  );
}

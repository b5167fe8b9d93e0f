/** The answer: what was asked, and the tokens that came. */

import type { ComponentChildren } from "preact";
import { withSigns } from "../text/signs";
import type { Run, Shading } from "../types";
import { Legend } from "./Legend";
import { RunSummary } from "./RunSummary";
import { Segmented } from "./Segmented";
import { Tokens } from "./Tokens";

interface Props {
  readonly run: Run;
  readonly shading: Shading;
  readonly selected: number | null;
  readonly pinned: readonly number[];
  /** What can be done with the answer: copy, save, share. */
  readonly children: ComponentChildren;
  readonly onShading: (shading: Shading) => void;
  readonly onSelect: (index: number | null) => void;
  readonly onPin: (index: number) => void;
}

const SHADINGS = [
  ["weight", "Weight"],
  ["change", "Change"],
] as const;

export function Answer(props: Props) {
  const { run, shading } = props;
  const choice = run.choices[0];
  const entries = choice?.thoughts ?? [];
  return (
    <section class="answer" aria-label="Answer" aria-busy={run.state === "streaming"}>
      <div class="row spread tools">
        {entries.length > 0 && (
          <div class="row">
            <span class="quiet">Shade by</span>
            <Segmented
              label="Shade by"
              options={SHADINGS}
              value={shading}
              onChange={props.onShading}
            />
            <Legend shading={shading} />
          </div>
        )}
      </div>
      <div class={`text sheet ${run.state}`}>
        <Question run={run} />
        {entries.length > 0 ? (
          <Tokens key={run.id} entries={entries} unsaid={unsaidIn(run)} {...props} />
        ) : (
          <span class="untold">{withSigns(choice?.text ?? "")}</span>
        )}
        {run.state === "streaming" && <span class="caret" aria-hidden="true" />}
      </div>
      <RunSummary run={run} />
      {props.children}
    </section>
  );
}

/** The last token, if it ended the answer without being part of it, as `<eos>` does. */
function unsaidIn({ choices: [choice] }: Run): number | null {
  if (choice === undefined || choice.finish_reason !== "stop") return null;
  const token = choice.thoughts[choice.thoughts.length - 1]?.token ?? "";
  const isPart = choice.text.endsWith(token) || token.includes("\ufffd"); // a part of a character
  return isPart ? null : choice.thoughts.length - 1;
}

/** The prompt, or the turns of the conversation so far. */
function Question({ run }: { readonly run: Run }) {
  if (run.endpoint === "completions") {
    return <span class="asked">{withSigns(run.request.prompt ?? "")}</span>;
  }
  return (
    <>
      {(run.request.messages ?? []).map((message, index) => (
        <p key={index} class={`turn ${message.role}`}>
          <span class="who">{WHO[message.role]}</span>
          {withSigns(message.content)}
        </p>
      ))}
      <p class="who">{WHO.assistant}</p>
    </>
  );
}

const WHO = { system: "Instructions", user: "You", assistant: "Model" } as const;

/** The page: puts its parts together, and holds what they share. */

import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { Answer } from "./components/Answer";
import { Compare } from "./components/Compare";
import { ErrorNotice } from "./components/ErrorNotice";
import { Guide } from "./components/Guide";
import { Header } from "./components/Header";
import { Inspector } from "./components/Inspector";
import { KeyField } from "./components/KeyField";
import { KeyRequest } from "./components/KeyRequest";
import { LiveRegion } from "./components/LiveRegion";
import { Notice } from "./components/Notice";
import { PromptForm } from "./components/PromptForm";
import { SettingsPanel } from "./components/SettingsPanel";
import { focusToken } from "./components/Tokens";
import { pinsOf, useSelection } from "./components/selection";
import { SideBySide } from "./parts/compare/SideBySide";
import { ExportMenu } from "./parts/menus/ExportMenu";
import { Sharing } from "./parts/Sharing";
import { Timeline } from "./parts/timeline/Timeline";
import { useApiKey } from "./model/apiKey";
import { createClient } from "./model/client";
import { useConnection } from "./model/connection";
import { welcome } from "./model/examples";
import { useTheme } from "./model/theme";
import { buildRequest, endpointOf } from "./run/request";
import { useRun } from "./run/useRun";
import { afterAnswer, inMode, useSetup, withExample } from "./run/useSetup";
import type { Mode, Run, Shading } from "./types";

export function App() {
  const [theme, setTheme] = useTheme();
  const [apiKey, setApiKey] = useApiKey();
  const client = useMemo(() => createClient(apiKey), [apiKey]);
  const [connection, reconnect] = useConnection(client);
  const { card } = connection;
  const { setup, change, changeSettings } = useSetup(card);
  const [shading, setShading] = useState<Shading>("weight");

  const onEnd = useCallback((ended: Run) => change((old) => afterAnswer(old, ended)), [change]);
  const control = useRun(client, onEnd);
  const { run, failure, isRunning } = control;
  const { selected, pins, select, togglePin, unpin } = useSelection(run);
  const opened = selected === null ? undefined : run?.choices[0]?.thoughts[selected];

  useEffect(() => {
    if (failure?.kind === "locked" || failure?.kind === "loading") reconnect();
  }, [failure, reconnect]);

  const close = useCallback(() => {
    focusToken(selected);
    select(null);
  }, [selected, select]);
  useEscape(isRunning ? control.stop : selected === null ? null : close);

  const start = (): void => {
    if (card !== null) control.start(endpointOf(setup), buildRequest(setup, card));
  };
  const changeMode = (mode: Mode): void => {
    if (card !== null) change((old) => inMode(old, mode, card));
  };
  const startAnew = (): void => {
    control.show(null);
    change((old) => ({ ...old, messages: [] }));
  };
  const hello = card === null ? null : welcome(card, setup.mode === "chat");

  return (
    <div class={opened === undefined ? "page" : "page opened"}>
      <Header connection={connection} theme={theme} onTheme={setTheme} />
      <main>
        <h1>Watch it think before it speaks</h1>
        {hello !== null && <p class="promise">{hello.promise}</p>}
        <Notice connection={connection} />
        {connection.state === "locked" && (
          <KeyRequest
            key={apiKey}
            apiKey={apiKey}
            reason={connection.failure?.message ?? ""}
            onChange={setApiKey}
          />
        )}
        <PromptForm
          mode={setup.mode}
          hasChat={card?.has_chat_template ?? false}
          prompt={setup.prompt}
          welcome={hello}
          isRunning={isRunning}
          canRun={connection.state === "ready"}
          onMode={changeMode}
          onPrompt={(prompt) => change((old) => ({ ...old, prompt }))}
          onExample={(example) => change((old) => withExample(old, example))}
          onRun={start}
          onStop={control.stop}
          onNew={setup.mode === "chat" && setup.messages.length > 0 ? startAnew : null}
        >
          {card !== null && (
            <SettingsPanel card={card} settings={setup.settings} onChange={changeSettings} />
          )}
          {connection.state !== "locked" && (
            <KeyField apiKey={apiKey} isAsked={false} onChange={setApiKey} />
          )}
        </PromptForm>
        <Sharing setup={setup} onSetup={change} onShow={control.show} />
        {failure !== null && run !== null && (
          <ErrorNotice
            failure={failure}
            isPartial={(run.choices[0]?.text ?? "") !== ""}
            onRetry={() => control.start(run.endpoint, run.request)}
          />
        )}
        {run !== null && (
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
        )}
        <Compare pins={pins} onUnpin={unpin} />
        {run !== null && (
          <>
            <Timeline run={run} selected={selected} onSelect={select} />
            <SideBySide
              run={run}
              maxThoughtTokens={card?.max_thought_tokens ?? 0}
              shading={shading}
              runRequest={control.runRequest}
            />
          </>
        )}
      </main>
      {run !== null && selected !== null && opened !== undefined ? (
        <Inspector
          entry={opened}
          index={selected}
          isPinned={pinsOf(pins, run).includes(selected)}
          onPin={() => togglePin(selected)}
          onClose={close}
        />
      ) : (
        <Guide isLate={run !== null} />
      )}
      <LiveRegion run={run} selected={selected} />
    </div>
  );
}

/** Calls the action at Escape, wherever the focus is; null does nothing. */
function useEscape(action: (() => void) | null): void {
  useEffect(() => {
    if (action === null) return undefined;
    const onKey = (event: KeyboardEvent): void => {
      if (event.key === "Escape") action();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [action]);
}

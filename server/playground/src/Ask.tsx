/** The upper half of the page: what to ask, and what stands against it. */

import { KeyField } from "./components/KeyField";
import { KeyRequest } from "./components/KeyRequest";
import { Notice } from "./components/Notice";
import { PromptForm } from "./components/PromptForm";
import { SettingsPanel } from "./components/SettingsPanel";
import { showsThoughts } from "./model/card";
import { welcome } from "./model/examples";
import { Sharing } from "./parts/Sharing";
import { withExample } from "./run/useSetup";
import type { Playground } from "./usePlayground";

export function Ask({ playground }: { readonly playground: Playground }) {
  const { connection, control, apiKey, setApiKey } = playground;
  const { setup, change, changeSettings } = playground.setup;
  const { card } = connection;
  const isChat = setup.mode === "chat";
  const hello = card === null ? null : welcome(card, isChat);
  return (
    <>
      <h1>Watch it think before it speaks</h1>
      {card !== null && showsThoughts(card) && hello !== null && (
        <p class="promise">{hello.promise}</p>
      )}
      <Notice connection={connection} />
      {connection.state === "locked" && (
        <KeyRequest
          apiKey={apiKey}
          isAsking={connection.failure === null}
          onChange={setApiKey}
        />
      )}
      <PromptForm
        mode={setup.mode}
        hasChat={isChat || (card?.has_chat_template ?? false)}
        prompt={setup.prompt}
        welcome={hello}
        isRunning={control.isRunning}
        canRun={connection.state === "ready"}
        onMode={playground.changeMode}
        onPrompt={(prompt) => change((old) => ({ ...old, prompt }))}
        onExample={(example) => change((old) => withExample(old, example))}
        onRun={playground.start}
        onStop={control.stop}
        onNew={isChat && setup.messages.length > 0 ? playground.startAnew : null}
      >
        {card !== null && (
          <SettingsPanel card={card} settings={setup.settings} onChange={changeSettings} />
        )}
        {connection.state !== "locked" && (
          <KeyField apiKey={apiKey} isAsked={false} onChange={setApiKey} />
        )}
      </PromptForm>
      <Sharing setup={setup} onSetup={change} onShow={control.show} />
    </>
  );
}

/** The page: puts its parts together. */

import { Ask } from "./Ask";
import { Results } from "./Results";
import { Guide } from "./components/Guide";
import { Header } from "./components/Header";
import { Inspector } from "./components/Inspector";
import { LiveRegion } from "./components/LiveRegion";
import { pinsOf } from "./components/selection";
import { showsThoughts } from "./model/card";
import { useTheme } from "./model/theme";
import { type Playground, usePlayground } from "./usePlayground";

export function App() {
  const [theme, setTheme] = useTheme();
  const playground = usePlayground();
  const { run } = playground.control;
  const { selected } = playground.selection;
  return (
    <div class={selected === null ? "page" : "page opened"}>
      <Header connection={playground.connection} theme={theme} onTheme={setTheme} />
      <main>
        <Ask playground={playground} />
        <Results playground={playground} />
      </main>
      <Side playground={playground} />
      <LiveRegion run={run} selected={selected} />
    </div>
  );
}

/** The open token; the guide while none is open. */
function Side({ playground }: { readonly playground: Playground }) {
  const { run } = playground.control;
  const { selected, pins, togglePin } = playground.selection;
  const entry = selected === null ? undefined : run?.choices[0]?.thoughts[selected];
  if (run === null || selected === null || entry === undefined) {
    const { card } = playground.connection;
    return card === null || showsThoughts(card) ? <Guide isLate={run !== null} /> : null;
  }
  return (
    <Inspector
      entry={entry}
      index={selected}
      isPinned={pinsOf(pins, run).includes(selected)}
      onPin={() => togglePin(selected)}
      onClose={playground.close}
    />
  );
}

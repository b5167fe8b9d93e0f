/** What comes into the page and leaves it besides the answer: links to a setup, and saved runs. */

import type { Run, Setup } from "../types";
import { RunPicker } from "./menus/RunPicker";
import { ShareMenu } from "./menus/ShareMenu";
import { useOpened } from "./menus/useOpened";
import { useSharedSetup } from "./share/useSharedSetup";

interface Props {
  readonly setup: Setup;
  /** Takes the setup of a link or of a saved run. */
  readonly onSetup: (update: () => Setup) => void;
  readonly onShow: (run: Run) => void;
}

export function Sharing({ setup, onSetup, onShow }: Props) {
  const badLink = useSharedSetup(onSetup);
  const { runs, chosen, open, choose } = useOpened(onShow, onSetup);
  return (
    <>
      <ShareMenu setup={setup} onOpen={open} />
      <RunPicker runs={runs} chosen={chosen} onChoose={choose} />
      {badLink !== "" && (
        <p class="outcome-failed" role="alert">
          {badLink}
        </p>
      )}
    </>
  );
}

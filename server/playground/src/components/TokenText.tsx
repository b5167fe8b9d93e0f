/** A token, or some, on one line: spaces at the ends are seen, because they are part of it. */

import { tokenName } from "../text/signs";

const ENDS = /^( *)(.*?)( *)$/s;

export function TokenText({ text }: { readonly text: string }) {
  if (text.trim() === "") return <span class="sign">{tokenName(text)}</span>;
  const [, before = "", words = "", after = ""] = ENDS.exec(text) ?? [];
  return (
    <>
      <Spaces count={before.length} />
      {tokenName(words)}
      <Spaces count={after.length} />
    </>
  );
}

function Spaces({ count }: { readonly count: number }) {
  if (count === 0) return null;
  return (
    <span class="sign" aria-hidden="true">
      {"·".repeat(count)}
    </span>
  );
}

/**
 * What the person has set up, in the fragment of an address: `#qstar1=...`. Browsers do not send
 * the fragment to any server. The key is not part of it.
 */

import { InvalidDataError, object, oneOf, parsedJson, text, type Reader } from "../check";
import { messages, settings } from "../fields";
import { fromBase64url, toBase64url } from "./base64url";
import { deflate, inflate, TooLargeError } from "./deflate";
import type { Setup } from "../../types";

/** Many programs cut longer addresses, or refuse them. */
export const MOST_CHARACTERS = 16_000;
const MOST_BYTES = 1_000_000;
/** Below this, compression saves little, and any base64 decoder can read the link. */
const COMPRESS_FROM_BYTES = 500;

const PLAIN = "#qstar1=";
const DEFLATED = "#qstar1z=";
const OTHER_VERSION = /^#qstar\d+z?=/;

/** Thrown if a setup is too large for a link; the message says what to do instead. */
export class TooLongError extends Error {
  override readonly name = "TooLongError";
}

const setup: Reader<Setup> = object<Setup>({
  mode: oneOf("completion", "chat"),
  prompt: text,
  messages,
  settings,
});

/**
 * The fragment, with its `#`.
 *
 * @throws TooLongError
 */
export async function toFragment(state: Setup): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(named(state)));
  const isShort = bytes.length < COMPRESS_FROM_BYTES;
  const fragment = isShort
    ? PLAIN + toBase64url(bytes)
    : DEFLATED + toBase64url(await deflate(bytes));
  if (fragment.length > MOST_CHARACTERS) {
    const length = fragment.length.toLocaleString("en");
    const most = MOST_CHARACTERS.toLocaleString("en");
    throw new TooLongError(
      `This is too long for a link: ${length} characters, and ${most} are allowed. ` +
        "Export it as JSON, and send the file.",
    );
  }
  return fragment;
}

/**
 * The setup of a fragment; null if the address has none of ours.
 *
 * @throws InvalidDataError The fragment was cut, changed, or made by another version.
 */
export async function fromFragment(fragment: string): Promise<Setup | null> {
  const prefix = [PLAIN, DEFLATED].find((each) => fragment.startsWith(each));
  if (prefix === undefined) {
    if (!OTHER_VERSION.test(fragment)) return null;
    throw new InvalidDataError("This link was made by another version of the page.");
  }
  if (fragment.length > MOST_CHARACTERS) {
    throw new InvalidDataError(`The link has more than ${MOST_CHARACTERS} characters.`);
  }
  const bytes = fromBase64url(fragment.slice(prefix.length));
  if (bytes === null) throw new InvalidDataError("The link is damaged: it is not base64url.");
  const json = prefix === PLAIN ? bytes : await inflated(bytes);
  return setup(parsedJson(decoded(json), "The content of the link"), "");
}

/** Only the fields of a setup, whatever else the object carries. */
function named(state: Setup): Setup {
  return setup(JSON.parse(JSON.stringify(state)), "");
}

async function inflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  try {
    return await inflate(bytes, MOST_BYTES);
  } catch (error) {
    if (error instanceof TooLargeError) {
      throw new InvalidDataError(`The link unpacks to more than ${MOST_BYTES} bytes.`);
    }
    throw new InvalidDataError("The link is damaged: it cannot be unpacked.");
  }
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InvalidDataError("The link is damaged: it is not UTF-8.");
  }
}

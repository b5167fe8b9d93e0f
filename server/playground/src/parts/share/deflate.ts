/** Compression that browsers have built in. */

/** Thrown if data unpacks to more than is allowed. */
export class TooLargeError extends Error {
  override readonly name = "TooLargeError";
}

export async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return collected(bytes, new CompressionStream("deflate-raw"), Number.POSITIVE_INFINITY);
}

/**
 * Unpacks, and stops as soon as there is too much: a few bytes can stand for gigabytes.
 *
 * @param most in bytes.
 * @throws TooLargeError
 * @throws TypeError The bytes are not such data.
 */
export async function inflate(bytes: Uint8Array<ArrayBuffer>, most: number): Promise<Uint8Array> {
  return collected(bytes, new DecompressionStream("deflate-raw"), most);
}

async function collected(
  bytes: Uint8Array<ArrayBuffer>,
  change: CompressionStream | DecompressionStream,
  most: number,
): Promise<Uint8Array> {
  const reader = new Blob([bytes]).stream().pipeThrough(change).getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    length += part.value.length;
    if (length > most) {
      await reader.cancel();
      throw new TooLargeError(`more than ${most} bytes`);
    }
    parts.push(part.value);
  }
  const whole = new Uint8Array(length);
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}

/** The client of the server that the page comes from. */

import { QStarClient } from "qstar-client";

/**
 * A client without retries: a person sees each error, and decides.
 *
 * @param apiKey - "" sends none. One that cannot be a header is not sent either, and the server asks again.
 */
export function createClient(apiKey: string): QStarClient {
  const isSendable = /^[!-~]+$/.test(apiKey);
  return new QStarClient({ baseURL: "", apiKey: isSendable ? apiKey : null, maxRetries: 0 });
}

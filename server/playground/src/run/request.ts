/** Builds the body of a request from what the person chose, and back. */

import { type Card, NO_SETTINGS, numAlternatives } from "../model/card";
import type { Endpoint, Message, RequestBody, Settings, Setup } from "../types";

/** Settings that are sent under their own names; null is not sent. */
const NAMES = [
  "temperature",
  "top_p",
  "top_k",
  "seed",
  "num_thought_tokens",
  "thought_temperature",
  "think_threshold",
  "thinking",
] as const;

export function endpointOf(setup: Setup): Endpoint {
  return setup.mode === "chat" ? "chat" : "completions";
}

/** The body, without `stream`. Details are asked for as far as the server gives them. */
export function buildRequest(setup: Setup, card: Card): RequestBody {
  return {
    model: card.id,
    ...(setup.mode === "chat" ? { messages: conversation(setup) } : { prompt: setup.prompt }),
    ...sentSettings(setup.settings),
    ...details(card),
  };
}

/** The turns to send, with the message that is being written. */
function conversation(setup: Setup): Message[] {
  return [...setup.messages, { role: "user", content: setup.prompt }];
}

function sentSettings(settings: Settings): RequestBody {
  const sent: Record<string, unknown> = { max_tokens: settings.max_tokens };
  for (const name of NAMES) if (settings[name] !== null) sent[name] = settings[name];
  if (settings.stop.length > 0) sent["stop"] = settings.stop;
  return sent;
}

function details(card: Card): RequestBody {
  if (!card.thoughts_allowed) return {};
  const count = numAlternatives(card);
  return {
    show_thoughts: true,
    show_passes: true,
    ...(count > 0 ? { thought_top_logprobs: count } : {}),
  };
}

/** What makes a request again; fields that the page has no control for are left out. */
export function setupOf(endpoint: Endpoint, request: RequestBody): Setup {
  const { settings, messages } = { settings: settingsOf(request), messages: request.messages ?? [] };
  if (endpoint === "completions") {
    return { mode: "completion", prompt: request.prompt ?? "", messages: [], settings };
  }
  const last = messages[messages.length - 1];
  const isOpen = last?.role === "user";
  return {
    mode: "chat",
    prompt: isOpen ? last.content : "",
    messages: isOpen ? messages.slice(0, -1) : messages,
    settings,
  };
}

function settingsOf(request: RequestBody): Settings {
  return {
    max_tokens: request.max_tokens ?? NO_SETTINGS.max_tokens,
    temperature: request.temperature ?? null,
    top_p: request.top_p ?? null,
    top_k: request.top_k ?? null,
    seed: request.seed ?? null,
    num_thought_tokens: request.num_thought_tokens ?? null,
    thought_temperature: request.thought_temperature ?? null,
    think_threshold: request.think_threshold ?? null,
    thinking: request.thinking ?? null,
    stop: request.stop ?? [],
  };
}

"""`qstar generate`: continue one text."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from qstar_infer.cli import options
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.cli.printer import AnswerPrinter
from qstar_infer.cli.streams import text_of_argument
from qstar_infer.cli.terminal import json_text
from qstar_infer.engine_args import EngineArgs
from qstar_infer.outputs import RequestOutput
from qstar_infer.sampling_params import SamplingParams

if TYPE_CHECKING:
    from qstar_infer.llm import LLM


@with_engine_options
def generate(
    prompt: Annotated[
        str | None, typer.Argument(help="The text to continue; read from a pipe if absent.")
    ] = None,
    *,
    max_tokens: options.MaxTokens = 128,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    seed: options.Seed = None,
    num_thought_tokens: options.NumThoughtTokens = None,
    thinking: options.Thinking = None,
    think_threshold: options.ThinkThreshold = None,
    show_thoughts: options.ShowThoughts = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object when the answer is complete.")
    ] = False,
    engine_args: EngineArgs,
) -> None:
    """Continue a text, and show the thought before each token."""
    text = text_of_argument(prompt) if prompt is not None else _piped_prompt()
    given = options.given_params(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        num_thought_tokens=num_thought_tokens,
        thinking=options.thinking_rule(thinking),
        think_threshold=think_threshold,
    )
    with options.open_llm(engine_args) as llm:
        params = options.request_params(llm.model_info.sampling_defaults, given)
        if as_json:
            _print_json(llm.generate([text], params)[0], with_thoughts=show_thoughts is not False)
        else:
            _stream(llm, text, params, show_thoughts)


def _stream(llm: "LLM", prompt: str, params: SamplingParams, show_thoughts: bool | None) -> None:
    console = Console(highlight=False)
    is_wanted = console.is_terminal if show_thoughts is None else show_thoughts
    printer = AnswerPrinter(console, show_thoughts=is_wanted)
    started = time.perf_counter()
    try:
        for delta in llm.stream(prompt, params):
            for output in delta.outputs:
                printer.push(output)
    finally:
        printer.finish()  # also before an error
        if console.is_terminal:
            printer.end_line()
    if console.is_terminal:
        printer.print_summary(time.perf_counter() - started)


def _print_json(output: RequestOutput, *, with_thoughts: bool) -> None:
    completion = output.outputs[0]
    answer: dict[str, Any] = {
        "prompt": output.prompt,
        "text": completion.text,
        "token_ids": completion.token_ids,
        "finish_reason": completion.finish_reason,
        "stop_reason": completion.stop_reason,
    }
    if with_thoughts:
        answer["thoughts"] = [thought.as_entry() for thought in completion.thoughts]
    sys.stdout.write(json_text(answer, encoding=sys.stdout.encoding) + "\n")


def _piped_prompt() -> str:
    if sys.stdin.isatty():
        raise typer.BadParameter("give a prompt, or pipe one in", param_hint="PROMPT")
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")  # a byte order mark is no text
    except UnicodeDecodeError:
        raise typer.BadParameter("the piped prompt is not UTF-8", param_hint="PROMPT") from None
    if not text.strip():
        raise typer.BadParameter("the piped prompt is empty", param_hint="PROMPT")
    return text.removesuffix("\n")

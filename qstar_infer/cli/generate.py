"""`qstar generate`: continue one text."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from qstar_infer.cli import options
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.cli.printer import AnswerPrinter, view_of
from qstar_infer.cli.reading.ability import can_read, needed_terminal
from qstar_infer.cli.recording import run_of, with_alternatives
from qstar_infer.cli.streams import text_of_argument
from qstar_infer.cli.terminal import json_text
from qstar_infer.engine_args import EngineArgs
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.saved_run import SavedRun, check_new_file, write_saved_runs

if TYPE_CHECKING:
    from qstar_infer.llm import LLM

HINT = "--look reads the thoughts"


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
    look: Annotated[
        bool, typer.Option("--look", help="Read the thoughts in the answer, token by token.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Save the answer and its thoughts; `qstar show` opens it."
        ),
    ] = None,
    engine_args: EngineArgs,
) -> None:
    """Continue a text, and show the thought before each token."""
    _check_views(as_json=as_json, look=look, save=save)
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
        if look or save is not None:
            params = with_alternatives(params)
        if as_json:
            run = _print_json(llm, text, params, with_thoughts=show_thoughts is not False)
        else:
            run = _stream(llm, text, params, show_thoughts, hint="" if look else HINT)
    if save is not None:
        write_saved_runs(save, [run])
    if look:
        from qstar_infer.cli.reading.app import read_runs  # imports prompt_toolkit

        read_runs([run], Console())


def _check_views(*, as_json: bool, look: bool, save: Path | None) -> None:
    """Check, before the model is loaded, that the answer can go where it should."""
    if look and as_json:
        raise typer.BadParameter("leave out --json or --look", param_hint="--look")
    if look and not can_read(Console()):
        raise typer.BadParameter(needed_terminal(), param_hint="--look")
    if save is not None:
        check_new_file(save)


def _stream(
    llm: "LLM", prompt: str, params: SamplingParams, show_thoughts: bool | None, *, hint: str
) -> SavedRun:
    console = Console(highlight=False)
    printer = AnswerPrinter(console, view=view_of(console, show_thoughts))
    num_prompt_tokens = 0
    started = time.perf_counter()
    try:
        for delta in llm.stream(prompt, params):
            num_prompt_tokens = len(delta.prompt_token_ids)
            for output in delta.outputs:
                printer.push(output)
    finally:
        printer.finish()  # also before an error
        if console.is_terminal:
            printer.end_line()
    seconds = time.perf_counter() - started
    if console.is_terminal:
        printer.print_legend()
        printer.print_counts(seconds, hint=hint if can_read(console) else "")
    return run_of(
        printer.answer,
        params,
        model=llm.model_info.name,
        prompt={"prompt": prompt},
        num_prompt_tokens=num_prompt_tokens,
        seconds=seconds,
    )


def _print_json(
    llm: "LLM", prompt: str, params: SamplingParams, *, with_thoughts: bool
) -> SavedRun:
    started = time.perf_counter()
    output = llm.generate([prompt], params)[0]
    seconds = time.perf_counter() - started
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
    return run_of(
        completion,
        params,
        model=llm.model_info.name,
        prompt={"prompt": prompt},
        num_prompt_tokens=len(output.prompt_token_ids),
        seconds=seconds,
    )


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

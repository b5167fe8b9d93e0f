"""`qstar chat`: a conversation in the terminal."""

import sys
from dataclasses import replace
from typing import Annotated

import typer

from qstar_infer.cli import options
from qstar_infer.cli.chat_commands import run_command
from qstar_infer.cli.chat_input import (
    LineNotUtf8Error,
    LineSource,
    PipedLines,
    TypedLines,
    has_input_line,
)
from qstar_infer.cli.conversation import DEFAULT_MAX_TOKENS, Conversation
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.cli.streams import text_of_argument
from qstar_infer.engine_args import EngineArgs

FAILED_EXIT_CODE = 1
"""Of a piped conversation in which a message has no answer."""
GREETING = "Ask something. /help lists the commands, /quit ends; Ctrl-C stops an answer"


Model = Annotated[
    str | None,
    typer.Argument(
        help="lab (the packaged lab model), a checkpoint directory, a .gguf file or a hub id; "
        "without it, the default model."
    ),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", help="Another way to give the model.")
]
History = Annotated[
    bool,
    typer.Option(
        help="Keep the lines that you type, for the next chat.",
        envvar="QSTAR_HISTORY",
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        help="Most visible tokens of an answer.",
        min=1,
        show_default=f"{DEFAULT_MAX_TOKENS}, or as many as fit",
    ),
]


@with_engine_options
def chat(
    model: Model = None,
    *,
    model_option: ModelOption = None,
    system: Annotated[
        str | None, typer.Option(help="System message, before the conversation.")
    ] = None,
    max_tokens: MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    top_k: options.TopK = None,
    seed: options.Seed = None,
    num_thought_tokens: options.NumThoughtTokens = None,
    thinking: options.Thinking = None,
    think_threshold: options.ThinkThreshold = None,
    show_thoughts: options.ShowThoughts = None,
    history: History = True,
    engine_args: EngineArgs,
) -> None:
    """Chat with a model that has a chat template, and show its thoughts."""
    engine_args = _with_model(engine_args, model, model_option)
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
        opening = None if system is None else text_of_argument(system)
        conversation = Conversation(
            llm,
            replace(params, max_tokens=max_tokens),
            system=opening,
            show_thoughts=show_thoughts,
        )
        _run(conversation, _open_lines(conversation, keeps_history=history))
    if conversation.has_failed and not sys.stdin.isatty():
        raise typer.Exit(FAILED_EXIT_CODE)


def _with_model(args: EngineArgs, model: str | None, model_option: str | None) -> EngineArgs:
    """The settings with the model of the option; that of the argument is in them already."""
    if model_option is None:
        return args
    if model is not None:
        raise typer.BadParameter("is given twice: leave out --model", param_hint="MODEL")
    return replace(args, model=model_option)


def _run(conversation: Conversation, lines: LineSource) -> None:
    """Answer each line until /quit or the end of the input."""
    conversation.note(GREETING)
    while not conversation.is_over and (line := _next_line(conversation, lines)) is not None:
        if line.startswith("/"):
            run_command(conversation, line)
        elif line:
            conversation.ask(line)


def _next_line(conversation: Conversation, lines: LineSource) -> str | None:
    """The next line. In a terminal, Ctrl-C and a line that is not UTF-8 give an empty one."""
    try:
        return lines.read()
    except LineNotUtf8Error:
        conversation.show_error("the line is not UTF-8, so it was not sent. Type it again")
    except KeyboardInterrupt:
        conversation.note("\nPress Ctrl-D or type /quit to end the chat")
    return ""


def _open_lines(conversation: Conversation, *, keeps_history: bool) -> LineSource:
    if not sys.stdin.isatty():
        return PipedLines()
    if not has_input_line(conversation.console):
        return TypedLines()
    from qstar_infer.cli.history import open_history  # imports prompt_toolkit
    from qstar_infer.cli.prompt_line import PromptLines

    history, trouble = open_history(is_kept=keeps_history)
    if trouble:
        conversation.note(trouble)
    return PromptLines(conversation.console, history)

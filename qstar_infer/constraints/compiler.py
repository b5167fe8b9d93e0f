"""Compiles what requests ask for, with limits on size and time."""

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from functools import partial
from threading import Lock

from llguidance import LLMatcher, LLParserLimits

from qstar_infer.constraints.deep_stack import on_deep_stack
from qstar_infer.constraints.grammar_source import cannot_follow, grammar_source
from qstar_infer.constraints.text_matcher import EndTokens, MaskBudget, TextMatcher
from qstar_infer.constraints.vocabulary import GrammarVocabulary
from qstar_infer.errors import QueueFullError
from qstar_infer.structured_outputs import StructuredOutputs
from qstar_infer.text.token_text import TokenText

COMPILE_TIMEOUT_S = 10.0
"""Most seconds to wait for a grammar; the limits below let hardly any take one."""
_NUM_THREADS = 2
_NUM_CACHED = 32
_LIMITS = LLParserLimits(
    initial_lexer_fuel=200_000,  # bounds compiling to about a second
    step_max_items=20_000,  # bounds a mask to about 0.05 s
    max_lexer_states=50_000,  # 1 to 2 kB each
    verbose_errors=False,
)


class CompiledGrammar:
    """A grammar that can be followed, any number of times. Thread-safe."""

    def __init__(self, source: str, vocabulary: GrammarVocabulary) -> None:
        self._source = source
        self._vocabulary = vocabulary
        self._lock = Lock()
        self._matcher = self._compile()

    @property
    def error(self) -> str:
        """Why it cannot be followed; empty if it can."""
        return self._matcher.get_error()

    def start(self, eos_token_ids: frozenset[int], budget: MaskBudget) -> TextMatcher:
        """Begin an output.

        Args:
            eos_token_ids: end it, where the grammar lets it end.
            budget: one for all completions of a request.
        """
        return TextMatcher(
            self._copy,
            EndTokens(eos_token_ids=eos_token_ids, vocab_size=self._vocabulary.end_id),
            budget=budget,
            compile_again=self._compile,
        )

    def _copy(self) -> LLMatcher:
        with self._lock:
            return self._matcher.deep_copy()

    def _compile(self) -> LLMatcher:
        tokenizer = self._vocabulary.tokenizer
        return on_deep_stack(
            lambda: LLMatcher(tokenizer, self._source, log_level=0, limits=_LIMITS)
        )


class GrammarCompiler:
    """Compiles on threads of its own, two at a time, and keeps the newest grammars. Thread-safe."""

    def __init__(self, token_text: TokenText, *, vocab_size: int) -> None:
        self._vocabulary = GrammarVocabulary(token_text, vocab_size=vocab_size)
        self._cached: OrderedDict[StructuredOutputs, CompiledGrammar] = OrderedDict()
        self._lock = Lock()
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="qstar-grammar")

    def compile(self, form: StructuredOutputs) -> CompiledGrammar:
        """Compile a form, or wait until it is. Call it off an event loop.

        Raises:
            RequestError: it is malformed, not supported, too large or too slow.
            QueueFullError: other grammars are being compiled, for as long as it may wait.
        """
        with self._lock:
            if form in self._cached:
                self._cached.move_to_end(form)
                return self._cached[form]
        grammar = self._result(self._threads.submit(partial(self._compile, form)), form)
        with self._lock:
            self._cached[form] = grammar
            if len(self._cached) > _NUM_CACHED:
                self._cached.popitem(last=False)
        return grammar

    def _result(
        self, future: "Future[CompiledGrammar]", form: StructuredOutputs
    ) -> CompiledGrammar:
        try:
            return future.result(timeout=COMPILE_TIMEOUT_S)
        except TimeoutError:
            if future.cancel():
                raise QueueFullError("other grammars are being compiled; try again later") from None
            raise cannot_follow(
                form, f"compiling it took longer than {COMPILE_TIMEOUT_S:g} seconds"
            ) from None

    def _compile(self, form: StructuredOutputs) -> CompiledGrammar:
        grammar = CompiledGrammar(grammar_source(form), self._vocabulary)
        if grammar.error:
            raise cannot_follow(form, grammar.error)
        # The first step shows much of what is too complex, before others have to wait for it.
        beginning = grammar.start(frozenset(), MaskBudget())
        allowed = beginning.allowed_after(())
        if allowed is None:
            raise cannot_follow(form, "it allows only the empty text")
        error = beginning.error_after(())
        if error is not None:
            raise cannot_follow(form, error)
        return grammar

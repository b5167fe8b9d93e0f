"""Makes a tokenizer of whole tokens from a config."""

from jinja2.exceptions import TemplateError
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qstar_infer.checkpoint.scratch.config import VocabularyConfig
from qstar_infer.errors import ConfigError


def make_tokenizer(config: VocabularyConfig) -> PreTrainedTokenizerFast:
    """A tokenizer that gives each match of the pattern its id; text is decoded as it was.

    Raises:
        ConfigError: the pattern is no regular expression, it does not find a token, or the chat
            template fails.
    """
    ids = {token: index for index, token in enumerate(config.tokens)}
    backend = Tokenizer(models.WordLevel(ids, unk_token=config.unk_token))
    backend.pre_tokenizer = pre_tokenizers.Split(_regex(config.pattern), "isolated")
    backend.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        eos_token=config.eos_token,
        unk_token=config.unk_token,
        clean_up_tokenization_spaces=False,
    )
    _check_pattern(tokenizer, config)
    if config.chat_template is not None:
        tokenizer.chat_template = config.chat_template
        _check_chat_template(tokenizer)
    return tokenizer


def _regex(pattern: str) -> Regex:
    try:
        return Regex(pattern)
    except Exception as error:  # tokenizers has no class for it
        raise ConfigError(
            f"vocabulary.pattern = {pattern!r} is no regular expression: {error}. Correct it."
        ) from error


def _check_pattern(tokenizer: PreTrainedTokenizerFast, config: VocabularyConfig) -> None:
    """Check that each token, as a text, is found as itself."""
    for token_id, token in enumerate(config.tokens):
        found = tokenizer(token)["input_ids"]
        if found != [token_id]:
            pieces = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(found)))
            raise ConfigError(
                f"vocabulary.pattern = {config.pattern!r} splits the token {token!r} into "
                f"{pieces}. Change the pattern so that it matches each token as a whole, or remove "
                "the token."
            )


def _check_chat_template(tokenizer: PreTrainedTokenizerFast) -> None:
    message = {"role": "user", "content": "a"}
    try:
        tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    except Exception as error:  # whatever the template raises
        if type(error) is TemplateError:
            return  # it refuses this message by `raise_exception`, so it works
        raise ConfigError(
            f"vocabulary.chat_template fails on one message of a user: {error}. Correct it."
        ) from error

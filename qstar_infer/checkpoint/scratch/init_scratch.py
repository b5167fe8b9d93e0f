"""`init_scratch`: an untrained model and its tokenizer."""

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel

from qstar_infer.checkpoint.backbone import finish
from qstar_infer.checkpoint.scratch.config import ScratchConfig
from qstar_infer.checkpoint.scratch.tokenizer import make_tokenizer
from qstar_infer.model.quiet_star import QuietStarModel


def init_scratch(config: ScratchConfig) -> QuietStarModel:
    """Make an untrained model, float32, on the CPU, without thought parts.

    The same config gives the same weights. `add_fresh_parts` gives it thought parts; that is best
    done after training, since their vectors start as rows of the embedding.

    Raises:
        ConfigError: the vocabulary does not fit its pattern, or the chat template fails.
    """
    tokenizer = make_tokenizer(config.vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        backbone: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            _llama_config(config), dtype=torch.float32
        )
    return QuietStarModel(finish(backbone), tokenizer).eval()


def _llama_config(config: ScratchConfig) -> transformers.LlamaConfig:
    vocabulary, llama = config.vocabulary, config.llama
    return transformers.LlamaConfig(
        vocab_size=len(vocabulary.tokens),
        hidden_size=llama.hidden_size,
        intermediate_size=llama.intermediate_size,
        num_hidden_layers=llama.num_layers,
        num_attention_heads=llama.num_heads,
        num_key_value_heads=llama.num_heads,
        max_position_embeddings=llama.max_positions,
        initializer_range=llama.initializer_range,
        tie_word_embeddings=llama.tied,
        bos_token_id=None,
        eos_token_id=vocabulary.tokens.index(vocabulary.eos_token),
        pad_token_id=None,
        dtype="float32",
    )

"""An adapter that cannot be merged exactly is refused by name."""

from typing import Any

import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.adapter import config

from .toys import QV, Workshop, edit_config, read_config, refused

CANNOT_MERGE: dict[str, Any] = {
    "alora_invocation_tokens": [5, 6],
    "arrow_config": {"top_k": 2},
    "kasa_config": {},
    "layer_replication": [[0, 2], [1, 2]],
    "megatron_config": {"hidden_size": 16},
    "monteclora_config": {"num_samples": 2},
    "use_bdlora": {"nblocks": 2},
    "use_qalora": True,
    "velora_config": {"num_groups": 2},
    "a_key_of_a_later_peft": 0,
}


@pytest.mark.parametrize("key", CANNOT_MERGE)
def test_a_mode_that_cannot_be_merged(workshop: Workshop, key: str) -> None:
    adapter = workshop.adapter(f"refused {key}", workshop.base("llama"), **QV)
    edit_config(adapter, **{key: CANNOT_MERGE[key]})
    refused(adapter, rf"adapter_config\.json holds 1 key \({key}\).*Only adapters that can be merg")


def test_an_unknown_key_that_is_not_set_changes_nothing(workshop: Workshop) -> None:
    adapter = workshop.adapter("unset", workshop.base("llama"), **QV)
    edit_config(adapter, a=None, b=False, c=[], d={}, e="")
    load_model(adapter, device="cpu")


def test_each_key_that_peft_writes_is_known(workshop: Workshop) -> None:
    """A later peft with another mode fails here first; until then the mode is refused if used."""
    adapter = workshop.adapter("keys", workshop.base("llama"), **QV)
    known = CANNOT_MERGE.keys() | config._HONOURED | config._WITHOUT_EFFECT.keys()
    assert read_config(adapter).keys() <= known


@pytest.mark.parametrize("value", ["pissa_niter_4", "corda", "loftq", "unheard of", 3])
def test_a_start_that_cannot_be_computed_again(workshop: Workshop, value: object) -> None:
    """`pissa_niter_4` draws random numbers: peft itself reads other weights each time."""
    adapter = workshop.adapter(f"start {value}", workshop.base("llama"), **QV)
    edit_config(adapter, init_lora_weights=value)
    refused(adapter, f"init_lora_weights = {value!r}, with which training starts from a changed")


def test_other_kinds_of_adapters(workshop: Workshop) -> None:
    adapter = workshop.adapter("kinds", workshop.base("llama"), **QV)
    others = {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING} - {"LORA"}
    assert {"ADALORA", "IA3", "LOHA", "VERA", "OFT", "XLORA", "PREFIX_TUNING"} <= others
    for kind in (*sorted(others), "unheard of", None):
        edit_config(adapter, peft_type=kind)
        refused(adapter, f"peft_type {kind!r}; only LORA")


def test_another_task(workshop: Workshop) -> None:
    adapter = workshop.adapter("task", workshop.base("llama"), **QV)
    edit_config(adapter, task_type="SEQ_CLS")
    refused(adapter, "task_type 'SEQ_CLS'")
    edit_config(adapter, task_type=None)
    load_model(adapter, device="cpu")


def test_a_bias_for_layers_without_one(workshop: Workshop) -> None:
    """A stock Llama has no place for it."""
    adapter = workshop.adapter("lora_bias", workshop.base("llama"), **QV, lora_bias=True)
    refused(adapter, "base layer has no bias")


def test_a_layer_whose_merge_differs_from_its_forward_pass(workshop: Workshop) -> None:
    """Nothing in the config says so: peft's layer for tokens hides the adapter of a tied head."""
    adapter = workshop.adapter(
        "hidden",
        workshop.base("tied"),
        target_modules=["q_proj", "lm_head"],
        trainable_token_indices=[3, 42],
    )
    refused(adapter, "adapter of lm_head cannot be merged: the merged layer is off by")

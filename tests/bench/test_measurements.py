"""`qstar bench context`, `batch`, `prefill` and `memory` on a toy checkpoint."""

import json
import statistics
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qstar_infer.bench.batch import PEERS, BatchConfig, run_batch
from qstar_infer.bench.context import ContextConfig, run_context
from qstar_infer.bench.memory import MemoryConfig, run_memory
from qstar_infer.bench.peers.stock import StockCache, StockGenerate, load_stock
from qstar_infer.bench.prefill import PrefillConfig, run_prefill
from qstar_infer.cli.main import app
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError

CHECKPOINT = str(Path(__file__).parents[1] / "golden" / "A" / "checkpoint")
ARGS = EngineArgs(model=CHECKPOINT, dtype="float32", device="cpu")


def test_context_compares_each_length_with_itself() -> None:
    config = ContextConfig(engine_args=ARGS, lengths=(24, 64), max_tokens=4, repeats=2)
    report = run_context(config)
    points, ratios = report.figures["lengths"], report.ratios
    assert points["24"]["num_prompt_tokens"] == 20
    rates = {length: point["tok_s"]["plain"] for length, point in points.items()}
    repeats = points["64"]["tok_s_of_repeats"]["plain"]
    assert rates["64"] == statistics.median(repeats)
    assert ratios["plain_longest_over_shortest"] == rates["64"] / rates["24"]
    assert {name for name, *_ in report.table.rows} == set(report.chart.lines)  # type: ignore[union-attr]


def test_a_context_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="--lengths 100000"):
        run_context(ContextConfig(engine_args=ARGS, lengths=(100_000,)))
    with pytest.raises(ConfigError, match="--lengths 100000"):
        run_prefill(PrefillConfig(engine_args=ARGS, lengths=(100_000,)))


def test_a_prefilled_cache_gives_the_tokens_of_generate() -> None:
    stock = load_stock(ARGS, "float32")
    prompt = list(range(10, 40))
    cached = StockCache(stock, 5)
    cached.prefill(prompt)
    expected = StockGenerate(stock, 5)([prompt])
    assert cached([prompt]) == expected
    assert cached([prompt]) == expected  # the first call left no token behind


def test_batch_compares_with_the_better_peer() -> None:
    report = run_batch(BatchConfig(engine_args=ARGS, sizes=(1, 3), max_tokens=3, repeats=2))
    point = report.figures["sizes"]["3"]
    assert point["tok_s"].keys() == {*PEERS, "plain", "thinking"}
    assert point["not_measured"] == {}
    for name, rate in point["tok_s"].items():
        assert rate == statistics.median(point["tok_s_of_repeats"][name])
    best = max(point["tok_s"][name] for name in PEERS)
    assert report.ratios["plain_over_best_peer_3"] == point["tok_s"]["plain"] / best
    assert report.ratios["thinking_over_plain_1"] > 0


def test_prefill_compares_the_first_time_with_the_second() -> None:
    report = run_prefill(PrefillConfig(engine_args=ARGS, lengths=(32, 80), repeats=2))
    point = report.figures["lengths"]["80"]
    rates = {name: statistics.median(values) for name, values in point["tok_s_of_repeats"].items()}
    assert point["tok_s"] == rates
    # Both read the same number of tokens, so the ratio of times is that of rates, upside down.
    assert report.ratios["ttft_first_over_again_80"] == rates["again"] / rates["first"]
    assert report.ratios["first_over_transformers_80"] == rates["first"] / rates["transformers"]


def test_scoring_is_compared_with_one_pass_and_thinking_with_a_pass_for_each_row() -> None:
    config = PrefillConfig(engine_args=ARGS, lengths=(32,), scores=True, repeats=1)
    report = run_prefill(config)
    rates = report.figures["lengths"]["32"]["tok_s"]
    passes = (report.header.num_thought_tokens or 0) + 2
    assert passes > 2
    assert report.ratios["scored_over_transformers_32"] == rates["scored"] / rates["logits"]
    assert report.ratios[f"scored_thinking_over_{passes}_passes_of_transformers_32"] == (
        rates["scored_thinking"] * passes / rates["logits"]
    )
    assert [name for name, *_ in report.table.rows] == list(config.names.values())


@pytest.mark.slow
def test_memory_of_each_way_in_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A way that cannot be served says why."""
    monkeypatch.setattr("qstar_infer.bench.memory.DTYPE_WAYS", ("bfloat16",))
    path = tmp_path / "memory.json"
    line = ["bench", "memory", "--model", CHECKPOINT, "--dtype", "float32", "--prompt-tokens", "16"]
    line += ["--max-tokens", "3", "--quantizations", "no-such", "--json", str(path)]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    ways = json.loads(path.read_text())["ways"]
    served = ways["as served"]
    assert 0 < served["imported_bytes"] <= served["loaded_bytes"] <= served["peak_bytes"]
    assert ways["transformers generate"]["peak_bytes"] > 0
    assert "no-such" in ways["quantization no-such"]["error"]
    config = json.loads((Path(CHECKPOINT) / "config.json").read_text())
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    numbers = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * head_dim
    assert served["cache_bytes_per_token"] == 4 * numbers
    assert ways["dtype bfloat16"]["cache_bytes_per_token"] == 2 * numbers


@pytest.mark.slow
def test_memory_of_what_cannot_be_served_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no-such-model"):
        run_memory(MemoryConfig(engine_args=EngineArgs(model="./no-such-model")))

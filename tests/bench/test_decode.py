"""`qstar bench decode` on a toy checkpoint: the numbers mean what they say."""

import json
import statistics
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qstar_infer.bench.decode import NAMES, DecodeConfig, run_decode
from qstar_infer.bench.peers.paper import PaperDecoder
from qstar_infer.bench.peers.stock import StockContinuousBatching, StockGenerate, load_stock
from qstar_infer.bench.report import Report
from qstar_infer.cli.main import app
from qstar_infer.engine_args import EngineArgs
from qstar_infer.llm import LLM
from qstar_infer.sampling_params import SamplingParams

from ..parity.slow_loop import SlowLoop

CHECKPOINT = str(Path(__file__).parents[1] / "golden" / "A" / "checkpoint")
ARGS = EngineArgs(model=CHECKPOINT, dtype="float32", device="cpu")
PROMPTS = [[10, 20, 30, 40], [50, 60], [70, 80, 90]]


def run(mixing_weight: float) -> Report:
    return run_decode(
        DecodeConfig(engine_args=ARGS, mixing_weight=mixing_weight, max_tokens=6, repeats=2)
    )


@pytest.fixture(scope="module")
def without_influence() -> Report:
    return run(mixing_weight=0.0)


def test_without_influence_all_say_the_same(without_influence: Report) -> None:
    figures = without_influence.figures
    assert figures["agreement"] == 1.0
    assert figures["wavefront_equals_sequential"] == 1.0
    dtypes = figures["dtype_of_peers"]
    if dtypes["transformers"] == "float32":
        assert figures["plain_equals_transformers"] == 1.0
    if dtypes["paper"] == "float32":
        assert figures["wavefront_equals_paper"] == 1.0


def test_rates_are_medians_and_ratios_are_theirs(without_influence: Report) -> None:
    figures, ratios = without_influence.figures, without_influence.ratios
    rates = {name: figures[f"{name}_tok_s"] for name in NAMES if name != "llama_cpp"}
    for name, rate in rates.items():
        assert rate == statistics.median(figures["tok_s_of_repeats"][name])
        assert len(figures["tok_s_of_repeats"][name]) == 2
    assert ratios["plain_over_transformers"] == rates["plain"] / rates["transformers"]
    best = max(rates["sequential"], rates["full_depth"])
    assert ratios["auto_over_best_fixed"] == rates["wavefront"] / best


def test_with_influence_drafts_are_rejected_and_the_text_is_kept(without_influence: Report) -> None:
    figures = run(mixing_weight=0.9).figures
    assert figures["agreement"] is not None
    assert figures["agreement"] < 1.0
    assert figures["wavefront_equals_sequential"] == 1.0
    assert figures["passes_per_token"] > without_influence.figures["passes_per_token"]


def test_the_command_writes_the_contract(tmp_path: Path) -> None:
    path, chart = tmp_path / "decode.json", tmp_path / "decode.svg"
    line = ["bench", "decode", "--model", CHECKPOINT, "--dtype", "float32", "--max-tokens", "3"]
    line += ["--repeats", "1", "--json", str(path), "--plot", str(chart)]
    result = CliRunner().invoke(app, line, env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    numbers = json.loads(path.read_text())
    contract = ("transformers", "plain", "sequential", "wavefront")
    assert {f"{name}_tok_s" for name in contract} <= numbers.keys()
    assert {"agreement", "passes_per_token"} <= numbers.keys()
    assert numbers["header"]["dtype"] == "float32"
    assert "ours, wavefront" in result.stdout
    assert chart.exists()


# --- peers --------------------------------------------------------------------------------------


def test_the_paper_s_way_gives_the_tokens_of_the_engine_and_of_the_slow_loop() -> None:
    stock = load_stock(ARGS, "float32")
    found = PaperDecoder(model=stock, num_tokens=5)(PROMPTS)
    params = SamplingParams(temperature=0.0, max_tokens=5, ignore_eos=True)
    outputs = LLM.from_engine_args(ARGS).generate(PROMPTS, params)
    assert found == [output.outputs[0].token_ids for output in outputs]
    slow = SlowLoop(stock, stock.backbone).generate(
        PROMPTS[0], params, num_thought_tokens=stock.num_thought_tokens, seed=0, eos=-1
    )
    assert found[0][: slow.firm_tokens()] == slow.token_ids[: slow.firm_tokens()]


def test_batched_peers_give_the_tokens_of_single_prompts() -> None:
    stock = load_stock(ARGS, "float32")
    generate = StockGenerate(stock, 4)
    alone = [generate([prompt])[0] for prompt in PROMPTS]
    assert generate(PROMPTS) == alone
    batching = StockContinuousBatching(stock, 4)
    assert batching(PROMPTS) == alone
    assert batching(PROMPTS[::-1]) == alone[::-1]
    batching.close()

"""Where the simulator's times come from: fits, data sheets, measured files; and its commands."""

import asyncio
import json
import random
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
)
from typer.testing import CliRunner

from benchmarks.fleet.__main__ import app
from benchmarks.fleet.closed_loop import read_answer
from benchmarks.fleet.compare import ENGINE, Load, find_level, quantities, workload_of
from benchmarks.fleet.cost import FrontTime, HostTime, StepSize
from benchmarks.fleet.files import (
    CHECK_FILE,
    PAGE,
    check_table,
    load_machine,
    load_python_times,
    write_check_table,
)
from benchmarks.fleet.measure_steps import measure_steps
from benchmarks.fleet.measured_time import MeasuredTime, fit_time
from benchmarks.fleet.replica import ReplicaConfig
from benchmarks.fleet.roofline import GPUS, SHAPES, RooflineTime
from benchmarks.fleet.simulate import simulate
from benchmarks.fleet.tables import thinking_table
from qstar_infer.engine_args import EngineArgs

TOY = Path(__file__).parents[1] / "golden" / "A" / "checkpoint"
CHECK = json.loads(CHECK_FILE.read_text("utf-8"))


def size(rows: int, *, logit_rows: int = 0, context: int = 0, sequences: int = 1) -> StepSize:
    return StepSize(
        rows=rows,
        sequences=sequences,
        logit_rows=logit_rows,
        row_context=context,
        sequence_context=context,
    )


# --- fits -----------------------------------------------------------------------------------------

TRUTH = MeasuredTime(
    rows=(1, 8, 64, 256), ms=(10.0, 12.0, 40.0, 160.0), logit_row_ms=0.2, row_context_ms=0.001
)


def test_a_fit_finds_the_times_among_outliers() -> None:
    """One step of ten takes three times as long, as on a machine with other work."""
    draw = random.Random(0)
    steps = []
    for _ in range(600):
        rows = draw.choice([1, 2, 3, 5, 8, 13, 20, 32, 64, 100, 128, 200, 256])
        step = size(rows, logit_rows=draw.randint(1, rows), context=draw.randint(100, 300) * rows)
        steps.append((step, TRUTH.seconds(step) * (3.0 if draw.random() < 0.1 else 1.0)))
    fit = fit_time(steps)
    assert fit.logit_row_ms == pytest.approx(0.2, rel=0.1)
    assert fit.row_context_ms == pytest.approx(0.001, rel=0.1)
    for rows in (1, 4, 20, 100, 256):
        step = size(rows, logit_rows=rows // 2, context=200 * rows)
        assert fit.seconds(step) == pytest.approx(TRUTH.seconds(step), rel=0.05)


def test_more_rows_never_take_less_time() -> None:
    """Also where noise says otherwise."""
    draw = random.Random(1)
    steps = [(size(rows), 0.01 * draw.uniform(0.5, 2.0)) for rows in (1, 2, 4, 8, 16, 32) * 5]
    fit = fit_time(steps)
    assert list(fit.ms) == sorted(fit.ms)
    assert fit.ms[0] > 0


def test_steps_of_one_size_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="at least two sizes"):
        fit_time([(size(3), 0.1)] * 5)


def test_a_table_goes_on_as_it_ends() -> None:
    assert TRUTH.seconds(size(36)) == pytest.approx((12 + 28 / 2) / 1000)
    assert TRUTH.seconds(size(448)) == pytest.approx((160 + 120) / 1000)
    assert MeasuredTime.from_json(json.loads(json.dumps(TRUTH.to_json()))) == TRUTH


# --- data sheets ----------------------------------------------------------------------------------

CONFIGS: dict[str, PretrainedConfig] = {
    "smollm2-135m": LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    ),
    "llama-3.2-1b": LlamaConfig(
        vocab_size=128_256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        tie_word_embeddings=True,
    ),
    "qwen2.5-7b": Qwen2Config(
        vocab_size=152_064,
        hidden_size=3584,
        intermediate_size=18_944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        tie_word_embeddings=False,
    ),
    "mistral-7b": MistralConfig(),  # its defaults are Mistral-7B-v0.1
}


@pytest.mark.parametrize("name", list(SHAPES))
def test_shapes_are_those_of_the_models(name: str) -> None:
    """Weights are counted by transformers, on tensors without memory."""
    config, shape = CONFIGS[name], SHAPES[name]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert shape.billion_params == pytest.approx(count / 1e9, rel=1e-3)
    attention = model.model.layers[0].self_attn
    assert len(model.model.layers) == shape.num_layers
    kv_numbers = attention.k_proj.out_features + attention.v_proj.out_features
    assert shape.kv_bytes == 2 * kv_numbers * shape.num_layers
    assert shape.num_heads * shape.head_dim == attention.q_proj.out_features
    assert model.lm_head.weight.shape == (shape.vocab_size, shape.hidden_size)


def test_few_rows_are_bound_by_memory_and_many_by_multiplying() -> None:
    """Mistral-7B on an H200: 14.5 GB at 0.7 of 4.8 TB/s; 2 operations a weight and row at half of
    989 TFLOP/s."""
    time = RooflineTime(gpu=GPUS["h200"], shape=SHAPES["mistral-7b"])
    assert time.seconds(size(1)) == pytest.approx(14.48e9 / (0.7 * 4.8e12), rel=0.01)
    assert time.seconds(size(8)) == time.seconds(size(1))
    many = size(4096, logit_rows=4096)
    assert time.seconds(many) == pytest.approx(4096 * 2 * 7.24e9 / (0.5 * 989e12), rel=0.01)
    long = size(1, context=100_000)
    assert time.seconds(long) - time.seconds(size(1)) == pytest.approx(
        100_000 * 131_072 / (0.7 * 4.8e12), rel=0.01
    )


def test_kernels_and_python_take_their_time() -> None:
    host = HostTime(step_ms=1.0, row_ms=0.01, pair_ms=0.001)
    time = RooflineTime(
        gpu=GPUS["h200"], shape=SHAPES["smollm2-135m"], launch_ms_per_layer=2.0, host=host
    )
    step = size(100, sequences=20)
    assert time.seconds(step) == pytest.approx((30 * 2.0 + 1.0 + 1.0 + 0.4) / 1000)


def test_a_model_larger_than_the_memory_is_an_error() -> None:
    small = RooflineTime(gpu=GPUS["l4"], shape=SHAPES["mistral-7b"])
    assert small.num_blocks(block_size=16, most_tokens=10**9) == pytest.approx(
        (24e9 - 14.48e9) * 0.85 / 131_072 / 16, rel=0.01
    )
    half = type(GPUS["l4"])(memory_gb=12, bandwidth_tb_s=0.3, bf16_tflops=121)
    with pytest.raises(ValueError, match=r"14\.5 GB, and the GPU has 12 GB"):
        RooflineTime(gpu=half, shape=SHAPES["mistral-7b"]).num_blocks(
            block_size=16, most_tokens=10**9
        )


# --- measured machines ----------------------------------------------------------------------------


def test_steps_of_an_engine_are_measured() -> None:
    """Each has at least as many rows as it samples tokens, and its context fits its rows."""
    args = EngineArgs(model=str(TOY), threads=1, engine=ENGINE)
    found = measure_steps(args, batches=(1, 3), max_tokens=6, seed=0)
    assert found.num_thought_tokens == 5
    assert found.prefill_rows == 64
    assert 0 < found.agreement <= 1
    assert all(0 < step.logit_rows <= step.rows for step, _ in found.steps)
    assert {step.sequences for step, _ in found.steps} >= {1, 2, 3}
    assert all(step.row_context >= step.sequence_context > 0 for step, _ in found.steps)
    assert all(seconds > 0 for _, seconds in found.steps)


def test_an_answer_is_read_to_its_end() -> None:
    async def read(*parts: bytes) -> int:
        reader = asyncio.StreamReader()
        for part in parts:
            reader.feed_data(part)
        return await read_answer(reader)

    stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    events = (b"9\r\ndata: a\n\n\r\n", b"9\r\ndata: b\n\n\r\n", b"e\r\ndata: [DONE]\n\n\r\n")
    assert asyncio.run(read(stream, *events, b"0\r\n\r\n")) == 2
    assert asyncio.run(read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) == 0
    with pytest.raises(RuntimeError, match="status 429"):
        asyncio.run(read(b"HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\n{}"))


@pytest.mark.learned_depth
def test_a_recorded_server_did_what_the_simulator_says() -> None:
    """It was measured once, by `python -m benchmarks.fleet check`. The toy's steps are too short
    for the simulator (docs/scale.md)."""
    found = CHECK["models"]["default model"]
    step_time = MeasuredTime.from_json(found["step_time"])
    front_time = FrontTime(**CHECK["front_time"])
    for served, point in zip(found["served"], found["points"], strict=True):
        load = workload_of(
            served,
            Load(**found["load"]),
            num_thought_tokens=found["num_thought_tokens"],
            agreement=found["agreement"],
        )
        config = ReplicaConfig(
            engine=ENGINE,
            num_blocks=found["num_blocks"],
            step_time=step_time.scaled(point["level"]),
            front_time=front_time,
        )
        outcome = simulate(config, load)
        assert served["num_failed"] == 0
        assert outcome.step_ms == pytest.approx(1000 * served["mean_step_s"], rel=0.05)
        assert outcome.tok_s == pytest.approx(served["tok_s"], rel=0.1)
        assert outcome.e2e_s is not None
        assert outcome.e2e_s["p50"] == pytest.approx(served["e2e_s"]["p50"], rel=0.5)
        assert point["measured"] == quantities(served)


def test_the_level_of_a_busy_machine_is_found() -> None:
    """Also where the mean rises faster than the factor."""
    assert find_level(lambda level: 5.0 * level**2, 45.0) == pytest.approx(3.0, rel=0.01)


# --- files and commands ---------------------------------------------------------------------------


def test_the_page_has_the_newest_tables(tmp_path: Path) -> None:
    """`python -m benchmarks.fleet check` writes both."""
    assert check_table(CHECK) in PAGE.read_text("utf-8")
    assert "\n".join(thinking_table()) in PAGE.read_text("utf-8")
    page = tmp_path / "page.md"
    for old in ("", "\nold\n"):
        page.write_text(f"above\n<!-- fleet check -->\n{old}\n<!-- end -->\nbelow\n")
        write_check_table(CHECK, page)
        table = f"<!-- fleet check -->\n\n{check_table(CHECK)}\n<!-- end -->"
        assert page.read_text("utf-8") == f"above\n{table}\nbelow\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="must have the lines"):
        write_check_table(CHECK, page)


def test_a_file_without_times_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="measure-steps"):
        load_machine(path)
    with pytest.raises(ValueError, match="measure-python"):
        load_python_times(path)


def test_the_command_simulates_and_sizes(tmp_path: Path) -> None:
    times = tmp_path / "times.json"
    machine = {"step_time": TRUTH.to_json(), "num_blocks": 100, "prefill_rows": 64}
    times.write_text(json.dumps(machine))
    load = ["--prompt-tokens", "4", "--output-tokens", "2", "--num-thought-tokens", "0"]
    options = ["--times", str(times), *load, "--duration", "5", "--max-num-seqs", "1"]
    runner = CliRunner()
    simulated = runner.invoke(app, ["plan", *options, "--replicas", "2", "--price", "1"])
    assert simulated.exit_code == 0, simulated.output
    assert "2 replicas at 1 requests/s" in simulated.output
    assert "price of a million tokens" in simulated.output
    sized = runner.invoke(app, ["plan", *options, "--rate", "50", "--p95-ttft", "0.05"])
    assert sized.exit_code == 0, sized.output
    assert "replicas for 50 requests/s" in sized.output


def test_the_command_names_what_it_does_not_know() -> None:
    found = CliRunner().invoke(app, ["plan", "--gpu", "abacus"])
    assert found.exit_code == 2
    assert "abacus" in found.output

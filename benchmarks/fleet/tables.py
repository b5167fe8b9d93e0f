"""The commands that print the computed tables of docs/scale.md."""

from collections.abc import Iterator

import typer

from benchmarks.fleet.cost import FrontTime, HostTime
from benchmarks.fleet.files import load_python_times
from benchmarks.fleet.replica import Replica, ReplicaConfig
from benchmarks.fleet.roofline import (
    GPUS,
    LAUNCH_MS_PER_LAYER,
    SHAPES,
    Gpu,
    ModelShape,
    RooflineTime,
)
from benchmarks.fleet.workload import Request
from qstar_infer.config import EngineConfig
from qstar_infer.wavefront.depth_yield import depth_yield
from qstar_infer.wavefront.lane import num_lane_slots

_NUM_SEQS = 64
_PROMPT_TOKENS, _OUTPUT_TOKENS = 200, 100
_BLOCK_SIZE = 16
_AGREEMENT = 0.97


def thinking() -> None:
    """What thoughts add to a token, by their length and the agreement of drafts."""
    typer.echo("\n".join(thinking_table()))


def thinking_table() -> Iterator[str]:
    """Of one sequence, with drafts as far ahead as a thought is long."""
    yield (
        "| n | agreement | passes a token | rows a pass | rows a token | lane slots | logit rows |"
    )
    yield "|---|---|---|---|---|---|---|"
    yield "| 0 | - | 1 | 1 | 1 | 0 | 0 |"
    for n in (1, 4, 8, 16):
        for agreement in (0.8, 0.97, 1.0):
            found = depth_yield(n, n, agreement)
            passes = 1 / found.tokens_per_pass
            lanes = n + 1
            blocks = -(-num_lane_slots(n) // _BLOCK_SIZE)
            yield (
                f"| {n} | {agreement:g} | {passes:.2f} | {found.rows_per_pass:.1f} | "
                f"{passes * found.rows_per_pass:.1f} | {lanes * blocks * _BLOCK_SIZE} | {lanes} |"
            )


def capacity() -> None:
    """Tokens per second of one GPU with 64 sequences, computed; takes some minutes."""
    typer.echo(
        "| GPU, model | ms a pass, weights alone | not thinking | 4 tokens a thought | "
        "the same, kernels as one graph | the same, Python free |"
    )
    typer.echo("|---|---|---|---|---|---|")
    front_time, host = load_python_times()
    for gpu_name, gpu in GPUS.items():
        for shape_name, shape in SHAPES.items():
            read_ms = 1000 * RooflineTime(gpu=gpu, shape=shape).weights_s
            figures = [
                full_batch_tok_s(gpu, shape, 0, LAUNCH_MS_PER_LAYER, host, front_time),
                full_batch_tok_s(gpu, shape, 4, LAUNCH_MS_PER_LAYER, host, front_time),
                full_batch_tok_s(gpu, shape, 4, 0.0, host, front_time),
                full_batch_tok_s(gpu, shape, 4, 0.0, HostTime(), FrontTime()),
            ]
            cells = " | ".join(f"{figure:,.0f}" for figure in figures)
            typer.echo(f"| {gpu_name}, {shape_name} | {read_ms:.2f} | {cells} |")


def full_batch_tok_s(
    gpu: Gpu,
    shape: ModelShape,
    num_thought_tokens: int,
    launch_ms_per_layer: float,
    host: HostTime,
    front_time: FrontTime,
) -> float:
    """Visible tokens per second of 64 requests that arrive at once, prompts included."""
    time = RooflineTime(gpu=gpu, shape=shape, launch_ms_per_layer=launch_ms_per_layer, host=host)
    config = ReplicaConfig(
        engine=EngineConfig(prefix_caching=False, max_num_seqs=_NUM_SEQS, max_queue=0),
        num_blocks=time.num_blocks(block_size=_BLOCK_SIZE, most_tokens=_NUM_SEQS * 8192),
        step_time=time,
        front_time=front_time,
    )
    replica = Replica(config, num_thought_tokens=num_thought_tokens, agreement=_AGREEMENT, seed=0)
    for _ in range(_NUM_SEQS):
        replica.submit(
            Request(
                arrival_s=0.0,
                num_prompt_tokens=_PROMPT_TOKENS,
                num_output_tokens=_OUTPUT_TOKENS,
            )
        )
    replica.finish()
    return replica.counts.tokens / replica.now_s

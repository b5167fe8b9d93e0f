"""The command that plans: a simulation, or the size of a fleet."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.fleet.cost import FrontTime, HostTime
from benchmarks.fleet.files import load_machine, load_python_times
from benchmarks.fleet.replica import ReplicaConfig
from benchmarks.fleet.roofline import GPUS, LAUNCH_MS_PER_LAYER, SHAPES, RooflineTime
from benchmarks.fleet.simulate import Outcome, Router, simulate
from benchmarks.fleet.size import Limit, size_fleet
from benchmarks.fleet.workload import Lengths, Workload
from qstar_infer.config import EngineConfig

_BLOCK_SIZE = 16
_MOST_TOKENS = 8192
"""Of a sequence, for the size of the pool."""

Times = Annotated[Path | None, typer.Option(help="A file of `measure-steps`: a measured machine.")]
GpuName = Annotated[str, typer.Option(help=f"A computed machine: {', '.join(GPUS)}.")]
ShapeName = Annotated[str, typer.Option(help=f"Its model: {', '.join(SHAPES)}.")]
LaunchMs = Annotated[
    float,
    typer.Option(
        help="Milliseconds to start the kernels of a layer; 0: one graph (not built).", min=0.0
    ),
]
Front = Annotated[bool, typer.Option(help="Whether HTTP takes the time that was measured.")]
MaxNumSeqs = Annotated[
    int, typer.Option(help="As for `qstar serve`; max_drafts is four times as many.", min=1)
]
MaxQueue = Annotated[int, typer.Option(help="As for `qstar serve`.", min=0)]
Rate = Annotated[float, typer.Option(help="Requests per second of the fleet.", min=0.001)]
Duration = Annotated[float, typer.Option(help="Simulated seconds of arrivals.", min=1.0)]
Burst = Annotated[int, typer.Option(help="Requests that arrive together.", min=1)]
PromptTokens = Annotated[float, typer.Option(help="Mean tokens of a prompt.", min=1)]
OutputTokens = Annotated[float, typer.Option(help="Mean tokens of an output.", min=1)]
Variation = Annotated[
    float, typer.Option(help="Deviation of both lengths divided by their mean.", min=0.0)
]
ThoughtTokens = Annotated[int, typer.Option(help="Thought length; 0: no thoughts.", min=0)]
AgreementShare = Annotated[float, typer.Option(help="Share of right drafts.", min=0.0, max=1.0)]
Seed = Annotated[int, typer.Option(help="Of arrivals, lengths and drafts.")]
Price = Annotated[float | None, typer.Option(help="Of a replica for an hour.", min=0.0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """Where the times come from."""

    times: Path | None
    gpu: str
    shape: str
    launch_ms_per_layer: float
    front: bool

    def replica(self, *, max_num_seqs: int, max_queue: int) -> ReplicaConfig:
        """A server on this machine.

        Raises:
            typer.BadParameter: an unknown name, or a file without times.
        """
        engine = EngineConfig(
            prefix_caching=False,
            block_size=_BLOCK_SIZE,
            max_num_seqs=max_num_seqs,
            max_queue=max_queue,
            max_drafts=4 * max_num_seqs,
        )
        try:
            front_time, host = load_python_times()
            front_time = front_time if self.front else FrontTime()
            if self.times is None:
                return self._computed(engine, host, front_time)
            machine = load_machine(self.times)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        return ReplicaConfig(
            engine=replace(engine, max_prefill_rows=machine.prefill_rows),
            num_blocks=machine.num_blocks,
            step_time=machine.step_time,
            front_time=front_time,
        )

    def _computed(
        self, engine: EngineConfig, host: HostTime, front_time: FrontTime
    ) -> ReplicaConfig:
        for name, known in ((self.gpu, GPUS), (self.shape, SHAPES)):
            if name not in known:
                raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}")
        roofline = RooflineTime(
            gpu=GPUS[self.gpu],
            shape=SHAPES[self.shape],
            launch_ms_per_layer=self.launch_ms_per_layer,
            host=host,
        )
        num_blocks = roofline.num_blocks(
            block_size=_BLOCK_SIZE, most_tokens=engine.max_num_seqs * _MOST_TOKENS
        )
        return ReplicaConfig(
            engine=engine, num_blocks=num_blocks, step_time=roofline, front_time=front_time
        )


def plan(
    *,
    times: Times = None,
    gpu: GpuName = "h200",
    shape: ShapeName = "smollm2-135m",
    launch_ms_per_layer: LaunchMs = LAUNCH_MS_PER_LAYER,
    front: Front = True,
    max_num_seqs: MaxNumSeqs = 64,
    max_queue: MaxQueue = 256,
    rate: Rate = 1.0,
    duration: Duration = 120.0,
    burst: Burst = 1,
    prompt_tokens: PromptTokens = 200,
    output_tokens: OutputTokens = 100,
    variation: Variation = 0.5,
    num_thought_tokens: ThoughtTokens = 4,
    agreement: AgreementShare = 0.97,
    replicas: Annotated[int, typer.Option(help="Size of the fleet.", min=1)] = 1,
    router: Annotated[Router, typer.Option(help="Which replica gets a request.")] = "least_open",
    p95_ttft: Annotated[
        float | None,
        typer.Option(
            help="Find how many replicas give the first token within these seconds, 95 times of "
            "100, instead of simulating a fleet of this size."
        ),
    ] = None,
    seed: Seed = 0,
    price: Price = None,
) -> None:
    """Simulate a fleet under a load, or find how many replicas it needs."""
    machine = _Machine(
        times=times, gpu=gpu, shape=shape, launch_ms_per_layer=launch_ms_per_layer, front=front
    )
    workload = Workload(
        rate=rate,
        duration_s=duration,
        prompt_tokens=Lengths(prompt_tokens, variation),
        output_tokens=Lengths(output_tokens, variation),
        num_thought_tokens=num_thought_tokens,
        agreement=agreement,
        burst=burst,
        seed=seed,
    )
    config = machine.replica(max_num_seqs=max_num_seqs, max_queue=max_queue)
    if p95_ttft is not None:
        _size(config, workload, Limit(p95_ttft_s=p95_ttft), price)
        return
    outcome = simulate(config, workload, num_replicas=replicas, router=router)
    fleet = "one replica" if replicas == 1 else f"{replicas} replicas"
    _show(outcome, f"{fleet} at {rate:g} requests/s", replicas, price)


def _size(config: ReplicaConfig, workload: Workload, limit: Limit, price: float | None) -> None:
    console = Console(stderr=True)

    def show_try(rate: float, outcome: Outcome) -> None:
        p95 = outcome.ttft_s["p95"] if outcome.ttft_s else float("nan")
        console.print(f"{rate:.3g} requests/s: p95 of the first token {p95:.3g} s")

    try:
        found = size_fleet(config, workload, limit, on_try=show_try)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    title = (
        f"{found.num_replicas} replicas for {workload.rate:g} requests/s, "
        f"{found.rate_per_replica:.3g} each; one of them:"
    )
    _show(found.outcome, title, 1, price)


def _show(outcome: Outcome, title: str, replicas: int, price: float | None) -> None:
    table = Table(title=title, show_header=False)
    for name, value in outcome.to_json().items():
        if isinstance(value, dict):
            shown = " / ".join(f"{each:.3g}" for each in value.values())
            name = f"{name} p50 / p95 / p99"
        else:
            shown = "-" if value is None else f"{value:.4g}"
        table.add_row(name, shown)
    if price is not None:
        cost = outcome.cost_per_million(replicas=replicas, price_per_hour=price)
        table.add_row("price of a million tokens", f"{cost:.3g}")
    Console().print(table)

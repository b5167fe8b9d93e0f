"""`qstar bench decode` on a toy checkpoint: the numbers mean what they say."""

from pathlib import Path

from qstar_infer.bench.decode import run_decode
from qstar_infer.bench.report import DecodeConfig, DecodeReport
from qstar_infer.engine_args import EngineArgs

CHECKPOINT = Path(__file__).parents[1] / "golden" / "A" / "checkpoint"


def run(mixing_weight: float) -> DecodeReport:
    args = EngineArgs(model=str(CHECKPOINT), dtype="float32", device="cpu")
    return run_decode(
        DecodeConfig(engine_args=args, mixing_weight=mixing_weight, max_tokens=6, repeats=1)
    )


def test_without_influence_all_four_say_the_same() -> None:
    report = run(mixing_weight=0.0)
    assert report.agreement == 1.0
    assert report.plain_equals_transformers == 1.0
    assert report.wavefront_equals_sequential == 1.0
    assert [report.wavefront_tok_s] == report.tok_s_of_repeats["wavefront"]


def test_with_influence_drafts_are_rejected_and_the_text_is_kept() -> None:
    report = run(mixing_weight=0.9)
    assert report.agreement is not None
    assert report.agreement < 1.0
    assert report.wavefront_equals_sequential == 1.0
    assert report.passes_per_token > run(mixing_weight=0.0).passes_per_token

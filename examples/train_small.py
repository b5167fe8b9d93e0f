"""Train a model to think on a text file, and generate with the checkpoint that comes out.

    python examples/train_small.py FILE.txt [--model CHECKPOINT] [--output DIRECTORY]

The settings are those of `recipes/small.yaml`: some minutes on two CPU cores, far too short for
useful thoughts. The command `qstar train` does the same.
"""

import argparse
import json
from pathlib import Path

from qstar_infer import LLM, SamplingParams
from qstar_train.config import TrainConfig
from qstar_train.config_file import load_config
from qstar_train.trainer.train import train

RECIPE = Path(__file__).parents[1] / "recipes" / "small.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="a text file to learn from")
    parser.add_argument("--model", help="model to train; the default model's base if left out")
    parser.add_argument("--output", default="runs/small", help="directory of the run")
    args = parser.parse_args()

    changes = {
        "data.sources.0.path": str(args.text),
        "model": args.model,
        "output": args.output,
    }
    # An assignment's value is YAML, and JSON is YAML.
    assignments = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    checkpoint = train(load_config(TrainConfig, RECIPE, assignments))

    llm = LLM(checkpoint)
    output = llm.generate("Once", SamplingParams(max_tokens=8, temperature=0.0))[0].outputs[0]
    for step in output.thoughts:
        print(f"{step.token!r:16} {step.mixing_weight:5.2f}  {step.thought!r}")
    print(f"serve it: qstar serve {checkpoint}")


if __name__ == "__main__":
    main()

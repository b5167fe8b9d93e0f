"""Checks that the base can write the working, before anything is built on it."""

from qstar_infer.llm import LLM
from qstar_infer.sampling_params import SamplingParams
from qstar_lab.errors import LabError
from qstar_lab.tasks.registry import find_task
from qstar_lab.work.files import read_questions, share, write_result

BATCH_SIZE = 64
FORBIDDEN = -100.0


def check_base(
    *, result: str, checkpoint: str, task: str, questions: str, least: float, steps: int
) -> None:
    """Measure how often the base writes the whole working of a held-out question.

    The question and the token that begins visible working are fed, and the most likely tokens are
    taken, other than the one that ends the working: training documents end it anywhere.

    Args:
        least: the share of right workings that is enough.
        steps: of the base's training, for the message.

    Raises:
        LabError: there are too few.
    """
    kind = find_task(task)
    asked = read_questions(questions)
    llm = LLM(checkpoint, dtype="float32", device="cpu", max_num_seqs=BATCH_SIZE)
    end_id = llm.tokenizer.get_vocab()[kind.end]
    params = SamplingParams(
        max_tokens=kind.max_size,
        temperature=0.0,
        ignore_eos=True,
        logit_bias={end_id: FORBIDDEN},
    )
    prompts = [question.prompt + kind.start for question in asked]
    texts = []
    for first in range(0, len(prompts), BATCH_SIZE):
        outputs = llm.generate(prompts[first : first + BATCH_SIZE], params)
        texts += [output.outputs[0].text for output in outputs]
    right = [text == question.working for text, question in zip(texts, asked, strict=True)]
    measured = share(right)
    if measured[0] < least:
        raise LabError(
            f"the base writes the whole working of only {measured[0]:.1%} of the held-out "
            f"questions, and {least:.0%} are needed. Thoughts begin as working, so with this base "
            f"nothing would be learned afterwards. It needs more than {steps} steps: raise "
            f"`base.steps` of {task} in qstar_lab/recipe.py."
        )
    write_result(result, {"share": measured, "num_questions": len(asked)})

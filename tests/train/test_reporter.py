"""How a run shows the thoughts of its model."""

from qstar_train.trainer.method import ThoughtSample
from qstar_train.trainer.reporter import sample_line


def test_a_sampled_thought_is_one_line_that_no_terminal_obeys() -> None:
    sample = ThoughtSample(
        context="a\x1b[2J\n",
        thought="\r[bold]\x07",
        next_token="\x9b2J",
        gain=0.5,
        mixing_weight=0.1,
    )
    shown = sample_line(sample).plain
    assert shown == "a␛[2J↵ <↵[bold]␇> \\x9b2J  gain +0.500, weight 0.100"

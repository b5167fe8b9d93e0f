"""Shares the rows of a step among the sequences that prefill. No tensors."""

from collections.abc import Mapping

from qstar_infer.wavefront.sequence import Sequence


def share_rows(wanted: Mapping[Sequence, int], num_rows: int) -> dict[Sequence, int]:
    """How many tokens each sequence may feed in a step.

    Half of the rows are for the first sequence, so that every prompt advances once it is the first.
    The others go to the prompts that need the fewest rows, so that a short prompt does not wait
    for a long one. In both, a lower priority number comes first.

    Args:
        wanted: number of tokens that each sequence could feed, ordered by rank.
    """
    shares = dict.fromkeys(wanted, 0)
    if wanted:
        first = next(iter(wanted))
        shares[first] = min(wanted[first], num_rows - num_rows // 2)
        num_rows -= shares[first]
    for seq in sorted(wanted, key=lambda seq: (seq.priority, wanted[seq], seq.arrival)):
        more = min(wanted[seq] - shares[seq], num_rows)
        shares[seq] += more
        num_rows -= more
    return shares

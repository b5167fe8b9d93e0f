"""Decides which drafts and guesses a sequence feeds in a step. No tensors."""

from itertools import islice

from qstar_infer.wavefront.sequence import Sequence


def draft_end(seq: Sequence, depth: int, slots_left: int) -> int:
    """End of the tokens to feed, if the next token to feed is a draft.

    Args:
        depth: most drafts that the sequence may have fed.
        slots_left: slots of the lane buffers that drafts may still take.
    """
    start = seq.wavefront.num_computed
    is_within_depth = seq.wavefront.num_drafts_fed < depth
    if not is_within_depth or start >= seq.num_feedable:
        return start
    return start + (slots_left > 0 or not seq.may_think_at(start))


def num_guesses(seq: Sequence, limit: int, slots_left: int) -> int:
    """How many guesses to feed after the newest token.

    None after a token that surely is thought about: its thought may overrule the next guess.
    """
    wavefront = seq.wavefront
    count = 0
    for index in range(wavefront.num_known, min(wavefront.num_known + limit, seq.max_fed)):
        if count == len(wavefront.guesses) or wavefront.drafts:
            break
        if seq.may_think_at(index - 1) and not seq.places.asks_gate:
            break
        slots_left -= seq.may_think_at(index)
        if slots_left < 0:
            break
        count += 1
    return count


def num_draft_slots(seq: Sequence) -> int:
    """Slots of the lane buffers that a sequence's lanes hold, without its oldest lane."""
    return sum(lane.buffer_slot is not None for lane in islice(seq.wavefront.lanes, 1, None))

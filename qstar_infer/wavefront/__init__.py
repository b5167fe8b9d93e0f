"""The wavefront: thoughts at several positions advance in every forward pass. No torch.

A thought of n tokens needs n + 1 passes, one after the other. Waiting for each thought before the
next token costs n + 1 passes a token. The wavefront does not wait:

    text       x_0 ... x_a | d_1   d_2   d_3       x_a: newest verified token; d: drafts
    lanes             L_a   L_a+1 L_a+2 L_a+3      one thought at each anchor
    progress          end   c_2   c_1   start      each lane advances by one row in each pass

1. `rows.py`: a step feeds the newest draft, opens a lane at it, and moves every lane on by one row.
2. The base logits of the fed token give the next draft; the lanes' logits give thought tokens.
3. When the oldest lane ends, its mixed logits give the target: the token that truly follows `x_a`.
   `Wavefront.verify` compares it with the draft `d_1`. Equal: nothing is lost. Different: the
   target replaces the draft, and everything that was built on the draft is dropped.

Draft and target are picked with the same noise, so the output is exactly that of waiting; only the
number of passes changes: about 1 + (1 - agreement) * n a token.

Files: `lane.py` (one thought in flight), `wavefront.py` (drafts, verification, roll-back),
`sequence.py` (one completion), `prompt_scoring.py` (thoughts about known tokens), `rows.py` and
`picks.py` (what a step feeds and reads), `record.py` (what its result does), `speculation.py` (how
far drafts run ahead).
"""

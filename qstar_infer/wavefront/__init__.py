"""The wavefront: thoughts at several positions advance in every forward pass. No torch.

A thought of n tokens needs n + 1 passes, one after the other. An engine that waits for each thought
before it feeds the next token needs n + 1 passes per token. The wavefront does not wait:

    text       x_0 ... x_a | d_1   d_2   d_3       x_a: newest verified token; d: drafts
    lanes             L_a   L_a+1 L_a+2 L_a+3      one thought at each anchor
    progress          end   c_2   c_1   start      each lane advances by one row in each pass

1. A step feeds the newest draft, opens a lane at it, and advances every lane by one row.
2. The base logits of the fed token give the next draft; the lanes' logits give thought tokens.
3. When the oldest lane ends, its mixed logits give the target: the token that really follows `x_a`.
   `Wavefront.verify` compares it with the draft `d_1`. If they are equal, the draft is verified. If
   not, the target replaces the draft, and all later drafts and lanes are dropped.

Draft and target are sampled with the same noise, so the output is exactly the same as with waiting.
Only the number of passes changes: about 1 + (1 - agreement) * n per token.

Files: `lane.py` (one thought in flight), `wavefront.py` (drafts, verification, roll-back),
`sequence.py` (one completion), `prompt_scoring.py` (thoughts about known tokens), `rows.py` and
`picks.py` (the rows and picks of a step), `record.py` (applies a step's result), `speculation.py`
(how far drafts run ahead), `step_cost.py`, `agreement.py` and `depth_yield.py` (what that depends
on).
"""

"""Coefficients of the objective, the paper's code's values as defaults."""

from pydantic import Field

from qstar_infer.sampling_params import MIN_TEMPERATURE
from qstar_train.settings import Settings


class ObjectiveSettings(Settings):
    """What the loss is made of."""

    num_talk_tokens: int = Field(4, ge=1, le=64)
    """True tokens predicted after each thought (the non-myopic loss, section 4.4.1)."""
    num_passes: int = Field(2, ge=1, le=64)
    """Thoughts sampled for each position; their mean is the baseline of the reward."""
    base_loss_weight: float = Field(0.5, ge=0)
    """Of the next-token loss without thoughts."""
    think_every: int = Field(1, ge=1)
    """One window in so many is thought about (the paper: all); the others train the base prediction
    alone, at a tenth of the cost."""
    teacher_weight: float = Field(0.0, ge=0)
    """Not in the paper: of the teacher's divergence from the base prediction, which holds that
    prediction to what the same training without thoughts gives."""
    talk_loss_weight: float = Field(0.5, ge=0)
    """Of the talk tokens' loss after the thought."""
    policy_weight: float = Field(1e6, ge=0)
    """Of the REINFORCE loss."""
    reinforce_temperature: float = Field(3.0, gt=0)
    """Divides the logits in the log-likelihood of the sampled thought."""
    drops_negative_rewards: bool = True
    """Only thoughts better than their baseline are reinforced."""
    embedding_scale: float = Field(100.0, gt=0)
    """The start and end vectors are learned divided by this, so that a step moves them further."""
    thought_temperature: float = Field(1.0, ge=MIN_TEMPERATURE)
    """Of the sampled thought tokens. Never 0: passes that think alike have no reward."""
    thought_loss_weight: float = Field(0.0, ge=0)
    """Not in the paper: of the talk tokens' loss from the thought's own logits, unmixed. It makes
    the state after the thought a predictor while the talk head still ignores it."""
    thought_entropy_weight: float = Field(0.0, ge=0)
    """Not in the paper: rewards thoughts for being undecided, against collapse to one token."""
    foresight_loss_weight: float = Field(0.0, ge=0)
    """Not in the paper: of the loss of the true token k ahead under the distribution that thought
    token k is drawn from. It makes a thought a guess at the text to come."""
    num_foresight_tokens: int = Field(1, ge=1)
    """Thought tokens that are to foresee, the first ones. A later one is drawn behind guesses that
    may be wrong, so that what it is to foresee says little about what follows them."""

import time, torch
from tests.parity.toy import make_toy, byte_tokenizer, EOS
from transformers import AutoConfig, AutoModelForCausalLM
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.thought_parts import ThoughtParts
from qstar_eval.answer_sets import *
torch.set_num_threads(1)
cfg=AutoConfig.for_model("llama",vocab_size=260,hidden_size=128,intermediate_size=512,num_hidden_layers=2,num_attention_heads=4,max_position_embeddings=256,tie_word_embeddings=False)
m=QuietStarModel(AutoModelForCausalLM.from_config(cfg,attn_implementation="sdpa").eval(),byte_tokenizer(),thought_parts=ThoughtParts(128),config=QuietStarConfig(num_thought_tokens=16,start_thought_token_id=257,end_thought_token_id=258)).eval()
import random
qs=[AnswerQuestion(prompt="".join(random.choice("0123456789+-*") for _ in range(17))+"?",answer="2",working="1234567890123456") for _ in range(2000)]
for k in ("sampled","shuffled"):
    t=time.time(); measure_answers(m,qs,num_thought_tokens=16,thoughts=k); print(k,time.time()-t)
import cProfile
cProfile.run('measure_answers(m,qs,num_thought_tokens=16)',sort='tottime')

"""One model on several ranks: a process for each rank, each with a shard of the weights."""

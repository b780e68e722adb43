"""Several processes, on one board or several, that train one model: who they are, and what they
send each other. torch.distributed is imported where there are several and nowhere else."""

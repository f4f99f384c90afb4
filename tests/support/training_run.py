"""A small training run as a script: its words are the repository,
the folder of the run and, if not 30, its steps."""

RUN = """
import sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from atb.data.corpus.samples import held_out
from atb.models.architecture import Architecture
from atb.models.space import Dimension, SearchSpace
from atb.models.superplm.superplm import SuperPLM
from atb.training.settings import TrainingSettings
from atb.training.one_shot.trainer import train_superplm
from pathlib import Path
space = SearchSpace("tiny", Dimension(1, 2), Dimension(8, 16, 4), Dimension(1, 2),
                    Dimension(8, 16, 8), head_size=8)
torch.manual_seed(0)
superplm = SuperPLM.from_architecture(space.largest, with_mlm_head=True)
train_superplm(superplm, held_out(16, 50), TrainingSettings(
    space, steps=int((sys.argv[3:] or ["30"])[0]), batch_size=2, checkpoint_steps=3,
    log_steps=1), Path(sys.argv[2]),
    progress=lambda step: print(step.number, flush=True))
"""

from .batches import Batches as Batches, Source as Source, TextSource as TextSource
from .checkpoint import load_checkpoint as load_checkpoint, save_checkpoint as save_checkpoint
from .contract import Objective as Objective, Outcome as Outcome, Pupil as Pupil, outcome as outcome
from .identity import (
    check_same_run as check_same_run,
    fingerprint as fingerprint,
    run_identity as run_identity,
)
from .log import MetricsLog as MetricsLog
from .memory import give_back_memory as give_back_memory, keep_freed_memory as keep_freed_memory
from .names import Aim as Aim
from .reading import read_encoder as read_encoder, read_parameters as read_parameters
from .sampling import Sampling as Sampling, sampled_architectures as sampled_architectures
from .settings import TrainingSettings as TrainingSettings
from .teacher import (
    AttentionStates as AttentionStates,
    Batch as Batch,
    Target as Target,
    Teacher as Teacher,
    vocabulary_sha256_of as vocabulary_sha256_of,
)
from .workers import Workers as Workers, leader_first as leader_first, leads as leads

from .batches import (
    Batches as Batches,
    Source as Source,
    TextSource as TextSource,
    check_fits as check_fits,
)
from .checkpoint import load_checkpoint as load_checkpoint, save_checkpoint as save_checkpoint
from .contract import (
    Objective as Objective,
    Outcome as Outcome,
    Student as Student,
    outcome as outcome,
)
from .identity import (
    check_same_run as check_same_run,
    fingerprint as fingerprint,
    run_identity as run_identity,
)
from .log import MetricsLog as MetricsLog
from .memory import give_back_memory as give_back_memory, keep_freed_memory as keep_freed_memory
from .names import ObjectiveName as ObjectiveName
from .processes import ProcessGroup as ProcessGroup, leader_first as leader_first, leads as leads
from .reading import read_encoder as read_encoder, read_parameters as read_parameters
from .sampling import Sampling as Sampling, sampled_architectures as sampled_architectures
from .settings import TrainingSettings as TrainingSettings
from .teacher import (
    AttentionStates as AttentionStates,
    Batch as Batch,
    DistillationTarget as DistillationTarget,
    Teacher as Teacher,
    mean_pooled as mean_pooled,
    vocabulary_sha256_of as vocabulary_sha256_of,
)
